package show_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	sigsyaml "sigs.k8s.io/yaml"

	"github.com/lateen-io/lateen/cmd/lateen/show"
	"github.com/lateen-io/lateen/internal/usage"
)

// mesh is a cluster in the middle of an upgrade, with something of everything.
func mesh() show.Cluster {
	x := usage.NewIndex()
	x.SetIncomplete("")
	for name, labels := range map[string]map[string]string{
		"bookinfo": {"istio.io/rev": "default-v1-27-0"},
		"shop":     {"istio.io/rev": "prod"},
		"legacy":   {"istio-injection": "enabled"},
		"typo":     {"istio.io/rev": "default-v1-28-8"},
		"plain":    {},
	} {
		x.SetNamespace(usage.NamespaceOf(name, labels))
	}
	for i := range 12 {
		x.SetPod(usage.PodOf("bookinfo", fmt.Sprintf("reviews-%02d", i), nil,
			map[string]string{"istio.io/rev": "default-v1-27-0"}, false))
	}
	x.SetPod(usage.PodOf("plain", "web", map[string]string{"istio.io/rev": "prod"},
		map[string]string{"istio.io/rev": "default-v1-28-3"}, false))
	x.SetPod(usage.PodOf("plain", "job", map[string]string{"istio.io/rev": "default-v1-27-0"}, nil, true))
	return show.Cluster{
		Name:       "west",
		ObservedAt: time.Date(2026, 11, 22, 13, 0, 0, 0, time.FixedZone("", 3600)),
		Revisions: []show.Revision{
			{RevisionInfo: usage.RevisionInfo{Name: "default-v1-26-0"}, Version: "v1.26.0", Istio: "default"},
			{RevisionInfo: usage.RevisionInfo{Name: "default-v1-27-0"}, Version: "v1.27.0", Istio: "default"},
			{RevisionInfo: usage.RevisionInfo{Name: "default-v1-28-3"}, Version: "v1.28.3", Istio: "default", Active: true},
			{RevisionInfo: usage.RevisionInfo{Name: "external"}, External: true},
		},
		Tags: []usage.Tag{
			{Name: "lost"}, {Name: "prod", Revision: "default-v1-27-0"}, {Name: "prod", Revision: "default-v1-28-3"},
		},
		Index: x,
	}
}

// formats are all outputs of a cluster.
func formats(t *testing.T, c show.Cluster) map[string]string {
	t.Helper()
	everybody, few := c.View(-1), c.View(3)
	out := map[string]string{}
	for name, write := range map[string]func(io.Writer) error{
		"table.txt":     few.Table,
		"table-all.txt": everybody.Table,
		"report.yaml":   c.ReportYAML,
		"report.json":   c.ReportJSON,
		"graph.dot":     func(w io.Writer) error { return everybody.DOT(w, false) },
		"graph-all.dot": func(w io.Writer) error { return everybody.DOT(w, true) },
		"graph.mmd":     func(w io.Writer) error { return everybody.Mermaid(w, false) },
		"graph-all.mmd": func(w io.Writer) error { return everybody.Mermaid(w, true) },
		"page.html":     func(w io.Writer) error { return everybody.HTML(w, false) },
		"page-all.html": func(w io.Writer) error { return everybody.HTML(w, true) },
	} {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		out[name] = b.String()
	}
	return out
}

// TestGolden compares all outputs with the files in testdata. `make golden` rewrites these.
func TestGolden(t *testing.T) {
	t.Parallel()
	for name, got := range formats(t, mesh()) {
		golden := filepath.Join("testdata", name)
		if os.Getenv("UPDATE_GOLDEN") != "" {
			if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s: -want +got (if that is meant, `make golden` and review the diff):\n%s", golden, diff)
		}
	}
}

