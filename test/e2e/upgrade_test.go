package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func usageReport(cluster string, revisions ...string) string {
	var text strings.Builder
	text.WriteString("apiVersion: lateen.io/v1alpha1\nkind: UsageReport\nmetadata:\n  name: " + cluster +
		"\n  annotations:\n    config.kubernetes.io/local-config: \"true\"\nspec:\n  observedAt: \"2026-11-22T12:00:00Z\"\n" +
		"  revisions:\n")
	for _, r := range revisions {
		name, used, _ := strings.Cut(r, "=")
		text.WriteString("  - name: " + name + "\n    inUse: \"" + used + "\"\n")
	}
	return text.String()
}

// TestRevisionBasedWalkThrough is the user guide's update with revisions and a tag, in a Git repository with kpt: every
// step is a commit, the bump adds the new revision and changes nothing of the old one, and after a report that says
// unused, the old one goes in one commit.
func TestRevisionBasedWalkThrough(t *testing.T) {
	const old, now = "default-v1-27-0", "default-v1-28-3"
	r := newRepo(t, func(dir string) {
		mesh(istio("v1.27.0", "RevisionBased"))(dir)
		write(t, filepath.Join(dir, "Kptfile"), allFunctions)
		write(t, filepath.Join(dir, "bookinfo.yaml"), kubernetesNamespace("bookinfo", "istio-injection: enabled"))
		write(t, filepath.Join(dir, "tag.yaml"), strings.Replace(tag("default", "Istio", "default"), "name: default\n",
			"name: default\n  annotations: {config.kubernetes.io/local-config: \"true\"}\n", 1))
	})
	r.render()
	r.commit()
	webhook := r.path("tag-default/mutatingwebhookconfiguration_istio-revision-tag-default.yaml")
	if !strings.Contains(read(t, webhook), "istiod-"+old) {
		t.Fatalf("the tag does not point at %s:\n%s", old, read(t, webhook))
	}

	edit(t, r.path("istio.yaml"), "v1.27.0", "v1.28.3")
	r.render()
	for line := range strings.Lines(r.status()) {
		if name := strings.TrimSpace(line[3:]); name != "istio.yaml" && !strings.HasPrefix(name, now+"/") &&
			!strings.HasPrefix(name, "tag-default/") {
			t.Errorf("the version bump changed %s", name)
		}
	}
	if !strings.Contains(read(t, webhook), "istiod-"+now) {
		t.Errorf("the tag does not follow to %s", now)
	}
	r.commit()

	steps := []struct {
		reason, report, say string
		removes             bool
	}{
		{
			"proxies are still there", usageReport("west", old+"=True", now+"=True"),
			"kept: the usage report west says it is used", false,
		},
		{
			"the cluster could not be read", usageReport("west", old+"=Unknown", now+"=True"),
			"kept: the usage report west does not know", false,
		},
		{
			"the report is older than the upgrade", usageReport("west", old+"=False"),
			"kept: the usage report west was taken before the cluster had the active revision " + now, false,
		},
		{
			"one of two clusters still uses it",
			usageReport("west", old+"=False", now+"=True") + "---\n" + usageReport("east", old+"=True", now+"=True"),
			"kept: the usage report east says it is used", false,
		},
		{
			"nothing uses it any more", usageReport("west", old+"=False", now+"=True") + "---\n" + usageReport("east",
				old+"=False", now+"=True"),
			"released: nothing uses it, by the usage report east, west", true,
		},
	}
	for _, step := range steps {
		write(t, r.path("usage.yaml"), step.report)
		r.commit()
		said := words(r.render())
		if !strings.Contains(said, step.say) {
			t.Errorf("%s: kpt does not say %q:\n%s", step.reason, step.say, said)
		}
		changed := r.status()
		if !step.removes && changed != "" {
			t.Errorf("%s: the package was changed:\n%s", step.reason, changed)
		}
		if !step.removes {
			continue
		}
		for line := range strings.Lines(changed) {
			if !strings.HasPrefix(line, " D "+old+"/") {
				t.Errorf("%s: %s", step.reason, line)
			}
		}
		if left := r.files(old); len(left) > 0 {
			t.Errorf("left of the old revision: %v", left)
		}
		r.commit()
		r.render()
		if changed := r.status(); changed != "" {
			t.Errorf("rendering once more changed:\n%s", changed)
		}
	}
}

