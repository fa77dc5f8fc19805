package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/lateen-io/lateen/internal/release"
)

// istioVersion is a bundled Istio version.
type istioVersion struct {
	Version string `json:"version"`
	// Default says that an Istio without spec.version gets it.
	Default bool `json:"default,omitempty"`
	// EndOfLife is the month in which its support ended: 2026-03.
	EndOfLife string `json:"endOfLife,omitempty"`
	// Aliases are other names for it in spec.version.
	Aliases []string `json:"aliases,omitempty"`
	// Digest is that of its charts.
	Digest string `json:"digest"`
	// Missing says that this program was built without its charts.
	Missing bool `json:"missing,omitempty"`
}

func newVersions() *cobra.Command {
	output := ""
	c := &cobra.Command{
		Use:   "versions",
		Short: "List the bundled Istio versions",
		Args: func(c *cobra.Command, args []string) error {
			if output != outputTable && output != outputJSON {
				return fmt.Errorf("--output is %q; possible are: %s, %s", output, outputTable, outputJSON)
			}
			return cobra.NoArgs(c, args)
		},
		RunE: func(c *cobra.Command, _ []string) error {
			versions := bundled(release.Bundled())
			w := c.OutOrStdout()
			if output == outputJSON {
				e := json.NewEncoder(w)
				e.SetIndent("", "  ")
				return e.Encode(versions)
			}
			return writeVersions(w, versions)
		},
	}
	c.Flags().StringVarP(&output, "output", "o", outputTable, "table or json")
	must(c.RegisterFlagCompletionFunc("output",
		cobra.FixedCompletions([]string{outputTable, outputJSON}, cobra.ShellCompDirectiveNoFileComp)))
	return c
}

func writeVersions(w io.Writer, versions []istioVersion) error {
	var b bytes.Buffer
	b.WriteString("VERSION\tDEFAULT\tEND OF LIFE\tALIASES\n")
	for _, v := range versions {
		name, isDefault := v.Version, ""
		if v.Missing {
			name += " (not in this build)"
		}
		if v.Default {
			isDefault = "yes"
		}
		fmt.Fprintf(&b, "%s\t%s\t%s\t%s\n", name, cmp.Or(isDefault, "-"), cmp.Or(v.EndOfLife, "-"),
			cmp.Or(strings.Join(v.Aliases, ","), "-"))
	}
	const gap = 3
	table := tabwriter.NewWriter(w, 0, 0, gap, ' ', 0)
	if _, err := b.WriteTo(table); err != nil {
		return err
	}
	return table.Flush()
}

// bundled are the versions of a catalogue, oldest first.
func bundled(catalogue *release.Catalogue) []istioVersion {
	var out []istioVersion
	for _, b := range catalogue.List() {
		out = append(out, istioVersion(b))
	}
	return out
}
