package show

import (
	"cmp"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
)

// Table writes the view as tables, with the users that it has.
func (v View) Table(w io.Writer) error {
	var parts []string
	if len(v.Revisions) > 0 {
		rows := [][]string{{"REVISION", "VERSION", "ISTIO", "TAGS", "IN USE", "USERS", "WHO"}}
		for _, n := range v.Revisions {
			rows = append(rows, n.rows(n.Name, n.Version, n.istio(), strings.Join(n.Tags, ","), n.inUse())...)
		}
		parts = append(parts, table(rows))
	}
	if len(v.Tags) > 0 {
		rows := [][]string{{"TAG", "REVISION", "IN USE", "USERS", "WHO"}}
		for _, n := range v.Tags {
			rows = append(rows, n.rows(n.Name, strings.Join(n.Targets, ","), n.inUse())...)
		}
		parts = append(parts, table(rows))
	}
	if len(v.Unresolved) > 0 {
		rows := [][]string{{"UNRESOLVED", "USERS", "WHO"}}
		for _, n := range v.Unresolved {
			rows = append(rows, n.rows(n.Name)...)
		}
		parts = append(parts, table(rows))
	}
	if v.Enrolled.Total > 0 {
		n := Node{Use: v.Enrolled}
		parts = append(parts, table(append([][]string{{"AMBIENT", "USERS", "WHO"}}, n.rows("ztunnel and CNI")...)))
	}
	if len(parts) == 0 {
		parts = []string{"There is no revision, and nothing that names one.\n"}
	}
	_, err := io.WriteString(w, strings.Join(parts, "\n"))
	return err
}

// rows are the cells of a node, and below them one row for each further user.
func (n Node) rows(cells ...string) [][]string {
	for i, c := range cells {
		cells[i] = cmp.Or(Printable(c), "-")
	}
	var users []string
	for _, u := range n.Use.Users {
		users = append(users, Who(u))
	}
	if more := n.Use.Total - len(users); more > 0 {
		users = append(users, fmt.Sprintf("and %d more", more))
	}
	if n.Use.Why != "" {
		users = append(users, Printable(n.Use.Why))
	}
	if len(users) == 0 {
		users = []string{"-"}
	}
	rows := [][]string{append(cells, strconv.Itoa(n.Use.Total), users[0])}
	for _, u := range users[1:] {
		rows = append(rows, append(make([]string, len(cells)+1), u))
	}
	return rows
}

// table aligns the columns.
func table(rows [][]string) string {
	const gap = 3
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, gap, ' ', 0)
	for _, row := range rows {
		// A builder takes everything.
		_, _ = io.WriteString(w, strings.Join(row, "\t")+"\n")
	}
	_ = w.Flush()
	return b.String()
}
