// Package migrate turns an IstioOperator (install.istio.io/v1alpha1) into the resources that replace it: an Istio, and
// an IstioCNI if the CNI plugin was part of the installation.
//
// Nothing is dropped silently. Every field of the IstioOperator is in the new resources, or a finding names it and says
// what replaces it: mostly a kustomize patch or a manifest, ready to be pasted. What istioctl does with an
// IstioOperator - which of two settings wins, what a profile switches on - is what decides here as well.
//
// Rendering the new resources is the job of package expand; the outside of the program is in package command.
package migrate

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/kustomize/kyaml/yaml"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/finding"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/release"
	"github.com/lateen-io/lateen/internal/resource"
	"github.com/lateen-io/lateen/internal/revision"
	"github.com/lateen-io/lateen/internal/values"
	"github.com/lateen-io/lateen/internal/yamltree"
)

// What an IstioOperator is.
const (
	group      = "install.istio.io"
	APIVersion = group + "/v1alpha1"
	Kind       = "IstioOperator"
)

// OptionVersion names the option that selects the Istio version: annotation lateen.io/istio-version on the
// IstioOperator, key of a ConfigMap functionConfig, flag --istio-version, environment variable LATEEN_ISTIO_VERSION. It
// is not called version, since --version asks for that of the program.
const OptionVersion = "istio-version"

// Options are those of the migration.
var Options = append([]resource.Option{{
	Name: OptionVersion, Placeholder: "VERSION",
	Help:    "Istio version of the new resources",
	Without: "default that of the image tag, spec.tag, or else the newest that is bundled",
}}, resource.Named(resource.OptionStrict)...)

// annotationVersion is the option on the IstioOperator itself.
const annotationVersion = "lateen.io/" + OptionVersion

// annotationStrict is the option on the IstioOperator by which warnings are errors.
const annotationStrict = "lateen.io/" + resource.OptionStrict

// IsStrict reports whether an IstioOperator says that warnings are errors.
func IsStrict(o manifest.Object) bool { return o.Annotation(annotationStrict) == "true" }

// IsOperator reports whether an item is an IstioOperator.
func IsOperator(o manifest.Object) bool { return o.Kind() == Kind && o.ID().Group == group }

// Output is what an IstioOperator has become.
type Output struct {
	// Objects are the Istio and the IstioCNI, each if there is one.
	Objects []manifest.Object
	// Findings are what the user should know or do. If any is an error, there are no objects.
	Findings finding.List
}

// Operator migrates one IstioOperator. version is the Istio version to migrate to; empty means that of the image tag,
// or else the catalogue's default. The annotation on the item wins over it.
func Operator(item manifest.Object, version string) Output {
	m := migration{item: item, origins: map[string][]string{}, istioCNI: yamltree.NewMapping()}
	for _, step := range []func(){
		m.read,
		func() { m.findVersion(version) },
		m.findProfile,
		m.splitValues,
		m.readComponents,
		m.noteVersion,
		m.findName,
		m.findNamespace,
		m.takeMeshConfig,
		m.takeBase,
		m.takePilot,
		m.takeGateways,
		m.takeZtunnel,
		m.takeCNI,
		m.takeRest,
		m.fitValues,
		m.fitCNI,
		m.assemble,
	} {
		step()
		if m.findings.HasError() {
			return Output{Findings: m.findings}
		}
	}
	return Output{Objects: m.objects, Findings: m.findings}
}

// The new resources, as origins and the schema call them.
const (
	rootIstio = values.RootIstio
	rootCNI   = values.RootCNI
)

// migration is one IstioOperator on its way. The steps take fields out of spec; what is left in the end is unknown.
type migration struct {
	item     manifest.Object
	findings finding.List
	objects  []manifest.Object

	// spec is what is left of the spec, original what it was.
	spec, original *yaml.Node
	// version is the Istio version with its v, schema that of its values, versionNotes what there is to say about it.
	version      string
	versionNotes finding.List
	schema       *values.Schema

	profile    profile
	profileKey string // of the IstioOperator; empty means default

	// name and namespace are those of the Istio.
	name, namespace string
	// control reports whether there is a control plane, and plugin whether there is the CNI plugin.
	control, plugin bool

	meshConfig *yaml.Node
	values     *yaml.Node // of the Istio
	istioCNI   *yaml.Node // values of the IstioCNI

	// components by their field, those only that are given; gateways are in lists.
	components map[string]component
	gateways   map[string][]component
	// gatewayValues, cniValues and ztunnelValues are what stands below gateways, cni and ztunnel in the values.
	gatewayValues, cniValues, ztunnelValues *yaml.Node

	// origins says for fields of the new resources where they come from, if not from the same place.
	origins map[string][]string
}

