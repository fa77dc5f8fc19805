package texts

import "fmt"

func fourth(name string) string {
	return fmt.Sprintf("The namespace %[1]s doesn't exist; create it first.", name)
}

func fifth() string { return fmt.Sprint("the box is not big", "one two three four") }
