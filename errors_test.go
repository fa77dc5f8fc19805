package lateen_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-io/lateen"
)

// istioOf is an Istio of a version, with annotations.
func istioOf(version, annotations string) string {
	return "apiVersion: sailoperator.io/v1\nkind: Istio\nmetadata: {name: default, annotations: {" + annotations +
		"}}\nspec: {version: " + version + "}\n"
}

// listOf is a ResourceList with one item.
func listOf(item string) string {
	return "apiVersion: config.kubernetes.io/v1\nkind: ResourceList\nitems:\n- " +
		strings.ReplaceAll(strings.TrimSuffix(item, "\n"), "\n", "\n  ") + "\n"
}

// TestOptionError: a field that cannot be is named as a program knows it, by both calls, before anything is read.
func TestOptionError(t *testing.T) {
	cases := map[string]struct {
		reason  string
		options lateen.Options
		want    lateen.OptionError // without its Err
		says    string
	}{
		"KubeVersion": {
			"what a flag would refuse",
			lateen.Options{KubeVersion: "latest"},
			lateen.OptionError{Field: "KubeVersion", Value: "latest"},
			`Options.KubeVersion: "latest" is not a Kubernetes version: write it like v1.34.0`,
		},
		"Platform": {
			"a program does not read warnings, and a platform that has no effect is a mistake in it",
			lateen.Options{Platform: "openshfit"},
			lateen.OptionError{Field: "Platform", Value: "openshfit"},
			`Options.Platform: "openshfit" is none that Istio's charts know (gke, k3d, k3s, microk8s, minikube, openshift): ` +
				"leave it empty for any other; did you mean openshift?",
		},
		"AllowRemoval": {
			"the item that is wrong",
			lateen.Options{AllowRemoval: []string{"Istio/default", "default"}},
			lateen.OptionError{Field: "AllowRemoval", Value: "default"},
			`Options.AllowRemoval: "default" cannot be: "default" is no resource; write its kind and its name, such as ` +
				"Istio/default",
		},
		"FluxSubstitute": {
			"one of three",
			lateen.Options{FluxSubstitute: "yes"},
			lateen.OptionError{Field: "FluxSubstitute", Value: "yes"},
			`Options.FluxSubstitute: "yes" is none of "", "false" and "true"`,
		},
		"Charts": {
			"a file system that cannot be read",
			lateen.Options{Charts: os.DirFS(filepath.Join(t.TempDir(), "none"))},
			lateen.OptionError{Field: "Charts"},
			"Options.Charts: open .: no such file or directory",
		},
	}
	for name, tc := range cases {
		_, rendered := lateen.Render([]byte("not: [read"), tc.options)
		transformed := lateen.Transform(iotest.ErrReader(errors.New("it was read")), io.Discard, tc.options)
		for call, err := range map[string]error{"Render": rendered, "Transform": transformed} {
			wrong, ok := errors.AsType[*lateen.OptionError](err)
			if !ok {
				t.Errorf("%s, %s: %s: %T %[4]v", call, name, tc.reason, err)
				continue
			}
			got := *wrong
			got.Err = nil
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s, %s: %s (-want +got)\n%s", call, name, tc.reason, diff)
			}
			if diff := cmp.Diff(tc.says, err.Error()); diff != "" {
				t.Errorf("%s, %s: %s (-want +got)\n%s", call, name, tc.reason, diff)
			}
			_, charts := errors.AsType[*lateen.ChartsError](err)
			if want := name == "Charts"; charts != want || errors.Is(err, fs.ErrNotExist) != want {
				t.Errorf("%s, %s: a *ChartsError, and what the file system says: %v", call, name, charts)
			}
		}
	}
	other := lateen.Options{Platform: "mine", Charts: fstest.MapFS{}}
	if _, err := lateen.Render(nil, other); err != nil {
		t.Errorf("charts that are brought may know any platform: %v", err)
	}
}