func (m *migration) result(s finding.Severity, pointer []string, format string, args ...any) {
	m.findings = append(m.findings, resource.Finding(m.item, s, pointer, fmt.Sprintf(format, args...)))
}

// warn notes what the user has to do, or loses.
func (m *migration) warn(pointer []string, format string, args ...any) {
	m.result(finding.Warning, pointer, format, args...)
}

// info notes what was decided.
func (m *migration) info(pointer []string, format string, args ...any) {
	m.result(finding.Info, pointer, format, args...)
}

// fail notes what keeps the IstioOperator from being migrated.
func (m *migration) fail(pointer []string, format string, args ...any) {
	m.result(finding.Error, pointer, format, args...)
}

// keys makes the pointer of a field.
func keys(elements ...string) []string { return elements }

func dotted(pointer []string) string { return strings.Join(pointer, ".") }

// read takes the spec as a tree of its own.
func (m *migration) read() {
	if m.item.APIVersion() != APIVersion {
		m.fail(keys("apiVersion"), "apiVersion is %q; an IstioOperator is of %s", m.item.APIVersion(), APIVersion)
		return
	}
	tree := m.item.Copy().Node()
	if err := yamltree.Plain(tree); err != nil {
		m.fail(nil, "%v", err)
		return
	}
	for key, value := range yamltree.Fields(tree) {
		switch key {
		case "apiVersion", "kind", "metadata", "status":
		case "spec":
			m.spec = value
		default:
			m.warn(keys(key), "%s: not a field of an IstioOperator; nothing was made of it. Settings belong below spec", key)
		}
	}
	if m.spec == nil || yamltree.IsNull(m.spec) {
		m.spec = yamltree.NewMapping()
	}
	if m.spec.Kind != yaml.MappingNode {
		m.fail(keys("spec"), "spec must be an object")
		return
	}
	m.original = yaml.CopyYNode(m.spec)
}

// text takes a scalar out of the spec.
func (m *migration) text(key string) string {
	return m.scalar(yamltree.Take(m.spec, key), keys("spec", key))
}

// scalar reads a scalar; anything else is an error.
func (m *migration) scalar(n *yaml.Node, at []string) string {
	switch {
	case n == nil || yamltree.IsNull(n):
		return ""
	case n.Kind != yaml.ScalarNode:
		m.fail(at, "%s must be text", dotted(at))
		return ""
	}
	return n.Value
}

// object takes a mapping out of a tree; null counts as absent, and anything else is an error.
func (m *migration) object(n *yaml.Node, at []string) *yaml.Node {
	switch {
	case n == nil || yamltree.IsNull(n):
		return nil
	case n.Kind != yaml.MappingNode:
		m.fail(at, "%s must be an object", dotted(at))
		return nil
	}
	return n
}

// releaseTag matches the image tag of a release or of a build of one: 1.27.0, 1.27.0-distroless, 1.28.0-rc.1,
// 1.22.3-vendor-v0.
var releaseTag = regexp.MustCompile(
	`^((?:0|[1-9][0-9]*)\.(?:0|[1-9][0-9]*)\.(?:0|[1-9][0-9]*)(?:-(?:alpha|beta|rc)\.[0-9a-f]+)?)(-.+)?$`)

// findVersion decides the version: the option, or the one of the image tag, or the default. A tag that says no more
// than the version does is not needed any more.
func (m *migration) findVersion(option string) {
	if own := m.item.Annotation(annotationVersion); own != "" {
		option = own
	}
	at, tag := m.imageTag()
	ofTag := ""
	if match := releaseTag.FindStringSubmatch(tag); match != nil {
		ofTag = "v" + match[1]
	}
	catalogue := release.Bundled()
	switch {
	case option != "":
		m.version = option
		if option[0] >= '0' && option[0] <= '9' {
			m.version = "v" + option
		}
	case ofTag != "":
		m.version = ofTag
	default:
		m.version = catalogue.Default()
		m.noteLater(at, "an IstioOperator installs the version of its istioctl, which is not written in it, so spec.version "+
			"is %s, the newest here; "+
			"to keep what runs now, give its version (istioctl version) as --%s or annotation %s", m.version, OptionVersion,
			annotationVersion)
	}
	if ofTag != "" && ofTag != m.version {
		m.noteLater(at, "the image tag %s stays as spec.values.global.tag, although spec.version is %s: images and charts "+
			"of different versions. "+
			"Remove the tag to run the images of %[2]s", tag, m.version)
	}
	if "v"+tag == m.version {
		m.dropTag()
	}
	m.findSchema(catalogue)
}

