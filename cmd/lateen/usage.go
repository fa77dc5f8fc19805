package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/rest"

	"github.com/lateen-io/lateen/cmd/lateen/observe"
	"github.com/lateen-io/lateen/cmd/lateen/show"
	"github.com/lateen-io/lateen/internal/function"
)

// The output formats.
const (
	outputTable   = "table"
	outputYAML    = "yaml"
	outputJSON    = "json"
	outputDOT     = "dot"
	outputMermaid = "mermaid"
	outputHTML    = "html"
)

var outputs = []string{outputTable, outputYAML, outputJSON, outputDOT, outputMermaid, outputHTML}

const (
	// fewUsers is how many users of each name a table shows, unless more are asked for.
	fewUsers = 3
	// patience is how long a look at a cluster may take, unless the user says otherwise.
	patience = 2 * time.Minute
)

// usageOptions are what the flags of usage say.
type usageOptions struct {
	output, name string
	all, unused  bool
	connection
}

func newUsage(p function.Process, name string) *cobra.Command {
	o := &usageOptions{connection: newConnection()}
	c := &cobra.Command{
		Use:   "usage [NAME...]",
		Short: "Who uses which revision",
		Long: `Looks at a cluster once and tells who uses which revision: namespaces and pods by their labels and
annotations, tags by what they point at. Revisions and tags are the IstioRevisions and
IstioRevisionTags of the cluster, and those that its injection webhooks are for: Lateen need not be
installed. Names limit the answer to revisions and tags of that name, and show all their users.

What cannot be seen completely is an error: nothing is called unused that was not looked at.`,
		Example: strings.ReplaceAll(`  # A table
  NAME usage

  # Everybody who still uses an old revision
  NAME usage default-v1-27-0

  # A usage report for a package in Git, where render-istio then removes what is unused
  NAME usage -o yaml --name west > usage-west.yaml

  # A picture
  NAME usage -o html > usage.html
  NAME usage -o dot | dot -Tsvg > usage.svg

  # In a script
  NAME usage --unused`, "NAME", name),
		Args: func(_ *cobra.Command, args []string) error { return o.check(args) },
		RunE: func(c *cobra.Command, args []string) error {
			ctx, cancel := context.WithTimeout(c.Context(), o.timeout)
			defer cancel()
			return o.run(ctx, p.Stdout, args, time.Now())
		},
	}
	f := c.Flags()
	f.StringVarP(&o.output, "output", "o", outputTable, strings.Join(outputs, ", ")+"; yaml and json are a usage report")
	f.BoolVarP(&o.all, "all-users", "A", false,
		fmt.Sprintf("show all users; else a table shows the first %d of each name, and a graph "+
			"counts pods of one namespace and reason if there are more than %d", fewUsers, show.FoldAbove))
	f.BoolVar(&o.unused, "unused", false, "print only the names of revisions that nothing uses, active ones among them")
	f.StringVar(&o.name, "name", "", "name of the cluster in a usage report, by default that of the kubeconfig's context")
	o.bind(f)
	must(c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(outputs, cobra.ShellCompDirectiveNoFileComp)))
	return c
}

// check finds what is wrong with a call, before anything is asked.
func (o *usageOptions) check(names []string) error {
	report := o.output == outputYAML || o.output == outputJSON
	switch {
	case !slices.Contains(outputs, o.output):
		return fmt.Errorf("--output is %q; possible are: %s", o.output, strings.Join(outputs, ", "))
	case o.unused && o.output != outputTable:
		return errors.New("--unused prints names only: leave out --output")
	case report && len(names) > 0:
		return errors.New("a usage report is about all revisions: leave out the names")
	case report && o.all:
		return errors.New("a usage report names the first users only, and says how many there are: leave out --all-users")
	case o.name != "" && !report:
		return errors.New("--name is for a usage report: add --output yaml")
	}
	if err := o.connection.check(); err != nil {
		return err
	}
	if o.name != "" {
		if problems := validation.IsDNS1123Subdomain(o.name); len(problems) > 0 {
			return fmt.Errorf("--name: %s", strings.Join(problems, "; "))
		}
	}
	return nil
}

// run looks at the cluster and writes the answer, all of it or nothing.
func (o *usageOptions) run(ctx context.Context, w io.Writer, names []string, now time.Time) error {
	config, cluster, err := o.cluster()
	if err != nil {
		return err
	}
	c, err := observe.Cluster(ctx, config, now)
	if err != nil {
		return incomplete(ctx, err, o.timeout)
	}
	c.Name = cluster
	var b bytes.Buffer
	if err := o.write(&b, c, names); err != nil {
		return err
	}
	_, err = b.WriteTo(w)
	return err
}

// cluster finds out how to reach the cluster, and what to call it.
func (o *usageOptions) cluster() (*rest.Config, string, error) {
	config, err := o.config()
	if err != nil {
		return nil, "", err
	}
	name := o.name
	if name == "" {
		raw, err := o.loader().RawConfig()
		if err != nil {
			return nil, "", err
		}
		name = validName(cmp.Or(o.overrides.CurrentContext, raw.CurrentContext))
	}
	if name == "" && (o.output == outputYAML || o.output == outputJSON) {
		return nil, "", errors.New(
			"a usage report names its cluster, and there is no context to name it after: give it one with --name")
	}
	return config, name, nil
}

// validName makes a name of an object of the name of a context, which may be any text; "" if nothing is left of it.
func validName(text string) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '.':
			return r
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		}
		return '-'
	}, text)
	var parts []string
	for part := range strings.SplitSeq(name[:min(len(name), validation.DNS1123SubdomainMaxLength)], ".") {
		if part = strings.Trim(part, "-"); part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, ".")
}

// incomplete says that there is no answer, and why.
func incomplete(ctx context.Context, err error, timeout time.Duration) error {
	const nothing = "the cluster could not be seen completely, so that nothing can be said about who uses what: "
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf(nothing+"%w (--timeout is %s)", err, timeout)
	case apierrors.IsForbidden(err):
		return fmt.Errorf(nothing+"%w; docs/usage.md has a ClusterRole with what is needed", err)
	}
	return fmt.Errorf(nothing+"%w", err)
}

// write writes the answer in the format that was asked for.
func (o *usageOptions) write(w io.Writer, c show.Cluster, names []string) error {
	switch o.output {
	case outputYAML:
		return c.ReportYAML(w)
	case outputJSON:
		return c.ReportJSON(w)
	}
	most := -1
	if o.output == outputTable && !o.all && len(names) == 0 {
		most = fewUsers
	}
	v, err := c.View(most).Only(names...)
	if err != nil {
		return err
	}
	switch {
	case o.unused:
		for _, name := range v.Unused() {
			fmt.Fprintln(w, name)
		}
		return nil
	case o.output == outputDOT:
		return v.DOT(w, o.all)
	case o.output == outputMermaid:
		return v.Mermaid(w, o.all)
	case o.output == outputHTML:
		return v.HTML(w, o.all)
	}
	return v.Table(w)
}

// must ends the program over a mistake in it.
func must(err error) {
	if err != nil {
		panic(err)
	}
}