// TestParseError: where the input is wrong, as numbers; the message is that of the functions.
func TestParseError(t *testing.T) {
	cases := map[string]struct {
		reason    string
		transform bool
		text      string
		want      lateen.ParseError // without its Err
		says      string
	}{
		"no YAML": {
			"the document and the line of the whole input", false, "a: 1\n---\nb: 1\nc: d: e\n",
			lateen.ParseError{Document: 1, Line: 4},
			"not YAML: yaml: line 4: mapping values are not allowed in this context",
		},
		"no resource": {
			"empty documents count", false, "---\n---\n- a\n",
			lateen.ParseError{Document: 1, Line: 3},
			"line 3: a Kubernetes resource is expected here: not a YAML mapping",
		},
		"list is no YAML": {
			"Transform has one document", true, "a: 1\nb: c: d\n",
			lateen.ParseError{Line: 2},
			"the input is not YAML: yaml: line 2: mapping values are not allowed in this context",
		},
		"empty": {
			"about no line", true, "",
			lateen.ParseError{},
			"the input is empty; a ResourceList is expected (--help tells how to call the function)",
		},
		"no list": {
			"YAML of another kind", true, "# an Istio\n" + istioOf("v1.28.3", ""),
			lateen.ParseError{Line: 2},
			`the input is "sailoperator.io/v1" "Istio", not a ResourceList of config.kubernetes.io/v1; to render a file, ` +
				"give its name: -f istio.yaml",
		},
		"item": {
			"the item's line", true, listOf("text"), lateen.ParseError{Line: 4}, "items[0] (line 4): not a YAML mapping",
		},
		"two documents": {
			"the second", true, listOf(istioOf("v1.28.3", "")) + "---\na: 1\n",
			lateen.ParseError{Document: 1},
			"the input has more than one YAML document; one ResourceList is expected",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			_, err := lateen.Render([]byte(tc.text), lateen.Options{})
			if tc.transform {
				err = lateen.Transform(strings.NewReader(tc.text), &out, lateen.Options{})
			}
			wrong, ok := errors.AsType[*lateen.ParseError](err)
			if !ok {
				t.Fatalf("%s: %T %[2]v", tc.reason, err)
			}
			got := *wrong
			got.Err = nil
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s (-want +got)\n%s", tc.reason, diff)
			}
			if diff := cmp.Diff(tc.says, err.Error()); diff != "" {
				t.Errorf("%s (-want +got)\n%s", tc.reason, diff)
			}
			if out.Len() > 0 {
				t.Errorf("nothing is written then:\n%s", out.String())
			}
		})
	}
}

// TestCauses: what is about charts is found in an *Error by errors.As and errors.Is, in both calls alike.
func TestCauses(t *testing.T) {
	istiod := fstest.MapFS{"1.99.0/istiod/Chart.yaml": &fstest.MapFile{
		Data: []byte("apiVersion: v2\nname: istiod\nversion: 1.99.0\n"),
	}}
	damaged := fstest.MapFS{"istiod-1.99.0.tgz": &fstest.MapFile{Data: []byte("broken")}}
	none := "lateen.io/charts: " + filepath.Join(t.TempDir(), "none")
	var bundled []string
	for _, v := range lateen.Versions() {
		bundled = append(bundled, v.Version)
	}
	cases := map[string]struct {
		reason  string
		input   string
		charts  fs.FS
		unknown *lateen.UnknownVersionError
		broken  *lateen.ChartsError // without its Err
		missing bool
	}{
		"unknown version": {
			reason: "what there is instead, as data", input: istioOf("v1.21.0", ""), charts: istiod,
			unknown: &lateen.UnknownVersionError{Version: "v1.21.0", Bundled: bundled, Brought: []string{"v1.99.0"}},
		},
		"unknown alias": {
			reason: "as it was asked for", input: istioOf("v1.21-latest", ""),
			unknown: &lateen.UnknownVersionError{Version: "v1.21-latest", Bundled: bundled},
		},
		"missing chart": {
			reason: "the default revision needs base as well", input: istioOf("v1.99.0", ""), charts: istiod,
			broken: &lateen.ChartsError{Version: "v1.99.0"}, missing: true,
		},
		"broken archive": {
			reason: "found when a resource asks for the version", input: istioOf("v1.99.0", ""), charts: damaged,
			broken: &lateen.ChartsError{Version: "v1.99.0"},
		},
		"no directory": {
			reason: "the annotation of a resource is a fault of the resource", input: istioOf("v1.28.3", none),
			broken: &lateen.ChartsError{}, missing: true,
		},
		"wrong field": {
			reason: "the resource itself: its finding says all", input: istioOf("[]", ""),
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			options := lateen.Options{Charts: tc.charts}
			_, rendered := lateen.Render([]byte(tc.input), options)
			transformed := lateen.Transform(strings.NewReader(listOf(tc.input)), io.Discard, options)
			for call, err := range map[string]error{"Render": rendered, "Transform": transformed} {
				if _, ok := errors.AsType[*lateen.Error](err); !ok {
					t.Fatalf("%s, %s: %T %[3]v", call, tc.reason, err)
				}
				unknown, _ := errors.AsType[*lateen.UnknownVersionError](err)
				if diff := cmp.Diff(tc.unknown, unknown); diff != "" {
					t.Errorf("%s, %s (-want +got)\n%s", call, tc.reason, diff)
				}
				charts, _ := errors.AsType[*lateen.ChartsError](err)
				if charts != nil {
					charts = &lateen.ChartsError{Version: charts.Version}
				}
				if diff := cmp.Diff(tc.broken, charts); diff != "" {
					t.Errorf("%s, %s (-want +got)\n%s", call, tc.reason, diff)
				}
				if errors.Is(err, fs.ErrNotExist) != tc.missing {
					t.Errorf("%s, %s: fs.ErrNotExist: want %v of %v", call, tc.reason, tc.missing, err)
				}
			}
		})
	}
}

