package v1

import (
	"fmt"
	"regexp"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// MaxRevisionNameLength is the length up to which the name of a revision works: istiod-<revision> is the name of a
// Service, which has room for 63 characters.
const MaxRevisionNameLength = validation.DNS1123LabelMaxLength - len("istiod-")

// versionPattern is the pattern of Version in the CRDs.
var versionPattern = regexp.MustCompile(`^(v(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)` +
	`(\.(0|[1-9][0-9]*)(-[0-9A-Za-z][0-9A-Za-z.-]*)?|-latest)|master)$`)

// Validate returns what the API server would reject in a new Istio (and a namespace that no cluster could have), except
// for the schema of the values. Fields left out are valid where they have defaults.
func (i *Istio) Validate() field.ErrorList {
	spec := field.NewPath("spec")
	suffix := 0
	var errs field.ErrorList
	if s := i.Spec.UpdateStrategy; s != nil {
		path := spec.Child("updateStrategy")
		known := []UpdateStrategyType{"", UpdateStrategyInPlace, UpdateStrategyRevisionBased}
		if !slices.Contains(known, s.Type) {
			errs = append(errs, field.NotSupported(path.Child("type"), s.Type, known[1:]))
		}
		if grace := s.InactiveRevisionDeletionGracePeriodSeconds; grace != nil && *grace < 0 {
			errs = append(errs, field.Invalid(path.Child("inactiveRevisionDeletionGracePeriodSeconds"), *grace,
				"must be greater than or equal to 0"))
		}
		if s.Type == UpdateStrategyRevisionBased && i.Spec.Version != "" {
			suffix = len("-") + len(i.Spec.Version)
		}
	}
	errs = append(errs, validateName(i.Name, MaxRevisionNameLength-suffix)...)
	errs = append(errs, validateVersion(spec, i.Spec.Version)...)
	errs = append(errs, validateProfile(spec, i.Spec.Profile)...)
	namespace := i.Spec.Namespace
	if namespace == "" {
		namespace = DefaultIstioNamespace
	}
	errs = append(errs, validateNamespace(spec, namespace)...)
	values, err := i.Spec.Values.Map()
	if err != nil {
		errs = append(errs, field.TypeInvalid(spec.Child("values"), string(i.Spec.Values.Raw), err.Error()))
	}
	if have, set := istioNamespace(values); set && have != namespace {
		errs = append(errs, istioNamespaceMismatch(spec, have))
	}
	if _, err := i.Spec.MeshConfig.Map(); err != nil {
		errs = append(errs, field.TypeInvalid(spec.Child("meshConfig"), string(i.Spec.MeshConfig.Raw), err.Error()))
	}
	return errs
}

// Validate returns what the API server would reject in a new IstioRevision, except for the schema of
// the values.
func (r *IstioRevision) Validate() field.ErrorList {
	spec := field.NewPath("spec")
	errs := validateName(r.Name, MaxRevisionNameLength)
	if r.Spec.Version == "" {
		errs = append(errs, field.Required(spec.Child("version"), ""))
	}
	errs = append(errs, validateVersion(spec, r.Spec.Version)...)
	if r.Spec.Namespace == "" {
		errs = append(errs, field.Required(spec.Child("namespace"), ""))
	} else {
		errs = append(errs, validateNamespace(spec, r.Spec.Namespace)...)
	}
	values, err := r.Spec.Values.Map()
	if err != nil {
		return append(errs, field.TypeInvalid(spec.Child("values"), string(r.Spec.Values.Raw), err.Error()))
	}
	if have, _ := istioNamespace(values); have != r.Spec.Namespace {
		errs = append(errs, istioNamespaceMismatch(spec, have))
	}
	revision := values["revision"]
	if revision != r.Name && (r.Name != "default" || revision != nil && revision != "") {
		errs = append(errs, field.Invalid(spec.Child("values", "revision"), revision,
			"spec.values.revision must match metadata.name or be empty when the name is 'default'"))
	}
	return errs
}

// Validate returns what the API server would reject in a new IstioRevisionTag.
func (t *IstioRevisionTag) Validate() field.ErrorList {
	target := field.NewPath("spec", "targetRef")
	errs := validateName(t.Name, validation.DNS1123LabelMaxLength)
	switch kinds := []TargetKind{TargetIstio, TargetIstioRevision}; {
	case t.Spec.TargetRef.Kind == "":
		errs = append(errs, field.Required(target.Child("kind"), ""))
	case !slices.Contains(kinds, t.Spec.TargetRef.Kind):
		errs = append(errs, field.NotSupported(target.Child("kind"), t.Spec.TargetRef.Kind, kinds))
	}
	switch n := len(t.Spec.TargetRef.Name); {
	case n == 0:
		errs = append(errs, field.Required(target.Child("name"), ""))
	case n > validation.DNS1123SubdomainMaxLength:
		errs = append(errs, field.TooLong(target.Child("name"), t.Spec.TargetRef.Name, validation.DNS1123SubdomainMaxLength))
	}
	return errs
}

// Validate returns what the API server would reject in a new IstioCNI, except for the schema of the
// values. Fields left out are valid: they have defaults.
func (c *IstioCNI) Validate() field.ErrorList {
	spec := field.NewPath("spec")
	var errs field.ErrorList
	if c.Name != IstioCNIName {
		errs = append(errs, field.Invalid(field.NewPath("metadata", "name"), c.Name, "metadata.name must be 'default'"))
	}
	errs = append(errs, validateVersion(spec, c.Spec.Version)...)
	errs = append(errs, validateProfile(spec, c.Spec.Profile)...)
	if c.Spec.Namespace != "" {
		errs = append(errs, validateNamespace(spec, c.Spec.Namespace)...)
	}
	if _, err := c.Spec.Values.Map(); err != nil {
		errs = append(errs, field.TypeInvalid(spec.Child("values"), string(c.Spec.Values.Raw), err.Error()))
	}
	return errs
}

func validateName(name string, longest int) field.ErrorList {
	path := field.NewPath("metadata", "name")
	if name == "" {
		return field.ErrorList{field.Required(path, "")}
	}
	var errs field.ErrorList
	if !labelPattern.MatchString(name) {
		errs = append(errs, field.Invalid(path, name,
			"must consist of lower case letters, digits and '-', and start and end with a letter or digit"))
	}
	if len(name) > longest {
		errs = append(errs, field.Invalid(path, name,
			fmt.Sprintf("is too long: at most %d characters leave room for the names made of it", max(longest, 0))))
	}
	return errs
}

var labelPattern = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`)

func validateNamespace(spec *field.Path, namespace string) field.ErrorList {
	var errs field.ErrorList
	for _, message := range validation.IsDNS1123Label(namespace) {
		errs = append(errs, field.Invalid(spec.Child("namespace"), namespace, message))
	}
	return errs
}

func validateVersion(spec *field.Path, version Version) field.ErrorList {
	if version == "" || versionPattern.MatchString(string(version)) && len(version) <= maxVersionLength {
		return nil
	}
	return field.ErrorList{field.Invalid(spec.Child("version"), version,
		"must be a version such as v1.28.3, the newest patch of a minor such as v1.28-latest, or master")}
}

const maxVersionLength = 48

func validateProfile(spec *field.Path, profile Profile) field.ErrorList {
	if profile == "" || slices.Contains(Profiles, profile) {
		return nil
	}
	return field.ErrorList{field.NotSupported(spec.Child("profile"), profile, Profiles)}
}

// istioNamespace is global.istioNamespace and whether it is set. A value that is no string is left to the schema.
func istioNamespace(values map[string]any) (string, bool) {
	global, _ := values["global"].(map[string]any)
	namespace, ok := global["istioNamespace"].(string)
	return namespace, ok
}

func istioNamespaceMismatch(spec *field.Path, have string) *field.Error {
	return field.Invalid(spec.Child("values", "global", "istioNamespace"), have,
		"spec.values.global.istioNamespace must match spec.namespace")
}