// TestReportIsOverruled: what stands in the package itself holds a revision, whatever a report says; and a report that
// cannot be read is an error.
func TestReportIsOverruled(t *testing.T) {
	const old, now = "default-v1-27-0", "default-v1-28-3"
	unused := usageReport("west", old+"=False", now+"=True")
	for _, c := range []struct{ reason, name, file, say string }{
		{"a tag", "tag.yaml", tag("prod", "IstioRevision", old), "kept: the tag prod in the package points at it"},
		{
			"a label", "bookinfo.yaml", kubernetesNamespace("bookinfo", "istio.io/rev: "+old),
			"kept: Namespace bookinfo in the package names it",
		},
		{
			"a misspelled report", "second.yaml",
			strings.ReplaceAll(strings.ReplaceAll(unused, "west", "east"), "inUse", "used"),
			`usage report: spec: json: unknown field "used"`,
		},
	} {
		t.Run(c.reason, func(t *testing.T) {
			r := newRepo(t, mesh(istio("v1.27.0", "RevisionBased")))
			r.render()
			edit(t, r.path("istio.yaml"), "v1.27.0", "v1.28.3")
			r.render()
			write(t, r.path("usage.yaml"), unused)
			write(t, r.path(c.name), c.file)
			r.commit()
			out, _ := run{dir: r.dir}.command(t, r.kpt, "fn", "render", "--allow-exec")
			if said := words(out.stdout + out.stderr); !strings.Contains(said, c.say) {
				t.Errorf("kpt does not say %q:\n%s", c.say, said)
			}
			if changed := r.status(); changed != "" {
				t.Errorf("the package was changed:\n%s", changed)
			}
		})
	}
}

// TestStaleReport: a report that was there before an upgrade does not know who uses the old revision after it, even if
// it mentions both, because the upgrade had been made and taken back before.
func TestStaleReport(t *testing.T) {
	const old, now = "default-v1-27-0", "default-v1-28-3"
	r := newRepo(t, mesh(istio("v1.27.0", "RevisionBased")))
	r.render()
	edit(t, r.path("istio.yaml"), "v1.27.0", "v1.28.3")
	r.render()
	write(t, r.path("usage.yaml"), usageReport("west", old+"=False", now+"=True"))
	r.render()
	if left := r.files(old); len(left) > 0 {
		t.Fatalf("the old revision was not released: %v", left)
	}
	edit(t, r.path("istio.yaml"), "v1.28.3", "v1.27.0") // taken back; workloads move to the old one again
	r.render()
	edit(t, r.path("istio.yaml"), "v1.27.0", "v1.28.3")
	for range 2 {
		said := words(r.render())
		if want := "kept: the usage report west was in the package before " + now +
			" became the active revision"; !strings.Contains(said, want) {
			t.Errorf("kpt does not say %q:\n%s", want, said)
		}
	}
	if len(r.files(old)) < 10 {
		t.Error("a revision that workloads use was removed")
	}
	edit(t, r.path("usage.yaml"), "12:00:00Z", "13:00:00Z")
	r.render()
	if left := r.files(old); len(left) > 0 {
		t.Errorf("a new report does not release the revision: %v", left)
	}
}

// TestExternalControlPlaneIsHeld: its users are in other clusters, whatever the new revision's values say.
func TestExternalControlPlaneIsHeld(t *testing.T) {
	const old, now = "default-v1-27-0", "default-v1-28-3"
	r := newRepo(t, mesh(istio("v1.27.0", "RevisionBased")+"  values: {pilot: {env: {EXTERNAL_ISTIOD: \"true\"}}}\n"))
	r.render()
	write(t, r.path("istio.yaml"), istio("v1.28.3", "RevisionBased"))
	r.render()
	write(t, r.path("usage.yaml"), usageReport("west", old+"=False", now+"=True"))
	if said := r.render(); !strings.Contains(words(said), "kept: it is an external control plane") ||
		len(r.files(old)) < 10 {
		t.Errorf("the external control plane was not kept:\n%s", said)
	}
}

// TestClusters: with the clusters of the package listed, nothing goes before each of them has reported.
func TestClusters(t *testing.T) {
	const old, now = "default-v1-27-0", "default-v1-28-3"
	r := newRepo(t, mesh(strings.Replace(istio("v1.27.0", "RevisionBased"), "annotations:\n",
		"annotations:\n    lateen.io/clusters: west, east\n", 1)))
	r.render()
	edit(t, r.path("istio.yaml"), "v1.27.0", "v1.28.3")
	r.render()
	west, east := usageReport("west", old+"=False", now+"=True"), usageReport("east", old+"=False", now+"=True")
	north := usageReport("north", now+"=True")
	for _, step := range []struct {
		reason, report, say string
		removes             bool
	}{
		{"one has not reported", west, "kept: there is no usage report of the cluster east", false},
		{
			"another one has", west + "---\n" + north,
			"the package is not applied to the cluster north (clusters: west, east): add the cluster there, or remove the " +
				"report", false,
		},
		{"both have", west + "---\n" + east, "released: nothing uses it, by the usage report east, west", true},
	} {
		write(t, r.path("usage.yaml"), step.report)
		if said := words(r.render()); !strings.Contains(said, step.say) {
			t.Errorf("%s: kpt does not say %q:\n%s", step.reason, step.say, said)
		}
		if left := len(r.files(old)); (left == 0) != step.removes {
			t.Errorf("%s: %d files of the old revision are left", step.reason, left)
		}
	}
}

