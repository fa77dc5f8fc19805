package apply

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/lateen-io/lateen/internal/manifest"
)

// MalformedError says that an object cannot be one of its kind, whatever the cluster is like. The API server
// answers to that as to a trouble of its own, which would be tried again for ever.
type MalformedError struct {
	// Why names the field, if that is known, and what is wrong with it.
	Why string
}

func (e *MalformedError) Error() string { return e.Why }

// malformed is why an object that the server could not take can never be taken, or the server's own error. It looks
// at the object only then, so that it costs nothing while all is well.
func malformed(scheme *runtime.Scheme, o *unstructured.Unstructured, err error) error {
	reason := apierrors.ReasonForError(err)
	if reason != metav1.StatusReasonUnknown && reason != metav1.StatusReasonInternalError {
		return err // it knows what is wrong, or that it is not the object
	}
	typed, unknown := scheme.New(o.GroupVersionKind())
	if unknown != nil {
		return err
	}
	cause := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, typed)
	if cause == nil {
		return err
	}
	if field := quantity("", o.Object); field != "" {
		return &MalformedError{Why: field}
	}
	return &MalformedError{Why: errors.Join(cause, err).Error()}
}

// quantity looks for an amount of resources that is none, and says where and what it is.
func quantity(path string, value any) string {
	switch value := value.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(value)) {
			at := key
			if path != "" {
				at = path + "." + key
			}
			amounts, ok := value[key].(map[string]any)
			if ok && (key == "requests" || key == "limits" || key == "hard") {
				if found := amount(at, amounts); found != "" {
					return found
				}
			}
			if found := quantity(at, value[key]); found != "" {
				return found
			}
		}
	case []any:
		for i, item := range value {
			if found := quantity(fmt.Sprintf("%s[%d]", path, i), item); found != "" {
				return found
			}
		}
	}
	return ""
}

func amount(path string, amounts map[string]any) string {
	for _, name := range slices.Sorted(maps.Keys(amounts)) {
		text, ok := amounts[name].(string)
		if !ok {
			continue
		}
		if wrong := manifest.NoQuantity(text); wrong != "" {
			return path + "." + name + ": " + wrong
		}
	}
	return ""
}
