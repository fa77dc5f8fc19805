package controller

import (
	"errors"
	"fmt"
	"testing"

	"github.com/lateen-io/lateen/test/cluster"
)

// TestSharedCRDs shows from the API server's audit log what Istio's CRDs cost several revisions of one version: the
// first brings them, and stays who brought them; the others write nothing, also after a restart, when nobody knows who
// that was.
func TestSharedCRDs(t *testing.T) {
	parallel(t, 20)
	e := start(t, cluster.WithAudit())
	d := e.daemon()
	d.keep()
	const istios = 3
	for i := range istios {
		e.put(fmt.Sprintf("{apiVersion: v1, kind: Namespace, metadata: {name: mesh-%d}}", i))
		e.put(fmt.Sprintf("{apiVersion: sailoperator.io/v1, kind: Istio, metadata: {name: mesh-%d}, "+
			"spec: {version: v1.28.3, namespace: mesh-%d}}", i, i))
	}
	for i := range istios {
		e.healthy("istio", fmt.Sprintf("mesh-%d", i))
	}
	d.kill()
	crds := func() (writes []cluster.Write, tries map[string]int) {
		tries = map[string]int{}
		for _, w := range e.Writes(t) {
			switch {
			case w.UserAgent != "lateen-controller" || w.Resource != "customresourcedefinitions":
			case w.DryRun:
				tries[w.Name]++
			default:
				writes = append(writes, w)
			}
		}
		return writes, tries
	}
	before, tried := crds()
	if len(before) == 0 {
		t.Fatal("the CRDs that were there are of an older version, and must have been replaced")
	}
	d.keep()
	for i := range istios { // a revision says who uses it after it has looked at the CRDs
		e.put(fmt.Sprintf("{apiVersion: v1, kind: Namespace, metadata: {name: app-%d, labels: {istio.io/rev: mesh-%d}}}", i,
			i))
		e.says("True ReferencedByWorkloads: ...", "revision", fmt.Sprintf("mesh-%d", i), "InUse")
	}
	after, tries := crds()
	if added := after[len(before):]; len(added) > 0 {
		t.Errorf("after the restart there was nothing to write, but %d CRDs were written, the first: %s", len(added),
			added[0])
	}
	for name, n := range tries {
		if n-tried[name] > 1 {
			t.Errorf("the %d revisions have looked %d times whether %s is as it should be, instead of once", istios,
				n-tried[name], name)
		}
	}
}

// crds are Istio's own, which somebody deletes.
func crds(e *env, _ *daemon) {
	e.install("crds", "version: v1.28.3")
	const name = "wasmplugins.extensions.istio.io"
	uid := e.must("get", "crd", name, "-o", "jsonpath={.metadata.uid}")
	e.must("delete", "crd", name)
	e.eventually("the CRD comes back", func() error {
		now, err := e.kubectl("get", "crd", name, "-o", "jsonpath={.metadata.uid}")
		if err == nil && now == uid {
			err = errors.New("it is the old one still")
		}
		return err
	})
}
