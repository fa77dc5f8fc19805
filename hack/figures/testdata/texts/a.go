// Package texts has texts.
package texts

import (
	"errors"
	"fmt"
)

type named struct {
	A string `json:"what would be four words"`
}

func first(name string) error {
	return fmt.Errorf("the namespace %q does not exist; "+
		"create it first", name)
}

func second() error { return errors.New("the thing is too big") }

func third() []string { return []string{"a b c", "one two three four", "gateway.networking.k8s.io/v1"} }
