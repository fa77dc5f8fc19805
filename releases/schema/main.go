// Command schema writes the schema of the Helm values of one Istio version.
//
// It runs once per catalogue version, from the module file that pins that version:
//
//	go run -modfile=1.28.3.mod ./schema \
//	  -docs ../config/crd/gen/descriptions.json ../internal/release/schemas/v1.28.3.json
//	go run -modfile=1.23.2.mod -tags istio123 ./schema … ../internal/release/schemas/v1.23.2.json
//
// (Istio 1.23 keeps its types in another package, hence the tag.)
//
// The schema comes from three places, all of them the version's own: the Go types of Istio's values and of MeshConfig,
// walked by reflection; the keys that the charts default or read although the types lack them; and overlay.go, which
// gives such keys a better type than a default of "" or {} betrays. No list of fields is written by hand.
//
// The output is a subset of JSON Schema (draft 7): type, format (duration only), enum, properties,
// additionalProperties, items, $ref to definitions. It has no descriptions, because binaries embed it; -docs keeps
// those in a file that only the generator of the CRDs reads. The checks themselves are done by
// github.com/lateen-io/lateen/internal/values.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	meshv1alpha1 "istio.io/api/mesh/v1alpha1"
	"istio.io/istio/manifests"
)

func main() {
	docs := flag.String("docs", "",
		"file of descriptions to bring up to date; run the versions in ascending order, the last one wins")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: schema [-docs FILE] vX.Y.Z.json")
		os.Exit(2)
	}
	if err := run(context.Background(), flag.Arg(0), *docs); err != nil {
		fmt.Fprintf(os.Stderr, "schema: %s: %v\n", flag.Arg(0), err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out, docs string) error {
	g := newGenerator()
	values := g.define(reflect.TypeFor[istioValues]())
	mesh := g.define(reflect.TypeFor[meshv1alpha1.MeshConfig]())
	g.definitions[values].Properties["meshConfig"] = &node{Ref: refTo(mesh)}

	charts := chartReader{generator: g, values: values, files: manifests.FS}
	for _, c := range []chart{
		{dir: "charts/base"},
		{dir: "charts/istio-control/istio-discovery", component: "pilot"},
		{dir: "charts/istio-cni", component: "cni"},
	} {
		if err := charts.read(c); err != nil {
			return fmt.Errorf("chart %s: %w", c.dir, err)
		}
	}

	doc := document{
		Version: strings.TrimSuffix(filepath.Base(out), ".json"),
		Roots: map[string]*node{
			"istio":      g.root(values, func(key string) bool { return !slices.Contains(notIstio, key) }),
			"cni":        g.root(values, func(key string) bool { return slices.Contains(onlyCNI, key) }),
			"meshConfig": {Ref: refTo(mesh)},
		},
	}
	doc.Definitions = g.reachable(doc.Roots)
	if err := write(out, doc); err != nil {
		return err
	}
	if docs == "" {
		return nil
	}
	return updateDocs(ctx, docs, g, doc)
}

var (
	// notIstio are values that an Istio does not take: gateways are not managed, the CNI plugin and ztunnel have
	// resources of their own.
	notIstio = []string{"cni", "gateways", "ztunnel"}
	// onlyCNI are the values that an IstioCNI takes.
	onlyCNI = []string{"cni", "global"}
)

// document is the file written: one property per line, sorted, so that a new Istio version is a readable diff.
type document struct {
	Version     string           `json:"version"`
	Roots       map[string]*node `json:"roots"`
	Definitions map[string]*node `json:"definitions"`
}

func write(path string, doc document) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "{\n\"version\": %q,\n\"roots\": ", doc.Version)
	if err := writeNodes(&b, doc.Roots); err != nil {
		return err
	}
	b.WriteString(",\n\"definitions\": ")
	if err := writeNodes(&b, doc.Definitions); err != nil {
		return err
	}
	b.WriteString("\n}\n")
	return os.WriteFile(path, b.Bytes(), 0o644)
}

func writeNodes(b *bytes.Buffer, nodes map[string]*node) error {
	b.WriteByte('{')
	for i, name := range slices.Sorted(maps.Keys(nodes)) {
		if i > 0 {
			b.WriteByte(',')
		}
		n := *nodes[name]
		properties := n.Properties
		n.Properties = nil
		head, err := json.Marshal(n)
		if err != nil {
			return err
		}
		fmt.Fprintf(b, "\n%q: ", name)
		if properties == nil {
			b.Write(head)
			continue
		}
		b.Write(bytes.TrimSuffix(head, []byte("}")))
		b.WriteString(",\"properties\":{")
		for j, key := range slices.Sorted(maps.Keys(properties)) {
			if j > 0 {
				b.WriteByte(',')
			}
			p, err := json.Marshal(properties[key])
			if err != nil {
				return err
			}
			fmt.Fprintf(b, "\n%q:%s", key, p)
		}
		b.WriteString("}}")
	}
	b.WriteString("}")
	return nil
}

// updateDocs lays the descriptions of what doc contains over those that the file has already.
func updateDocs(ctx context.Context, path string, g *generator, doc document) error {
	all := map[string]string{}
	data, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	default:
		if err := json.Unmarshal(data, &all); err != nil {
			return fmt.Errorf("reading %s: %w", path, err)
		}
	}
	found, err := describe(ctx, g, doc)
	if err != nil {
		return fmt.Errorf("reading the comments of Istio's types: %w", err)
	}
	maps.Copy(all, found)
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	if err := enc.Encode(all); err != nil {
		return err
	}
	return os.WriteFile(path, b.Bytes(), 0o644)
}
