package release

import "strings"

// Bundle is a bundled version as lists for people and programs have it.
type Bundle struct {
	// Version is the Istio version with its leading v.
	Version string
	// Default says that a resource without spec.version gets it.
	Default bool
	// EndOfLife is the month (YYYY-MM) in which support of its minor ended, or empty.
	EndOfLife string
	// Aliases are other names for it in spec.version.
	Aliases []string
	// Digest is that of its charts.
	Digest string
	// Missing says that the build is without its charts.
	Missing bool
}

// List gives the versions of the catalogue, oldest first. Charts that a user brings may change what an alias stands
// for.
func (c *Catalogue) List() []Bundle {
	var out []Bundle
	for _, e := range c.Releases {
		r, _ := c.annotate(Release{Version: e.Version}, nil)
		b := Bundle{Version: e.Version, Default: e.Version == c.Default(), EndOfLife: r.EndOfLife, Digest: e.Digest}
		if minor := e.Version[:strings.LastIndex(e.Version, ".")]; newest(minor, c.Versions()) == e.Version {
			b.Aliases = []string{minor + "-latest"}
		}
		_, err := c.Resolve(e.Version, nil)
		b.Missing = err != nil
		out = append(out, b)
	}
	return out
}
