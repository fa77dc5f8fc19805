package desired

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/expand"
	"github.com/lateen-io/lateen/internal/krm" //nolint:depguard // what the function says is compared
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/resource"
)

// TestUnknownVersion: the controller says of a version that is not bundled what the functions say, word by word.
func TestUnknownVersion(t *testing.T) {
	t.Parallel()
	const text = "apiVersion: config.kubernetes.io/v1\nkind: ResourceList\nitems:\n- apiVersion: sailoperator.io/v1\n" +
		"  kind: Istio\n  metadata: {name: default}\n" +
		"  spec: {version: v1.21.0, namespace: istio-system}\n"
	list, err := krm.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	results := expand.RenderIstio.List(list, resource.Settings{}).Findings
	istio := &v1.Istio{
		ObjectMeta: metav1.ObjectMeta{Name: "default"},
		Spec:       v1.IstioSpec{Version: "v1.21.0", Namespace: "istio-system"},
	}
	_, err = (&Pipeline{KubeVersion: "v1.34.0"}).Revision(istio)
	if err == nil || len(results) == 0 || results[0].Message != err.Error() {
		t.Errorf("the controller says %v,\nthe function %v", err, results)
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
	p := &Pipeline{KubeVersion: "v1.34.0"}
	if _, err := p.Objects(rev); err == nil || err.Error() != down {
		t.Errorf("the objects: want %q, got %v", down, err)
	}
	if _, err := p.CRDs(rev); err == nil || err.Error() != down {
		t.Errorf("the CRDs: want %q, got %v", down, err)
	}
	tag := &v1.IstioRevisionTag{ObjectMeta: metav1.ObjectMeta{Name: "prod"}}
	if _, err := p.Tag(tag, rev); err == nil || err.Error() != "IstioRevision/default: "+down {
		t.Errorf("the tag: want %q, got %v", "IstioRevision/default: "+down, err)
	}
	rev.Spec.Version = "v1.28.3"
	if _, err := p.Objects(rev); err != nil {
		t.Errorf("the older patch was asked for: %v", err)
	}
}

// placeholder is what stands in the documentation for what differs.
var placeholder = regexp.MustCompile(`<[a-z ]+>`)

// TestDocumentedVersions: the pages have the messages about versions as they are, from the first word to the last.
func TestDocumentedVersions(t *testing.T) {
	t.Parallel()
	p := &Pipeline{KubeVersion: "v1.34.0"}
	_, unknown := p.resolve("v1.21.0")
	for what, err := range map[string]error{
		"Istio <version> is not bundled": unknown,
		"<alias> is <version> here":      p.Stays("v1.28-latest", "v1.28.10"),
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