// TestUnwrap: an *Error unwraps to the causes of its errors, and to nothing else.
func TestUnwrap(t *testing.T) {
	inWarning := errors.New("of a warning")
	err := &lateen.Error{Findings: []lateen.Finding{
		{Severity: lateen.SeverityWarning, Message: "warned", Err: inWarning},
		{Severity: lateen.SeverityError, Message: "wrong", Kind: "Istio", Name: "a"},
		{Severity: lateen.SeverityError, Message: "no charts", Err: lateen.ErrNoBundledCharts},
	}}
	if !errors.Is(err, lateen.ErrNoBundledCharts) || errors.Is(err, inWarning) || len(err.Unwrap()) != 1 {
		t.Errorf("it unwraps to %v", err.Unwrap())
	}
	if diff := cmp.Diff("Istio/a: wrong\nno charts", err.Error()); diff != "" {
		t.Errorf("the errors, one a line (-want +got)\n%s", diff)
	}
	if got := (&lateen.Error{}).Error(); got != "" {
		t.Errorf("nothing to say: %q", got)
	}
}

// TestStreams: what reader and writer return is returned as it is.
func TestStreams(t *testing.T) {
	gone := errors.New("gone")
	err := lateen.Transform(iotest.ErrReader(gone), io.Discard, lateen.Options{})
	if err != gone { //nolint:errorlint // as it is
		t.Errorf("the reader's error: %v", err)
	}
	_, w := io.Pipe()
	if err := w.CloseWithError(gone); err != nil {
		t.Fatal(err)
	}
	err = lateen.Transform(strings.NewReader(listOf(istioOf("v1.21.0", ""))), w, lateen.Options{})
	if err != io.ErrClosedPipe { //nolint:errorlint // as it is
		t.Errorf("the writer's error, although a resource is wrong: %v", err)
	}
}

// TestTwoResourcesOneObject: it is the resources that are wrong, although none by itself, so it is an *Error as well.
func TestTwoResourcesOneObject(t *testing.T) {
	two := strings.Replace(istioOf("v1.28.3", ""), "name: default", "name: a-v1-28-3", 1) + "---\n" +
		"apiVersion: sailoperator.io/v1\nkind: Istio\nmetadata: {name: a}\n" +
		"spec: {version: v1.28.3, updateStrategy: {type: RevisionBased}}\n"
	_, err := lateen.Render([]byte(two), lateen.Options{})
	if _, ok := errors.AsType[*lateen.Error](err); !ok || !strings.Contains(err.Error(), "two resources both generate") {
		t.Errorf("%T %[1]v", err)
	}
}