// TestReportFindings shows what a user reads under kpt about a report that is probably not meant as it is.
func TestReportFindings(t *testing.T) {
	good := usageReport("west", "default=True")
	for _, c := range []struct {
		reason, report, say string
		fails               bool
	}{
		{"a good one", good, "", false},
		{
			"of another mesh", usageReport("west", "blue=True"),
			"the usage report mentions no revision of the package (it has: default); is it about another mesh?", false,
		},
		{
			"that would be applied", strings.Replace(good, "  annotations:\n    config.kubernetes.io/local-config: \"true\"\n",
				"", 1),
			`the usage report would be applied to the cluster, which does not know it: add the annotation ` +
				`config.kubernetes.io/local-config: "true"`, false,
		},
		{
			"with a boolean", strings.Replace(good, `"True"`, "False", 1),
			`usage report: spec.revisions[0].inUse is false; write it as text, with quotes: inUse: "False"`, true,
		},
	} {
		t.Run(c.reason, func(t *testing.T) {
			r := newRepo(t, mesh(istio("v1.28.3", "InPlace")))
			write(t, r.path("usage.yaml"), c.report)
			out, err := run{dir: r.dir}.command(t, r.kpt, "fn", "render", "--allow-exec")
			said := words(out.stdout + out.stderr)
			if (err != nil) != c.fails || !strings.Contains(said, c.say) || c.say == "" && strings.Contains(said, "[warning]") {
				t.Errorf("failed: %v, want %v; kpt says, want %q in it:\n%s", err != nil, c.fails, c.say, said)
			}
		})
	}
}

// words is what a program said, without its line breaks.
func words(said string) string { return strings.Join(strings.Fields(said), " ") }

// TestLeavingTheRevisionDefault goes from InPlace to RevisionBased with a tag named default, with what kpt says at each
// step: the tag cannot come before the revision of its name is gone, and that one does not go unnoticed without the
// tag.
func TestLeavingTheRevisionDefault(t *testing.T) {
	const now = "default-v1-28-3"
	r := newRepo(t, mesh(istio("v1.28.3", "InPlace")))
	write(t, r.path("Kptfile"), allFunctions)
	write(t, r.path("app.yaml"), kubernetesNamespace("app", "istio-injection: enabled"))
	r.render()
	edit(t, r.path("istio.yaml"), "InPlace", "RevisionBased")
	r.render()
	r.commit()
	if len(r.files("default")) < 10 || len(r.files(now)) < 10 {
		t.Fatal("after the switch both control planes are in the package")
	}

	write(t, r.path("tag.yaml"), tag("default", "Istio", "default"))
	said := words(run{dir: r.dir}.fails(t, r.kpt, "fn", "render", "--allow-exec"))
	want := "it is an earlier revision of Istio/default. Leave the tag out for now; move the workloads to " +
		"default-v1-28-3 by the label istio.io/rev, and restart them. When nothing uses default any more, remove the file " +
		"of IstioRevision/default, or let a usage report release it, and add the tag in the same commit"
	if !strings.Contains(said, want) {
		t.Errorf("kpt does not say %q:\n%s", want, said)
	}

	for name, release := range map[string]func(r repo){
		"by a report": func(r repo) { write(t, r.path("usage.yaml"), usageReport("west", "default=False", now+"=True")) },
		"by hand": func(r repo) {
			if err := os.Remove(r.path("default/istiorevision_default.yaml")); err != nil {
				t.Fatal(err)
			}
		},
	} {
		for _, withTag := range []bool{false, true} {
			next := newRepo(t, func(dir string) {
				if err := os.CopyFS(dir, os.DirFS(r.dir)); err != nil {
					t.Fatal(err)
				}
			})
			write(t, next.path("app.yaml"), kubernetesNamespace("app", "istio.io/rev: "+now))
			if withTag {
				write(t, next.path("app.yaml"), kubernetesNamespace("app", "istio-injection: enabled"))
			} else if err := os.Remove(next.path("tag.yaml")); err != nil {
				t.Fatal(err)
			}
			release(next)
			said := words(next.render())
			shared := []string{"serviceaccount_istio-reader-service-account.yaml"} // the other revision relies on it
			if withTag {
				shared = nil
			}
			if left := next.files("default"); !slices.Equal(left, shared) {
				t.Errorf("%s, tag %v: left of the revision default: %v, want %v\n%s", name, withTag, left, shared, said)
			}
			const warning = "the revision default leaves the package, and there is no tag named default to take " +
				"over: the validator istiod-default-validator goes, which only a default revision or tag has"
			if strings.Contains(said, warning) == withTag {
				t.Errorf("%s: a tag is there: %v; kpt says:\n%s", name, withTag, said)
			}
			if reader := "tag-default/serviceaccount_istio-reader-service-account.yaml"; withTag {
				read(t, next.path(reader))
			}
		}
	}
}
