package migrate_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-io/lateen/migrate"
)

// TestOverlays is the table of the paths and values of overlays, and of the patches that they become: the whole of each
// patch, without its target.
func TestOverlays(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ reason, kind, patches, want string }{
		{
			"fields, which are made where they lack", "Deployment", "{path: spec.template.spec.hostNetwork, value: true}",
			"spec:\n  template:\n    spec:\n      hostNetwork: true\n",
		},
		{
			"a dot that separates nothing", "Deployment", `{path: 'metadata.labels.a\.b/c', value: d}`,
			"metadata:\n  name: istiod\n  labels:\n    a.b/c: d\n",
		},
		{
			"dots and slashes around", "Deployment", "{path: ./spec.replicas., value: 2}", "spec:\n  replicas: 2\n",
		},
		{
			"an object, which replaces", "Deployment", "{path: spec.strategy, value: {type: Recreate}}",
			"spec:\n  strategy:\n    $patch: replace\n    type: Recreate\n",
		},
		{
			"an object as text, as people write it", "Deployment", `{path: spec.strategy, value: "type: Recreate\n"}`,
			"spec:\n  strategy:\n    $patch: replace\n    type: Recreate\n",
		},
		{
			"text that is no object", "ConfigMap", `{path: data.mesh, value: "{a: b}\n"}`,
			"data:\n  mesh: \"{a: b}\\n\"\n",
		},
		{
			"text on one line, whatever it looks like", "ConfigMap", `{path: data.mesh, value: "a: b"}`,
			"data:\n  mesh: \"a: b\"\n",
		},
		{
			"no value, which takes the field away", "Deployment", "{path: spec.replicas}", "spec:\n  replicas: null\n",
		},
		{
			"null, which does so too", "Deployment", "{path: spec.replicas, value: null}", "spec:\n  replicas: null\n",
		},
		{
			"a list without names", "ClusterRole", "{path: rules, value: [{verbs: [get]}]}", "rules: [{verbs: [get]}]\n",
		},
		{
			"a list with names, which a merge would keep", "Deployment",
			"{path: spec.template.spec.containers, value: [{name: a}]}",
			"- op: add\n  path: /spec/template/spec/containers\n  value: [{name: a}]\n",
		},
		{
			"an element by its name", "Deployment",
			"{path: 'spec.template.spec.containers.[name:discovery].image', value: i}",
			"spec:\n  template:\n    spec:\n      containers:\n      - name: discovery\n        image: i\n",
		},
		{
			"brackets right behind the list", "Deployment",
			"{path: 'spec.template.spec.containers[name:discovery].image', value: i}",
			"spec:\n  template:\n    spec:\n      containers:\n      - name: discovery\n        image: i\n",
		},
		{
			"an element that is merged", "Deployment",
			"{path: 'spec.template.spec.volumes.[name:a]', value: {emptyDir: {}}}",
			"spec:\n  template:\n    spec:\n      volumes:\n      - name: a\n        emptyDir: {}\n",
		},
		{
			"an element that goes", "Deployment", "{path: 'spec.template.spec.volumes.[name:a]'}",
			"spec:\n  template:\n    spec:\n      volumes:\n      - name: a\n        $patch: delete\n",
		},
		{
			"an element that becomes text", "Deployment", "{path: 'spec.template.spec.volumes.[name:a]', value: b}",
			"- op: replace\n  path: /spec/template/spec/volumes/INDEX\n  value: b\n" +
				"# INDEX: the position of the element whose name is a, from 0; a JSON patch cannot look for it\n",
		},
		{
			"a mount by its path", "Deployment",
			"{path: 'spec.template.spec.containers.[name:discovery].volumeMounts.[mountPath:/a].readOnly', value: true}",
			"spec:\n  template:\n    spec:\n      containers:\n      - name: discovery\n        volumeMounts:\n" +
				"        - mountPath: /a\n          readOnly: true\n",
		},
		{
			"an alias by its address", "Deployment",
			`{path: 'spec.template.spec.hostAliases.[ip:10\.0\.0\.1].hostnames', value: [a]}`,
			"spec:\n  template:\n    spec:\n      hostAliases:\n      - ip: 10.0.0.1\n        hostnames: [a]\n",
		},
		{
			"a port of a service", "Service", "{path: 'spec.ports.[port:443].name', value: x}",
			"spec:\n  ports:\n  - port: 443\n    protocol: TCP\n    name: x\n",
		},
		{
			"a port of a container", "Deployment",
			"{path: 'spec.template.spec.containers.[name:discovery].ports.[containerPort:8080].name', value: x}",
			"spec:\n  template:\n    spec:\n      containers:\n      - name: discovery\n        ports:\n" +
				"        - containerPort: 8080\n          protocol: TCP\n          name: x\n",
		},
		{
			"a port of a service by another field", "Service", "{path: 'spec.ports.[name:http].port', value: 1}",
			"- op: add\n  path: /spec/ports/INDEX/port\n  value: 1\n" +
				"# INDEX: the position of the element whose name is http, from 0; a JSON patch cannot look for it\n",
		},
		{
			"a position", "Deployment", "{path: 'spec.template.spec.containers.[1].image', value: i}",
			"- op: add\n  path: /spec/template/spec/containers/1/image\n  value: i\n",
		},
		{
			"the element at a position", "Deployment", "{path: 'spec.template.spec.volumes.[0]', value: {name: b}}",
			"- op: replace\n  path: /spec/template/spec/volumes/0\n  value: {name: b}\n",
		},
		{
			"the element at a position, which goes", "Deployment", "{path: 'spec.template.spec.volumes.[0]'}",
			"- op: remove\n  path: /spec/template/spec/volumes/0\n",
		},
		{
			"a new element", "Deployment", "{path: 'spec.template.spec.volumes.[-1]', value: {name: b}}",
			"- op: add\n  path: /spec/template/spec/volumes/-\n  value: {name: b}\n",
		},
		{
			"a text in a list", "Deployment",
			"{path: 'spec.template.spec.containers.[name:discovery].args.[:--a]', value: --b}",
			"- op: replace\n  path: /spec/template/spec/containers/0/args/INDEX\n  value: --b\n" +
				"# INDEX: the position of the element --a, from 0; a JSON patch cannot look for it\n",
		},
		{
			"a text in a list without a colon", "Deployment",
			"{path: 'spec.template.spec.containers.[name:discovery].args.[--a]', value: --b}",
			"- op: replace\n  path: /spec/template/spec/containers/0/args/INDEX\n  value: --b\n" +
				"# INDEX: the position of the element --a, from 0; a JSON patch cannot look for it\n",
		},
		{
			"a container whose position nobody knows", "Deployment",
			"{path: 'spec.template.spec.containers.[name:mine].args.[0]', value: --b}",
			"- op: replace\n  path: /spec/template/spec/containers/INDEX/args/0\n  value: --b\n" +
				"# INDEX: the position of the element whose name is mine, from 0; a JSON patch cannot look for it\n",
		},
		{
			"what a pointer escapes", "Deployment", `{path: 'spec.a/b.c~d.[0]', value: e}`,
			"- op: replace\n  path: /spec/a~1b/c~0d/0\n  value: e\n",
		},
		{
			"a kind of which nobody knows the version", "EnvoyFilter", "{path: spec.priority, value: 1}",
			"- op: add\n  path: /spec/priority\n  value: 1\n",
		},
		{
			"several by position, which are one patch", "Deployment",
			"{path: 'spec.template.spec.volumes.[0]'}, {path: 'spec.template.spec.volumes.[0].name', value: a}",
			"- op: remove\n  path: /spec/template/spec/volumes/0\n- op: add\n  path: /spec/template/spec/volumes/0/name\n" +
				"  value: a\n",
		},
	} {
		t.Run(c.reason, func(t *testing.T) {
			t.Parallel()
			out := migrate.Operator(object(t, head+"spec:\n  profile: minimal\n  tag: 1.28.3\n  components: {pilot: {k8s: "+
				"{overlays: [{kind: "+c.kind+", name: istiod, patches: ["+c.patches+"]}]}}}\n"), "")
			message := ""
			for _, f := range out.Findings {
				if f.Field == "spec.components.pilot.k8s.overlays.0" {
					message = f.Message
				}
			}
			_, pasted, _ := strings.Cut(message, ":\n")
			var k struct {
				Patches []struct {
					Target struct{ Kind, Name string }
					Patch  string
				}
			}
			read(t, pasted, &k)
			if len(k.Patches) != 1 || k.Patches[0].Target.Kind != c.kind || k.Patches[0].Target.Name != "istiod" {
				t.Fatalf("not one patch of the %s:\n%s", c.kind, message)
			}
			got := k.Patches[0].Patch
			_, body, merged := strings.Cut(got, "kind: "+c.kind+"\n")
			if merged {
				got = strings.TrimPrefix(body, "metadata:\n  name: istiod\n")
			}
			if i := strings.Index(pasted, "\n# "); i >= 0 {
				got += pasted[i+1:]
			}
			if strings.HasPrefix(c.want, "metadata:") {
				got = body
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestNoOverlays lists what is no overlay or no patch of one, and what is said about it.
func TestNoOverlays(t *testing.T) {
	t.Parallel()
	const at = "spec.components.pilot.k8s.overlays"
	for _, c := range []struct{ reason, overlays, field, says string }{
		{"no list", "{a: b}", at, "must be a list"},
		{"no object", "[a]", at + ".0", "must be an object"},
		{"no kind", "[{name: a, patches: [{path: a}]}]", at + ".0", "needs kind, name and patches"},
		{"no name", "[{kind: a, patches: [{path: a}]}]", at + ".0", "needs kind, name and patches"},
		{"no patches", "[{kind: a, name: b}]", at + ".0", "needs kind, name and patches"},
		{"patches that are no list", "[{kind: a, name: b, patches: {path: a}}]", at + ".0", "needs kind, name and patches"},
		{"no path", "[{kind: a, name: b, patches: [{value: a}]}]", at + ".0.patches.0", "a patch without a path"},
		{"nothing in it", "[null, {kind: a, name: b, patches: [{}]}]", at + ".1.patches.0", "a patch without a path"},
	} {
		t.Run(c.reason, func(t *testing.T) {
			t.Parallel()
			out := migrate.Operator(object(t, head+"spec:\n  profile: minimal\n  tag: 1.28.3\n  components: {pilot: {k8s: "+
				"{overlays: "+c.overlays+"}}}\n"), "")
			for _, f := range out.Findings {
				if f.Field == c.field && strings.Contains(f.Message, c.says) {
					return
				}
			}
			t.Errorf("no finding %q about %s; there are: %v", c.says, c.field, out.Findings)
		})
	}
}
