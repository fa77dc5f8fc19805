package cluster

import (
	"strings"

	"github.com/Masterminds/semver/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/lateen-io/lateen/internal/usage"
)

// sink is where the objects of a subject go.
type sink interface {
	set(o runtime.Object) (usage.Change, error)
	remove(o runtime.Object) (usage.Change, error)
	// replace begins to take in all objects that there are: each is noted, and in the end done is called.
	replace() (note func(o runtime.Object) error, done func() usage.Change)
}

func headOf(o runtime.Object) (*metav1.PartialObjectMetadata, error) {
	if m, ok := o.(*metav1.PartialObjectMetadata); ok {
		return m, nil
	}
	return nil, unexpected(o)
}

func excerptOf(o runtime.Object) (*excerpt, error) {
	if e, ok := o.(*excerpt); ok {
		return e, nil
	}
	return nil, unexpected(o)
}

// podSink takes pods, or what makes pods.
type podSink struct {
	index *usage.Index
	kind  string
	of    func(o runtime.Object) (usage.Pod, error)
}

func (s podSink) set(o runtime.Object) (usage.Change, error) {
	p, err := s.of(o)
	if err != nil {
		return usage.Change{}, err
	}
	return s.index.SetPod(p), nil
}

func (s podSink) remove(o runtime.Object) (usage.Change, error) {
	p, err := s.of(o)
	if err != nil {
		return usage.Change{}, err
	}
	return s.index.SetPod(usage.Pod{Kind: p.Kind, Namespace: p.Namespace, Name: p.Name, Finished: true}), nil
}

func (s podSink) replace() (note func(o runtime.Object) error, done func() usage.Change) {
	all := s.index.ReplaceWorkloads(s.kind)
	return func(o runtime.Object) error {
		p, err := s.of(o)
		if err == nil {
			all.Set(p)
		}
		return err
	}, all.Done
}

func podOf(o runtime.Object) (usage.Pod, error) {
	m, err := headOf(o)
	if err != nil {
		return usage.Pod{}, err
	}
	return usage.PodOf(m.Namespace, m.Name, m.Labels, m.Annotations, false), nil
}

// namespaceSink takes namespaces.
type namespaceSink struct{ index *usage.Index }

func (s namespaceSink) set(o runtime.Object) (usage.Change, error) {
	m, err := headOf(o)
	if err != nil {
		return usage.Change{}, err
	}
	return s.index.SetNamespace(usage.NamespaceOf(m.Name, m.Labels)), nil
}

func (s namespaceSink) remove(o runtime.Object) (usage.Change, error) {
	m, err := headOf(o)
	if err != nil {
		return usage.Change{}, err
	}
	return s.index.DeleteNamespace(m.Name), nil
}

func (s namespaceSink) replace() (note func(o runtime.Object) error, done func() usage.Change) {
	all := s.index.ReplaceNamespaces()
	return func(o runtime.Object) error {
		m, err := headOf(o)
		if err == nil {
			all.Set(usage.NamespaceOf(m.Name, m.Labels))
		}
		return err
	}, all.Done
}

// gatewaySink takes Gateways of the Gateway API.
type gatewaySink struct{ index *usage.Index }

func gatewayOf(o runtime.Object) (usage.Gateway, error) {
	e, err := excerptOf(o)
	if err != nil {
		return usage.Gateway{}, err
	}
	return usage.GatewayOf(e.Metadata.Namespace, e.Metadata.Name, e.Spec.GatewayClassName, e.Metadata.Labels), nil
}

func (s gatewaySink) set(o runtime.Object) (usage.Change, error) {
	g, err := gatewayOf(o)
	if err != nil {
		return usage.Change{}, err
	}
	return s.index.SetGateway(g), nil
}

func (s gatewaySink) remove(o runtime.Object) (usage.Change, error) {
	g, err := gatewayOf(o)
	if err != nil {
		return usage.Change{}, err
	}
	g.Gone = true
	return s.index.SetGateway(g), nil
}

func (s gatewaySink) replace() (note func(o runtime.Object) error, done func() usage.Change) {
	all := s.index.ReplaceGateways()
	return func(o runtime.Object) error {
		g, err := gatewayOf(o)
		if err == nil {
			all.Set(g)
		}
		return err
	}, all.Done
}

// classSink takes GatewayClasses.
type classSink struct{ index *usage.Index }

func classOf(o runtime.Object) (usage.GatewayClass, error) {
	e, err := excerptOf(o)
	if err != nil {
		return usage.GatewayClass{}, err
	}
	return usage.GatewayClass{Name: e.Metadata.Name, Controller: e.Spec.ControllerName}, nil
}

func (s classSink) set(o runtime.Object) (usage.Change, error) {
	c, err := classOf(o)
	if err != nil {
		return usage.Change{}, err
	}
	return s.index.SetGatewayClass(c), nil
}

func (s classSink) remove(o runtime.Object) (usage.Change, error) {
	c, err := classOf(o)
	if err != nil {
		return usage.Change{}, err
	}
	return s.index.SetGatewayClass(usage.GatewayClass{Name: c.Name}), nil
}

func (s classSink) replace() (note func(o runtime.Object) error, done func() usage.Change) {
	all := s.index.ReplaceGatewayClasses()
	return func(o runtime.Object) error {
		c, err := classOf(o)
		if err == nil {
			all.Set(c)
		}
		return err
	}, all.Done
}

// validatorSink takes the webhook istiod-default-validator.
type validatorSink struct{ index *usage.Index }

func (s validatorSink) set(o runtime.Object) (usage.Change, error) {
	m, err := headOf(o)
	if err != nil {
		return usage.Change{}, err
	}
	return s.index.SetDefaultValidator(defaultRevision(m)), nil
}

func (s validatorSink) remove(runtime.Object) (usage.Change, error) {
	return s.index.SetDefaultValidator(""), nil
}

func (s validatorSink) replace() (note func(o runtime.Object) error, done func() usage.Change) {
	revision := ""
	return func(o runtime.Object) error {
		m, err := headOf(o)
		if err == nil {
			revision = defaultRevision(m)
		}
		return err
	}, func() usage.Change { return s.index.SetDefaultValidator(revision) }
}

// defaultRevision is the revision that the default validator names, if its istiod serves Gateways because of that:
// since 1.28. One that does not say of which version it is counts.
func defaultRevision(m *metav1.PartialObjectMetadata) string {
	version, err := semver.NewVersion(strings.TrimPrefix(m.Labels["app.kubernetes.io/version"], "v"))
	const major, minor = 1, 28
	if err == nil && version.Major() == major && version.Minor() < minor {
		return ""
	}
	return m.Labels[usage.LabelRevision]
}