// TestReport: a report is what ParseReport reads, in both formats, and says what the graph says.
func TestReport(t *testing.T) {
	t.Parallel()
	all := formats(t, mesh())
	var read []usage.Report
	for _, name := range []string{"report.yaml", "report.json"} {
		var r struct {
			APIVersion, Kind string
			Metadata         struct {
				Name        string
				Annotations map[string]string
			}
			Spec json.RawMessage
		}
		if err := sigsyaml.Unmarshal([]byte(all[name]), &r); err != nil {
			t.Fatal(err)
		}
		head := []string{r.APIVersion, r.Kind, r.Metadata.Name, r.Metadata.Annotations["config.kubernetes.io/local-config"]}
		if diff := cmp.Diff([]string{usage.APIVersion, usage.Kind, "west", "true"}, head); diff != "" {
			t.Errorf("%s: -want +got:\n%s", name, diff)
		}
		spec, err := usage.ParseReport(r.Metadata.Name, r.Spec)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		read = append(read, spec)
	}
	if diff := cmp.Diff(read[0], read[1]); diff != "" {
		t.Errorf("the formats differ: -yaml +json:\n%s", diff)
	}
	var got []string
	for _, r := range read[0].Revisions {
		got = append(got, fmt.Sprintf("%s %s %d", r.Name, r.InUse, max(r.Total, len(r.Users))))
	}
	want := []string{"default-v1-26-0 False 0", "default-v1-27-0 True 14", "default-v1-28-3 True 2", "external Unknown 0"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if read[0].ObservedAt != "2026-11-22T12:00:00Z" {
		t.Errorf("observedAt: %s", read[0].ObservedAt)
	}
}

// TestUnused: what is not known to be unused is not among the names, and neither are tags.
func TestUnused(t *testing.T) {
	t.Parallel()
	if diff := cmp.Diff([]string{"default-v1-26-0"}, mesh().View(0).Unused()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestOnly limits a view to names.
func TestOnly(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		reason string
		names  []string
		want   []string
		err    string
	}{
		{
			"no names are all", nil, []string{
				"default-v1-26-0", "default-v1-27-0", "default-v1-28-3", "external", "tag lost", "tag prod", "default?",
				"default-v1-28-8?",
			}, "",
		},
		{"a revision", []string{"external"}, []string{"external"}, ""},
		{"a tag and what is neither", []string{"prod", "default-v1-28-8"}, []string{"tag prod", "default-v1-28-8?"}, ""},
		{
			"a name that nothing has",
			[]string{"prod", "nonsense"},
			nil,
			"there is no revision or tag nonsense, and nothing that names it; there are: " +
				"default, default-v1-26-0, default-v1-27-0, default-v1-28-3, default-v1-28-8, external, lost, prod",
		},
	} {
		v, err := mesh().View(1).Only(c.names...)
		if err != nil {
			if diff := cmp.Diff(c.err, err.Error()); diff != "" {
				t.Errorf("%s: -want +got:\n%s", c.reason, diff)
			}
			continue
		}
		var got []string
		for _, n := range v.Revisions {
			got = append(got, n.Name)
		}
		for _, n := range v.Tags {
			got = append(got, "tag "+n.Name)
		}
		for _, n := range v.Unresolved {
			got = append(got, n.Name+"?")
		}
		if diff := cmp.Diff(c.want, got); diff != "" || c.err != "" {
			t.Errorf("%s: error %q; -want +got:\n%s", c.reason, c.err, diff)
		}
	}
}

// TestOneTagOfTwo draws a tag whose revision is not in the view: the arrow is there all the same, once.
func TestOneTagOfTwo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		reason string
		names  []string
		arrows int
	}{
		{"the tag alone", []string{"prod"}, 2},
		{"with one of its revisions", []string{"prod", "default-v1-28-3"}, 2},
		{"all", nil, 2},
	} {
		v, err := mesh().View(-1).Only(c.names...)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := v.DOT(&b, false); err != nil {
			t.Fatal(err)
		}
		if got := strings.Count(b.String(), "points at it"); got != c.arrows {
			t.Errorf("%s: %d arrows:\n%s", c.reason, got, b.String())
		}
	}
}

// TestNothing: a cluster without Istio has an answer in every format.
func TestNothing(t *testing.T) {
	t.Parallel()
	x := usage.NewIndex()
	x.SetIncomplete("")
	all := formats(t, show.Cluster{Name: "empty", Index: x})
	if diff := cmp.Diff("There is no revision, and nothing that names one.\n", all["table.txt"]); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if !strings.Contains(all["report.yaml"], "revisions: []") {
		t.Errorf("a report lists all revisions, even if there are none:\n%s", all["report.yaml"])
	}
}

// hostile is what somebody may write who may create pods: the annotation can be any text. Names of namespaces and pods
// cannot, and neither can labels; they are hostile here too, so that nothing depends on it.
var hostile = []string{
	`"><script>alert(1)</script>`,
	`'; DROP TABLE`,
	"a\nn1 -> n2; }\n",
	`a"]; n9[label="owned`,
	`back\slash\`,
	`\`,
	"tab\tand\x1b[31mred\u202e\u0007",
	`--> |x| end`,
	"`code` **bold** [link](javascript:alert)",
	`#quot; &lt; #35; %%{init}%%`,
	`{{.}} {{template "x"}}`,
	strings.Repeat("x", 5000),
	`<img src=x onerror=alert(1)>`,
	"\xff\xfe",
	"- True",
	"",
}

