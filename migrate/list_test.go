package migrate_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-io/lateen/internal/finding"
	"github.com/lateen-io/lateen/internal/krm"
	"github.com/lateen-io/lateen/migrate"
)

const operatorItem = `apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
metadata:
  name: mesh # the one
  annotations:
    internal.config.kubernetes.io/path: mesh/operator.yaml
    internal.config.kubernetes.io/index: '0'
spec:
  profile: openshift
  tag: 1.28.3
`

const istioItem = "apiVersion: sailoperator.io/v1\nkind: Istio\nmetadata:\n  name: default\n  annotations:\n    " +
	"internal.config.kubernetes.io/path: x.yaml\n"

// resourceList makes the input of a function.
func resourceList(t *testing.T, config string, items ...string) *krm.List {
	t.Helper()
	var b strings.Builder
	b.WriteString("apiVersion: config.kubernetes.io/v1\nkind: ResourceList\nitems:\n")
	for _, item := range items {
		b.WriteString("- " + strings.ReplaceAll(strings.TrimSuffix(item, "\n"), "\n", "\n  ") + "\n")
	}
	if config != "" {
		b.WriteString("functionConfig:\n  " + strings.ReplaceAll(strings.TrimSuffix(config, "\n"), "\n", "\n  ") + "\n")
	}
	list, err := krm.Parse([]byte(b.String()))
	if err != nil {
		t.Fatalf("%v in:\n%s", err, b.String())
	}
	return list
}

