package rendering

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/google/go-cmp/cmp"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/expand"
	"github.com/lateen-io/lateen/internal/finding"
	"github.com/lateen-io/lateen/internal/krm" //nolint:depguard // what the function says is compared
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/resource"
)

// TestSameWords: what is wrong with a resource the controller says as the functions do, word by word, and nothing else.
// What the CRDs refuse does not get as far as here.
func TestSameWords(t *testing.T) {
	t.Parallel()
	r := &Renderer{KubeVersion: "v1.34.0", Platform: "openshfit"}
	options := resource.Settings{
		resource.OptionKubeVersion: r.KubeVersion, resource.OptionPlatform: r.Platform,
		resource.OptionFluxSubstitute: "false",
	}
	for _, c := range []struct {
		kind, spec string
		errors     int
	}{
		{v1.KindIstio, "{version: v1.28.3}", 0},
		{v1.KindIstio, "{version: v1.21.0}", 1},
		{v1.KindIstio, "{version: v1.24.2, values: {pilto: {}, pilot: {image: 1, env: {A: 1}}}}", 3},
		{v1.KindIstio, "{version: v1.28.3, values: {profile: empti}}", 1},
		{v1.KindIstio, "{version: v1.28.3, values: {meshConfig: {rootNamespace: a}}, meshConfig: {rootNamespace: b}}", 1},
		{v1.KindIstio, "{version: v1.28.3, values: {revision: x, defaultRevision: x}}", 0},
		{v1.KindIstio, "{version: v1.28.3, values: {meshConfig: {discoverySelectors: [{matchLabels: {a: '-'}}]}}}", 0},
		{v1.KindIstioCNI, "{version: v1.28.3}", 0},
		{v1.KindIstioCNI, "{version: v1.28.33}", 1},
		{v1.KindIstioCNI, "{version: v1.26.0, values: {cni: {env: {A: b}}}}", 0},
		{v1.KindIstioCNI, "{version: v1.28.3, values: {pilot: {}, cni: {logLevle: debug}}}", 2},
	} {
		text := "{apiVersion: sailoperator.io/v1, kind: " + c.kind + ", metadata: {name: default}, spec: " + c.spec + "}"
		list, err := krm.Parse([]byte("apiVersion: config.kubernetes.io/v1\nkind: ResourceList\nitems: [" + text + "]\n"))
		if err != nil {
			t.Fatal(err)
		}
		var controller, function finding.List
		if c.kind == v1.KindIstio {
			istio := &v1.Istio{}
			if err := yaml.UnmarshalStrict([]byte(text), istio); err != nil {
				t.Fatal(err)
			}
			_, controller = r.Istio(istio, "")
			function = expand.RenderIstio.List(list, options).Findings
		} else {
			cni := &v1.IstioCNI{}
			if err := yaml.UnmarshalStrict([]byte(text), cni); err != nil {
				t.Fatal(err)
			}
			_, controller = r.CNI(cni, "")
			function = expand.RenderCNI.List(list, options).Findings
		}
		for _, severity := range []finding.Severity{finding.Error, finding.Warning} {
			says := controller.Messages(severity)
			if severity == finding.Error && len(says) != c.errors {
				t.Errorf("%s: %d errors, want %d: %q", text, len(says), c.errors, says)
			}
			if diff := cmp.Diff(function.Messages(severity), says); diff != "" {
				t.Errorf("%s: %s: -function +controller:\n%s", text, severity, diff)
			}
		}
	}
}

// TestRecordedVersion: objects of a revision behind an alias are not rendered of an older patch than those that are
// there, nor the webhooks of a tag.
func TestRecordedVersion(t *testing.T) {
	t.Parallel()
	const down = "spec.version: v1.28-latest is v1.28.3 here, and v1.28.10 is installed: an alias never goes " +
		"down by itself. Bring the charts of v1.28.10 (--charts), or ask for v1.28.3 itself"
	rev := &v1.IstioRevision{ObjectMeta: metav1.ObjectMeta{
		Name: "default", Annotations: map[string]string{manifest.AnnotationVersion: "v1.28.10"},
	}}
	rev.Spec.Version, rev.Spec.Namespace = "v1.28-latest", "istio-system"
	rev.Spec.Values = &v1.Values{Raw: []byte(`{"global": {"istioNamespace": "istio-system"}, "revision": ""}`)}
	p := &Renderer{KubeVersion: "v1.34.0"}
	installed := rev.Annotations[manifest.AnnotationVersion]
	if _, found := p.Revision(rev, installed); found.Err() == nil || found.Err().Error() != down {
		t.Errorf("the objects: want %q, got %v", down, found)
	}
	if _, err := p.CRDs(rev); err == nil || err.Error() != down {
		t.Errorf("the CRDs: want %q, got %v", down, err)
	}
	tag := &v1.IstioRevisionTag{ObjectMeta: metav1.ObjectMeta{Name: "prod"}}
	if _, found := p.Tag(tag, rev); found.Err() == nil || found.Err().Error() != "IstioRevision/default: "+down {
		t.Errorf("the tag: want %q, got %v", "IstioRevision/default: "+down, found)
	}
	rev.Spec.Version = "v1.28.3"
	if _, found := p.Revision(rev, installed); found.HasError() {
		t.Errorf("the older patch was asked for: %v", found)
	}
}

// placeholder is what stands in the documentation for what differs.
var placeholder = regexp.MustCompile(`<[a-z ]+>`)

// TestDocumentedVersions: the pages have the messages about versions as they are, from the first word to the last.
func TestDocumentedVersions(t *testing.T) {
	t.Parallel()
	p := &Renderer{KubeVersion: "v1.34.0"}
	of := func(version v1.Version, installed string) error {
		_, found := p.Istio(&v1.Istio{Spec: v1.IstioSpec{Version: version}}, installed)
		return found.Err()
	}
	for what, err := range map[string]error{
		"Istio <version> is not bundled": of("v1.21.0", ""),
		"<alias> is <version> here":      of("v1.28-latest", "v1.28.10"),
	} {
		for _, page := range []string{"istio.md", "istiorevision.md", "istiocni.md"} {
			data, problem := os.ReadFile(filepath.Join("..", "..", "docs", "spec", page))
			if problem != nil {
				t.Fatal(problem)
			}
			var documented string
			for _, code := range regexp.MustCompile("`[^`\n]+`").FindAllString(string(data), -1) {
				if strings.HasPrefix(code, "`spec.version: "+what) {
					documented = strings.Trim(code, "`")
				}
			}
			parts := placeholder.Split(documented, -1)
			for i := range parts {
				parts[i] = regexp.QuoteMeta(parts[i])
			}
			if documented == "" || !regexp.MustCompile("^"+strings.Join(parts, ".+")+"$").MatchString(err.Error()) {
				t.Errorf("%s has %q, and the message is %q", page, documented, err)
			}
		}
	}
}