// noteLater keeps a finding about the version until it is known whether anything is of that version.
func (m *migration) noteLater(at []string, format string, args ...any) {
	m.versionNotes = append(m.versionNotes, resource.Finding(m.item, finding.Warning, at, fmt.Sprintf(format, args...)))
}

// noteVersion says what there is to say about the version.
func (m *migration) noteVersion() {
	if m.control || m.plugin {
		m.findings = append(m.findings, m.versionNotes...)
	}
}

// imageTag is the tag in force, and where it stands. The values win over spec.tag.
func (m *migration) imageTag() (at []string, tag string) {
	if tag := yamltree.Text(m.spec, "values", "global", "tag"); tag != "" {
		return keys("spec", "values", "global", "tag"), tag
	}
	if tag := yamltree.Text(m.spec, "tag"); tag != "" {
		return keys("spec", "tag"), tag
	}
	return keys("spec"), ""
}

// overruled warns of a setting that another one beats.
func (m *migration) overruled(at []string, value, by, wins string) {
	m.warn(at, "%s is %s, but %s is %s, which wins, as it does with istioctl", dotted(at), value, by, wins)
}

// notEnabled says why what belongs to a component means nothing.
func notEnabled(component string) string {
	return "spec.components." + component + " is not enabled, so it had no effect"
}

// dropTag takes out a tag that says no more than the version, and spec.tag with that of the values, which wins over it.
func (m *migration) dropTag() {
	if own := yamltree.Take(m.spec, "values", "global", "tag"); own != nil {
		prune(m.spec, "values", "global")
		if other := yamltree.Text(m.spec, "tag"); other != "" && other != own.Value {
			m.overruled(keys("spec", "tag"), other, "spec.values.global.tag", own.Value)
		}
	}
	yamltree.Take(m.spec, "tag")
}

// findSchema reads the schema of the version, or of the nearest one.
func (m *migration) findSchema(catalogue *release.Catalogue) {
	rel, err := catalogue.Resolve(m.version, nil)
	var unknown *release.UnknownVersionError
	switch {
	case errors.As(err, &unknown):
		m.noteLater(m.versionAt(), "%v", err)
		rel.Version = m.version
	case err != nil: // a build without bundles
		rel.Version = m.version
	}
	data, of := rel.Schema()
	if data == nil {
		return
	}
	if m.schema, err = values.ParseSchema(data); err != nil {
		m.fail(nil, "reading the schema of the values of Istio %s: %v", of, err)
	}
}

// versionAt is where the version comes from, for findings about it.
func (m *migration) versionAt() []string {
	at, _ := m.imageTag()
	return at
}

// before reports whether the version is older than a minor of Istio 1.
func (m *migration) before(minor uint64) bool {
	return release.Release{Version: m.version}.Before(1, minor)
}

// splitValues takes the values apart: those of the control plane, the CNI plugin, ztunnel and the gateways.
func (m *migration) splitValues() {
	at := keys("spec", "values")
	m.values = m.object(yamltree.Take(m.spec, "values"), at)
	if m.values == nil {
		m.values = yamltree.NewMapping()
	}
	atMore := keys("spec", "unvalidatedValues")
	if more := m.object(yamltree.Take(m.spec, "unvalidatedValues"), atMore); more != nil {
		m.lay(rootIstio, more, atMore, nil)
	}
	for _, part := range []struct {
		key  string
		into **yaml.Node
	}{{"gateways", &m.gatewayValues}, {"cni", &m.cniValues}, {"ztunnel", &m.ztunnelValues}} {
		n := m.object(yamltree.Take(m.values, part.key), append(at, part.key))
		if n == nil {
			n = yamltree.NewMapping()
		}
		*part.into = n
	}
	for _, origin := range slices.Sorted(maps.Keys(m.origins)) {
		if pointer, ok := strings.CutPrefix(origin, rootIstio+":"); ok && strings.HasPrefix(pointer, "cni.") {
			m.origins[rootCNI+":"+pointer] = m.origins[origin]
		}
	}
	m.topToValue("hub", "global", "hub")
	m.topToValue("tag", "global", "tag")
	m.topToValue("compatibilityVersion", "compatibilityVersion")
}

