package manifest

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/resource"
)

// NoQuantity says why a text is no amount of a resource that the API server would take; it is empty for one. The API
// server answers to such a text as to a trouble of its own.
func NoQuantity(text string) string {
	switch q, err := resource.ParseQuantity(text); {
	case err != nil:
		return fmt.Sprintf("%q is no quantity; write it like 500m, 2 or 128Mi", text)
	case q.Sign() < 0:
		return fmt.Sprintf("%q is negative; write it like 500m, 2 or 128Mi", text)
	}
	return ""
}
