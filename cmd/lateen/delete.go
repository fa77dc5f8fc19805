package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/lateen-io/lateen/cmd/lateen/observe"
	"github.com/lateen-io/lateen/cmd/lateen/remove"
	"github.com/lateen-io/lateen/cmd/lateen/show"
	"github.com/lateen-io/lateen/internal/function"
	"github.com/lateen-io/lateen/internal/usage"
)

// deleteOptions are what the flags of delete-revision say.
type deleteOptions struct {
	connection
	dryRun, force bool
}

func newDeleteRevision(p function.Process, name string) *cobra.Command {
	o := &deleteOptions{connection: newConnection()}
	c := &cobra.Command{
		Use:   "delete-revision NAME",
		Short: "Remove all objects of a rendered revision that nothing uses",
		Long: `Removes what a pipeline has rendered for a revision and nobody removes: all objects with the label
lateen.io/revision=NAME, of whatever kind, webhooks first, and the IstioRevision. It looks at the
cluster before, as usage does, and removes nothing as long as anything uses the revision, or as long
as that cannot be said. What other revisions rely on stays.

A revision that the controller applies is the controller's to remove, and the active revision of an
Istio goes with that: both are refused. Take the revision out of Git first, or whatever applies it
brings it back.`,
		Example: strings.ReplaceAll(`  # What would go?
  NAME delete-revision default-v1-27-0 --dry-run

  # Remove it
  NAME delete-revision default-v1-27-0`, "NAME", name),
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 || args[0] == "" {
				return errors.New("give the name of one revision")
			}
			return o.check()
		},
		RunE: func(c *cobra.Command, args []string) error {
			ctx, cancel := context.WithTimeout(c.Context(), o.timeout)
			defer cancel()
			return o.run(ctx, p.Stdout, args[0])
		},
	}
	f := c.Flags()
	f.BoolVar(&o.dryRun, "dry-run", false, "only say what would be removed")
	f.BoolVar(&o.force, "force", false, "remove a revision that is in use, or not known to be unused; says who is hurt")
	o.bind(f)
	return c
}

// run looks at the cluster, decides and removes.
func (o *deleteOptions) run(ctx context.Context, w io.Writer, name string) error {
	config, err := o.config()
	if err != nil {
		return err
	}
	c, err := observe.Cluster(ctx, config, time.Now())
	if err != nil && !o.force {
		return o.unknown(ctx, name, err)
	}
	r, errFind := remove.Find(ctx, config, name)
	if errFind != nil {
		return o.unknown(ctx, name, errFind)
	}
	if err := r.Refused(); err != nil {
		return err
	}
	if err == nil {
		if err := o.unused(w, name, c); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(w, "it is not known who uses %s: %v\n", name, err)
	}
	return r.Delete(ctx, w, o.dryRun)
}

func (o *deleteOptions) unknown(ctx context.Context, name string, err error) error {
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("nothing is removed: it cannot be said whether anything uses %s: %w (--timeout is %s)", name,
			err, o.timeout)
	case apierrors.IsForbidden(err):
		return fmt.Errorf("nothing is removed: it cannot be said whether anything uses %s: %w; docs/usage.md has a "+
			"ClusterRole with what is needed", name, err)
	}
	return fmt.Errorf("nothing is removed: it cannot be said whether anything uses %s: %w", name, err)
}

// unused is an error if anything uses the revision, unless that is to be ignored; then it says who.
func (o *deleteOptions) unused(w io.Writer, name string, c show.Cluster) error {
	v, err := c.View(-1).Only(name)
	if err != nil || len(v.Revisions) == 0 {
		return nil //nolint:nilerr // nothing names it, and there may be objects of it
	}
	use := v.Revisions[0].Use
	if use.InUse == usage.False {
		return nil
	}
	switch {
	case !o.force && use.InUse == usage.Unknown:
		return fmt.Errorf("nothing is removed: it is not known whether anything uses %s: %s", name, use.Why)
	case !o.force:
		return fmt.Errorf("nothing is removed: %s is in use. %s. `lateen usage %[1]s` shows all. With --force it is "+
			"removed all the same, and they have no "+
			"control plane", name, use.Message())
	case use.InUse == usage.Unknown:
		fmt.Fprintf(w, "it is not known who uses %s: %s\n", name, use.Why)
		return nil
	}
	fmt.Fprintf(w, "%s is in use, and these have no control plane afterwards:\n", name)
	for _, u := range use.Users {
		fmt.Fprintf(w, "  %s\n", show.Who(u))
	}
	return nil
}