// lay puts a value at a path of the values of a resource, over what is there, and remembers where it comes from.
// Settings that it replaces are findings.
func (m *migration) lay(root string, value *yaml.Node, from, to []string) {
	if isEmpty(value) {
		return
	}
	dst, wrapped := m.values, value
	if root == rootCNI {
		dst = m.istioCNI
	}
	for _, key := range slices.Backward(to) {
		wrapped = fields(key, wrapped)
	}
	overlay(dst, wrapped, nil, func(at []string, old *yaml.Node) {
		where := m.source(root, at)
		m.warn(where, "%s is %s here, but %s has another value, which wins, as it does with istioctl", dotted(where),
			short(old), dotted(from))
	})
	m.remember(root, value, from, to)
}

// remember notes where the leaves of a tree come from.
func (m *migration) remember(root string, n *yaml.Node, from, to []string) {
	if n.Kind != yaml.MappingNode || len(n.Content) == 0 {
		m.origins[root+":"+dotted(to)] = slices.Clone(from)
		return
	}
	for key, value := range yamltree.Fields(n) {
		m.remember(root, value, append(slices.Clip(from), key), append(slices.Clip(to), key))
	}
}

// source says where a value of a new resource comes from.
func (m *migration) source(root string, pointer []string) []string {
	for i := len(pointer); i > 0; i-- {
		if from, ok := m.origins[root+":"+dotted(pointer[:i])]; ok {
			return append(slices.Clip(from), pointer[i:]...)
		}
	}
	return append(keys("spec", "values"), pointer...)
}

// places are all places of the IstioOperator where a value stands: where it comes from, and where the same setting
// stands besides.
func (m *migration) places(root string, pointer []string) [][]string {
	out := [][]string{m.source(root, pointer)}
	for _, values := range []string{"values", "unvalidatedValues"} {
		at := append(keys("spec", values), pointer...)
		if at != nil && seek(m.original, at[1:]) != nil && !slices.Equal(at, out[0]) {
			out = append(out, at)
		}
	}
	// a tree that comes from the other places
	if root == rootIstio && len(out) > 1 && seek(m.original, out[0][1:]) == nil {
		out = out[1:]
	}
	return out
}

// warnAll notes the same about several fields, whose name is the first argument of the format.
func (m *migration) warnAll(at [][]string, format string, args ...any) {
	for _, p := range at {
		m.warn(p, format, append([]any{dotted(p)}, args...)...)
	}
}

// short shows a value on one line.
func short(n *yaml.Node) string {
	c := bare(n)
	var flow func(n *yaml.Node)
	flow = func(n *yaml.Node) {
		n.Style = yaml.FlowStyle
		if n.Kind == yaml.ScalarNode {
			n.Style = 0
			if strings.Contains(n.Value, "\n") {
				n.Style = yaml.DoubleQuotedStyle
			}
		}
		for _, child := range n.Content {
			flow(child)
		}
	}
	flow(c)
	s := strings.Join(strings.Fields(encode(c)), " ")
	if len(s) > 200 {
		s = strings.ToValidUTF8(s[:200], "") + "..."
	}
	return s
}

// topToValue moves a field of the spec to the values, unless they have it: the values win.
func (m *migration) topToValue(key string, to ...string) {
	n := yamltree.Take(m.spec, key)
	if n == nil || yamltree.IsNull(n) {
		return
	}
	at := keys("spec", key)
	if m.scalar(n, at) == "" {
		return
	}
	if have := yamltree.Get(m.values, to...); have != nil && !yamltree.IsNull(have) {
		if have.Value != n.Value || have.Kind != yaml.ScalarNode {
			m.overruled(at, n.Value, dotted(m.source(rootIstio, to)), short(have))
		}
		return
	}
	if !yamltree.IsText(n) { // a tag like 1.27
		n = &yaml.Node{
			Kind: yaml.ScalarNode, Tag: yaml.NodeTagString, Value: n.Value, Style: yaml.DoubleQuotedStyle,
			HeadComment: n.HeadComment, LineComment: n.LineComment, FootComment: n.FootComment,
		}
	}
	m.origins[rootIstio+":"+dotted(to)] = at
	yamltree.Put(m.values, n, to...)
}