func hostileCluster() show.Cluster {
	c := mesh()
	c.Name = `</title><script>alert(1)</script>`
	for i, text := range hostile {
		namespace := text + strconv.Itoa(i)
		c.Index.SetNamespace(usage.NamespaceOf(namespace, map[string]string{"istio.io/rev": text}))
		for j := range 6 {
			c.Index.SetPod(usage.PodOf(namespace, text+strconv.Itoa(j), nil, map[string]string{"istio.io/rev": text + "!"},
				false))
		}
		c.Revisions = append(c.Revisions,
			show.Revision{RevisionInfo: usage.RevisionInfo{Name: text + "r"}, Version: text, Istio: text, Active: true})
		c.Tags = append(c.Tags, usage.Tag{Name: text + "t", Revision: text + "r"})
	}
	return c
}

var (
	dotLine = regexp.MustCompile(`^ *(digraph usage \{|rankdir=LR;|(node|edge) \[[a-z0-9=", -]*\];|` +
		`subgraph cluster_\d+ \{|fontname="sans-serif";|\}|` +
		`label="([^"\\]|\\[\\"n])*";|n\d+( -> n\d+)? \[label="([^"\\]|\\[\\"n])*"(, [a-z0-9=, ]*)?\];)$`)
	mermaidText = `"(?:[\p{L}\p{Nd} ./=:-]|#\d+;|<br/>)*"`
	mermaidLine = regexp.MustCompile(`^ *(flowchart LR|end|subgraph s\d+\[T\]|` +
		`n\d+(\[T\]|\(\[T\]\)|\[\[T\]\]|\{\{T\}\})|n\d+ -->\|T\| n\d+|` +
		`classDef unused [a-z: 0-9-]*|class [n0-9,]+ unused)$`)
)

// TestHostile shows for every format that no text of anybody becomes anything else than text.
func TestHostile(t *testing.T) {
	t.Parallel()
	mermaidStrings := regexp.MustCompile(mermaidText)
	for name, text := range formats(t, hostileCluster()) {
		report := strings.HasPrefix(name, "report") // for programs; whatever it names has a valid name
		for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
			switch {
			case strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\u202e' && !report }):
				t.Errorf("%s:%d: control characters: %q", name, i+1, line)
			case strings.HasSuffix(name, ".dot") && !dotLine.MatchString(line):
				t.Errorf("%s:%d: not a statement that is meant: %s", name, i+1, line)
			case strings.HasSuffix(name, ".mmd") && !mermaidLine.MatchString(mermaidStrings.ReplaceAllString(line, "T")):
				t.Errorf("%s:%d: not a statement that is meant: %s", name, i+1, line)
			}
		}
		if strings.HasSuffix(name, ".html") {
			checkPage(t, name, text)
		}
	}
}

// checkPage reads a page and looks for anything in it that Lateen has not put there.
func checkPage(t *testing.T, name, text string) {
	t.Helper()
	elements := strings.Fields(
		"html head meta title style body h1 h2 p div svg path g rect text table tr th td details summary ul li")
	attributes := strings.Fields("lang charset http-equiv content name class xmlns width height role aria-label d x y rx")
	d := xml.NewDecoder(strings.NewReader(text))
	d.Strict, d.Entity = false, xml.HTMLEntity
	var words strings.Builder
	depth := 0
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%s: not well-formed: %v", name, err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			depth++
			if !slices.Contains(elements, token.Name.Local) {
				t.Errorf("%s: an element %s", name, token.Name.Local)
			}
			for _, a := range token.Attr {
				if !slices.Contains(attributes, a.Name.Local) {
					t.Errorf("%s: an attribute %s=%q", name, a.Name.Local, a.Value)
				}
			}
		case xml.EndElement:
			depth--
		case xml.CharData:
			words.Write(token)
		}
	}
	if depth != 0 {
		t.Errorf("%s: elements that are not closed", name)
	}
	for _, text := range hostile {
		if want := show.Printable(text + "r"); !strings.Contains(words.String(), want) {
			t.Errorf("%s: the name %q is not in it as text", name, want)
		}
	}
}

func TestPrintable(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ reason, text, want string }{
		{"a name", "default-v1-28-3", "default-v1-28-3"},
		{"letters of all languages", "Größe 数", "Größe 数"},
		{"line breaks and escapes", "a\nb\x1b[0m\tc", `a\u000ab\u001b[0m\u0009c`},
		{"what changes the direction of writing", "a\u202eb", `a\u202eb`},
		{"what is no text", "a\xff", `a\ufffd`},
		{"what is longer than any name", strings.Repeat("x", 300), strings.Repeat("x", 253) + "…"},
	} {
		if diff := cmp.Diff(c.want, show.Printable(c.text)); diff != "" {
			t.Errorf("%s: -want +got:\n%s", c.reason, diff)
		}
	}
}
