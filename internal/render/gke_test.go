package render_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/release"
	"github.com/lateen-io/lateen/internal/render"
)

// TestCNIDirectories: where the plugin is installed follows from the platform or, on GKE, from the version of
// Kubernetes; either is enough, in every version. What the user sets wins.
func TestCNIDirectories(t *testing.T) {
	const plain, gke, own = "/opt/cni/bin", "/home/kubernetes/bin", "/own"
	for _, version := range release.Bundled().Versions() {
		for _, c := range []struct{ reason, platform, kube, values, want string }{
			{"nothing is known", "", "", "", plain},
			{"the platform", "gke", "", "", gke},
			{"the platform, and a version of somebody else's", "gke", "v1.33.4+k3s1", "", gke},
			{"the version", "", "v1.33.4-gke.1", "", gke},
			{"both", "gke", "v1.33.4-gke.1", "", gke},
			{"another version", "", "v1.33.4-eks-1234", "", plain},
			{"the user's own directory", "gke", "v1.33.4-gke.1", `{"cni":{"cniBinDir":"/own"}}`, own},
		} {
			rel, err := release.Bundled().Resolve(version, nil)
			if err != nil {
				t.Fatal(err)
			}
			cni := &v1.IstioCNI{Spec: v1.IstioCNISpec{Version: v1.Version(version)}}
			cni.Name = "default"
			if c.values != "" {
				cni.Spec.Values = &v1.Values{Raw: []byte(c.values)}
			}
			cni.Default()
			objects, err := render.CNI(render.CNIInput{
				CNI: cni, Release: rel, Platform: c.platform,
				KubeVersion: c.kube, Owner: "IstioCNI/default",
			})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, hostPath(t, objects, "cni-bin-dir")); diff != "" {
				t.Errorf("%s: %s: -want +have:\n%s", version, c.reason, diff)
			}
		}
	}
}

// TestCNIPlatformOfValues: global.platform among the values is as good as the option, where the charts have it.
func TestCNIPlatformOfValues(t *testing.T) {
	for _, c := range []struct{ reason, platform, kube, values, want string }{
		{"the platform", "", "", `{"global":{"platform":"gke"}}`, "/home/kubernetes/bin"},
		{"another one wins over the version", "", "v1.33.4-gke.1", `{"global":{"platform":"k3d"}}`, "/bin"},
		{"another one wins over the option", "gke", "", `{"global":{"platform":"k3d"}}`, "/bin"},
	} {
		rel, err := release.Bundled().Resolve("v1.28.3", nil)
		if err != nil {
			t.Fatal(err)
		}
		cni := &v1.IstioCNI{Spec: v1.IstioCNISpec{Version: "v1.28.3", Values: &v1.Values{Raw: []byte(c.values)}}}
		cni.Name = "default"
		cni.Default()
		objects, err := render.CNI(render.CNIInput{
			CNI: cni, Release: rel, Platform: c.platform, KubeVersion: c.kube,
			Owner: "IstioCNI/default",
		})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, hostPath(t, objects, "cni-bin-dir")); diff != "" {
			t.Errorf("%s: -want +have:\n%s", c.reason, diff)
		}
	}
}

// hostPath is the directory of a volume of the DaemonSet.
func hostPath(t *testing.T, objects []manifest.Object, volume string) string {
	t.Helper()
	for _, o := range objects {
		if o.Kind() != "DaemonSet" {
			continue
		}
		var d struct {
			Spec struct {
				Template struct {
					Spec struct {
						Volumes []struct {
							Name     string
							HostPath struct{ Path string } `yaml:"hostPath"`
						}
					}
				}
			}
		}
		if err := o.Decode(&d); err != nil {
			t.Fatal(err)
		}
		for _, v := range d.Spec.Template.Spec.Volumes {
			if v.Name == volume {
				return v.HostPath.Path
			}
		}
	}
	t.Fatalf("there is no volume %s", volume)
	return ""
}

// TestUnknownPlatform: which platforms have an effect, by version and chart.
func TestUnknownPlatform(t *testing.T) {
	const none = `the platform "eks" is none that Istio's charts know (gke, k3d, k3s, microk8s, minikube, openshift) ` +
		`and has no effect`
	const yet = "the charts of Istio v1.23.2 have no settings for the platform k3s yet, so it has no effect on the " +
		"CNI plugin: set spec.values.cni.cniBinDir and spec.values.cni.cniConfDir to the directories of the nodes"
	for _, c := range []struct{ reason, version, chart, platform, want string }{
		{"none", "v1.28.3", "istiod", "", ""},
		{"one of the charts", "v1.28.3", "cni", "k3s", ""},
		{"one of no chart", "v1.28.3", "istiod", "eks", none},
		{
			"a typing error", "v1.28.3", "istiod", "openshif",
			`the platform "openshif" is none that Istio's charts know ` +
				"(gke, k3d, k3s, microk8s, minikube, openshift) and has no effect; did you mean openshift?",
		},
		{"GKE is known by the version of Kubernetes, too", "v1.24.0", "cni", "gke", ""},
		{"of GKE, istiod needs to know nothing", "v1.24.0", "istiod", "gke", ""},
		{"OpenShift was a profile", "v1.23.2", "cni", "openshift", ""},
		{"one that came later", "v1.23.2", "cni", "k3s", yet},
		{"and is nothing to istiod", "v1.23.2", "istiod", "k3s", ""},
	} {
		rel, err := release.Bundled().Resolve(c.version, nil)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, render.UnknownPlatform(rel, c.chart, c.platform)); diff != "" {
			t.Errorf("%s: -want +have:\n%s", c.reason, diff)
		}
	}
}