// findName decides the name of the Istio, which is the name of its revision: the one of the IstioOperator, or default.
func (m *migration) findName() {
	named := m.text("revision")
	at := keys("spec", "revision")
	if own := yamltree.Take(m.values, "revision"); own != nil {
		in := m.source(rootIstio, keys("revision"))
		if r := m.scalar(own, in); r != "" {
			if named != "" && named != r {
				m.overruled(at, named, dotted(in), r)
			}
			named, at = r, in
		}
	}
	m.name = named
	if m.name == "" {
		m.name = "default"
	} else if m.name != "default" && m.control {
		m.info(at, "the Istio is named %s: with updateStrategy InPlace this is its revision, and istiod-%[1]s and the "+
			"labels istio.io/rev=%[1]s "+
			"stay what they are. For upgrades from revision to revision set updateStrategy.type: RevisionBased; revisions are "+
			"then "+
			"called %[2]s, and an IstioRevisionTag gives workloads a name that stays", m.name, m.revisionName())
	}
	if own := m.item.ID().Name; own != "" && own != m.name && m.control {
		m.info(keys("metadata", "name"), "the Istio is not named %s but %s: the name of an Istio is the name of its revision",
			own, m.name)
	}
	if n := yamltree.Take(m.values, "defaultRevision"); n != nil {
		if r := m.scalar(n, m.source(rootIstio, keys("defaultRevision"))); r != "" {
			m.warnAll(m.places(rootIstio, keys("defaultRevision")),
				"%s is decided by the Istio named default; if that is another "+
					"one, by an IstioRevisionTag:\n%s", encode(revisionTag(m.name)))
		}
	}
}

// revisionName is what the first revision is called if the Istio is updated by revisions.
func (m *migration) revisionName() string {
	name, err := revision.Name(m.name, m.version, true)
	if err != nil {
		return m.name + "-" + m.version // the resource is wrong, and what renders it says so
	}
	return name
}

func revisionTag(istio string) *yaml.Node {
	return fields("apiVersion", v1.GroupVersion.String(), "kind", v1.KindIstioRevisionTag, "metadata",
		fields("name", "default"),
		"spec", fields("targetRef", fields("kind", v1.KindIstio, "name", istio)))
}

// findNamespace decides the namespace as istioctl does: by values.global.istioNamespace, and else by spec.namespace.
// That of the IstioOperator itself is where the operator looks for it, and never where istiod goes.
func (m *migration) findNamespace() {
	m.namespace = m.text("namespace")
	at := m.source(rootIstio, keys("global", "istioNamespace"))
	if own := yamltree.Take(m.values, "global", "istioNamespace"); own != nil {
		prune(m.values, "global")
		if n := m.scalar(own, at); n != "" {
			if m.namespace != "" && m.namespace != n {
				m.warn(keys("spec", "namespace"), "spec.namespace is %s, but %s, where proxies look for istiod, is %s; "+
					"the Istio has spec.namespace: %[3]s", m.namespace, dotted(at), n)
			}
			m.namespace = n
		}
	}
	own := m.item.ID().Namespace
	switch {
	case own == "" || own == m.namespace:
	case m.namespace == "" && own == v1.DefaultIstioNamespace:
		m.namespace = own
	default:
		m.warn(keys("metadata", "namespace"),
			"metadata.namespace is %s, but istiod is in %s: the former only says where the IstioOperator is "+
				"kept, the latter is values.global.istioNamespace. The Istio has spec.namespace: %[2]s, which cannot be changed "+
				"later",
			own, m.istioNamespace())
	}
}

func (m *migration) istioNamespace() string {
	if m.namespace == "" {
		return v1.DefaultIstioNamespace
	}
	return m.namespace
}

// takeMeshConfig takes spec.meshConfig. Where spec.values.meshConfig says otherwise, the values win.
func (m *migration) takeMeshConfig() {
	at := keys("spec", "meshConfig")
	m.meshConfig = m.object(yamltree.Take(m.spec, "meshConfig"), at)
	if m.meshConfig != nil {
		m.respell(values.RootMeshConfig, m.meshConfig, nil, func(p []string) []string {
			return append(slices.Clip(at), p...)
		})
	}
	m.respell(rootIstio, m.values, keys("meshConfig"), func(p []string) []string { return m.source(rootIstio, p) })
	if own := yamltree.Get(m.values, "meshConfig"); own != nil && m.meshConfig != nil &&
		m.object(own, keys("spec", "values", "meshConfig")) != nil {
		m.yield(m.meshConfig, own, at)
	}
}