// TestList shows the package before and after, and that a second run changes nothing and says so.
func TestList(t *testing.T) {
	t.Parallel()
	in := resourceList(t, "", operatorItem)
	once := migrate.List(in, nil)
	want := `apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
metadata:
  name: mesh # the one
  annotations:
    internal.config.kubernetes.io/path: mesh/operator.yaml
    internal.config.kubernetes.io/index: '0'
    config.kubernetes.io/local-config: "true"
spec:
  profile: openshift
  tag: 1.28.3
---
apiVersion: sailoperator.io/v1
kind: Istio
metadata:
  name: default
  annotations:
    internal.config.kubernetes.io/index: "0"
    internal.config.kubernetes.io/path: mesh/istio.yaml
spec:
  version: v1.28.3
  profile: openshift
  values:
    pilot:
      cni:
        enabled: true
---
apiVersion: sailoperator.io/v1
kind: IstioCNI
metadata:
  name: default
  annotations:
    internal.config.kubernetes.io/index: "0"
    internal.config.kubernetes.io/path: mesh/istiocni.yaml
spec:
  version: v1.28.3
  namespace: kube-system
  profile: openshift
`
	if diff := cmp.Diff(want, write(t, once.Items)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if diff := cmp.Diff(operatorItem, write(t, in.Items)); diff != "" {
		t.Errorf("the input was changed:\n%s", diff)
	}
	twice := migrate.List(once, nil)
	if diff := cmp.Diff(write(t, once.Items), write(t, twice.Items)); diff != "" {
		t.Errorf("a second run changes something:\n%s", diff)
	}
	var messages []string
	for _, r := range twice.Findings {
		messages = append(messages, string(r.Severity)+" "+r.Message)
	}
	if diff := cmp.Diff([]string{
		"info Istio/default is in the package already (mesh/istio.yaml) and was left as it is; remove it to migrate again",
		"info IstioCNI/default is in the package already (mesh/istiocni.yaml) and was left as it is; remove it to migrate " +
			"again",
	}, messages); diff != "" {
		t.Errorf("what the second run says: -want +got:\n%s", diff)
	}
	var b bytes.Buffer
	if err := twice.Write(&b); err != nil || !strings.Contains(b.String(), "results:") {
		t.Errorf("%v in:\n%s", err, b.String())
	}
}

// TestLists covers the ways to call the function and what may be in a package.
func TestLists(t *testing.T) {
	canary := strings.NewReplacer("name: mesh", "name: canary", "operator.yaml", "canary.yaml", "tag: 1.28.3",
		"tag: 1.28.3\n  revision: canary").Replace(operatorItem)
	for _, c := range []struct {
		reason, config string
		items          []string
		has, not       []string // of the items
		says           string   // of the results
		fails          bool
	}{
		{reason: "nothing to migrate", items: []string{istioItem}, has: []string{"kind: Istio\n"}},
		{reason: "nothing at all"},
		{
			reason: "an Istio of the user's stays", items: []string{operatorItem, istioItem},
			has: []string{"path: x.yaml", "kind: IstioCNI"}, not: []string{"path: mesh/istio.yaml"}, says: "already (x.yaml)",
		},
		{
			reason: "the file is taken", items: []string{
				operatorItem, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, annotations: " +
					"{internal.config.kubernetes.io/path: mesh/istio.yaml}}\n",
			},
			has: []string{"path: mesh/istio-2.yaml"},
		},
		{
			reason: "a file outside of the package",
			items:  []string{strings.Replace(operatorItem, "mesh/operator.yaml", "../operator.yaml", 1)}, fails: true,
			says: "outside the package",
		},
		{
			reason: "two revisions have an Istio each, and one IstioCNI", items: []string{operatorItem, canary},
			has: []string{"path: mesh/istio.yaml", "path: mesh/istio-canary.yaml"}, not: []string{"istiocni-2.yaml"},
		},
		{
			reason: "two of one name", items: []string{
				operatorItem, strings.Replace(operatorItem, "name: mesh", "name: other", 1),
			}, fails: true,
			says: "two IstioOperators, mesh and other, both become Istio default",
		},
		{
			reason: "kustomize has no files", items: []string{head + "spec: {tag: 1.28.3}\n"}, has: []string{"kind: Istio\n"},
			not: []string{"path"},
		},
		{
			reason: "the version from a ConfigMap",
			config: "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {istio-version: 1.27.0}\n",
			items:  []string{head + "spec: {}\n"}, has: []string{"version: v1.27.0"},
		},
		{
			reason: "the annotation wins",
			config: "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {istio-version: 1.27.0}\n",
			items: []string{
				strings.Replace(head, "default", "default\n  annotations: {lateen.io/istio-version: v1.26.0}", 1) + "spec: {}\n",
			}, has: []string{"version: v1.26.0"},
		},
		{
			reason: "an option that there is none of",
			config: "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {version: 1.27.0}\n",
			items:  []string{operatorItem}, fails: true,
			says: "unknown option \"version\"; options are: istio-version, strict",
		},
		{
			reason: "a configuration of another kind", config: istioItem, items: []string{operatorItem}, fails: true,
			says: "functionConfig is a Istio",
		},
		{
			reason: "as kustomize's generator", config: operatorItem, items: []string{operatorItem, canary},
			has: []string{"path: mesh/istio.yaml"},
			not: []string{"istio-canary.yaml"},
		},
		{
			reason: "as a generator, alone", config: operatorItem, has: []string{"kind: Istio\n"},
			not: []string{"IstioOperator"},
		},
		{
			reason: "an error changes nothing", items: []string{operatorItem, head + "spec: {values: []}\n"}, fails: true,
			not: []string{"kind: Istio\n"}, says: "must be an object",
		},
	} {
		t.Run(c.reason, func(t *testing.T) {
			t.Parallel()
			in := resourceList(t, c.config, c.items...)
			before := write(t, in.Items)
			out := migrate.List(in, nil)
			if failed := len(says(out.Findings, finding.Error)) > 0; failed != c.fails {
				t.Errorf("failed: %v; %v", failed, out.Findings)
			}
			if diff := cmp.Diff(before, write(t, out.Items)); c.fails && diff != "" {
				t.Errorf("an error changes items: %s", diff)
			}
			contains(t, "the package", write(t, out.Items), c.has, c.not)
			var all strings.Builder
			for _, r := range out.Findings {
				all.WriteString(r.Message + "\n")
			}
			contains(t, "what is said", all.String(), []string{c.says}, nil)
		})
	}
}