// yield takes out of a tree what another one has with another value.
func (m *migration) yield(n, wins *yaml.Node, at []string) {
	for i := 0; i+1 < len(n.Content); {
		key, value := n.Content[i].Value, n.Content[i+1]
		other := yamltree.Get(wins, key)
		p := append(slices.Clip(at), key)
		switch {
		case other == nil || yamltree.Equal(value, other):
		case value.Kind == yaml.MappingNode && other.Kind == yaml.MappingNode:
			m.yield(value, other, p)
		default:
			m.overruled(p, short(value), "spec.values."+dotted(p[1:]), short(other))
			yamltree.Take(n, key)
			continue
		}
		i += 2
	}
}

// unknownFields says for fields of the spec that are no longer, or never were, what they were.
var unknownFields = map[string]string{
	"installPackagePath": "a directory of charts; bring them with the option charts of render-istio (annotation " +
		"lateen.io/charts on the Istio)",
	"addonComponents": "addons have not been part of Istio since 1.8; install Kiali, Prometheus and the like from " +
		"their own manifests or operators",
	"global":            "not a field of an IstioOperator, so it had no effect; Helm values belong below spec.values",
	"pilot":             "not a field of an IstioOperator, so it had no effect; Helm values belong below spec.values",
	"resourceSuffix":    "without effect since Istio 1.6",
	"namespaceSelector": "not a field of an IstioOperator; meshConfig.discoverySelectors selects namespaces",
}

// takeRest names what no step has taken.
func (m *migration) takeRest() {
	for key, value := range yamltree.Fields(m.spec) {
		why := unknownFields[key]
		if why == "" {
			why = "not a field of an IstioOperator, so nothing was made of it"
			if best := values.Closest(key, []string{
				"profile", "hub", "tag", "namespace", "revision", "compatibilityVersion", "meshConfig", "components", "values",
				"unvalidatedValues",
			}); best != "" {
				why += "; did you mean " + best + "?"
			}
		}
		m.warn(keys("spec", key), "spec.%s (%s): %s", key, short(value), why)
	}
}

// assemble makes the resources and reads them as Lateen's functions will.
func (m *migration) assemble() {
	if m.control {
		istio := fields("apiVersion", v1.GroupVersion.String(), "kind", v1.KindIstio, "metadata", fields("name", m.name),
			"spec", fields("version", m.version, "namespace", orNil(m.namespace), "profile", orNil(m.profile.as),
				"meshConfig", m.meshConfig, "values", m.values))
		m.add(istio, rootIstio)
	}
	if m.plugin {
		profile := m.profile.as
		if profile == "" {
			profile = yamltree.Text(m.values, "profile") // since 1.24 charts select a profile by this value
		}
		cni := fields("apiVersion", v1.GroupVersion.String(), "kind", v1.KindIstioCNI, "metadata", fields("name", "default"),
			"spec", fields("version", m.version, "namespace", m.cniNamespace(), "profile", orNil(profile), "values", m.istioCNI))
		m.add(cni, rootCNI)
	}
}

// orNil leaves out an empty text.
func orNil(s string) *yaml.Node {
	if s == "" {
		return nil
	}
	return yamltree.NewText(s)
}

// add takes a resource into the output; what is wrong with it is traced back to the IstioOperator.
func (m *migration) add(n *yaml.Node, root string) {
	o, err := manifest.FromNode(n)
	if err != nil {
		m.fail(nil, "%v", err)
		return
	}
	_, findings := resource.Decode(o)
	for _, r := range findings {
		at := keys("spec")
		if r.Field != "" {
			at = m.blame(root, strings.Split(r.Field, "."))
		}
		m.result(r.Severity, at, "the %s would be wrong: %s", o.Kind(), r.Message)
	}
	m.objects = append(m.objects, o)
}

// blame says which field of the IstioOperator a field of a new resource comes from.
func (m *migration) blame(root string, pointer []string) []string {
	switch {
	case slices.Equal(pointer, keys("metadata", "name")):
		return keys("spec", "revision")
	case slices.Equal(pointer, keys("spec", "version")):
		return keys("spec", "tag")
	case len(pointer) > 2 && pointer[1] == "values":
		return m.source(root, pointer[2:])
	}
	return pointer
}

// index writes the position in a list as part of a pointer.
func index(at []string, i int) []string { return append(slices.Clip(at), strconv.Itoa(i)) }

// sameField reports whether a result is about a field.
func sameField(at []string) func(finding.Finding) bool {
	return func(f finding.Finding) bool { return f.Field == dotted(at) }
}
