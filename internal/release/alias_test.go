package release_test

import (
	"testing"

	"github.com/lateen-io/lateen/internal/release"
)

func TestCheckAlias(t *testing.T) {
	t.Parallel()
	const down = "v1.28-latest is v1.28.3 here, and v1.28.10 is installed: an alias never goes down by itself. " +
		"Bring the charts of v1.28.10 (--charts), or ask for v1.28.3 itself"
	for _, c := range []struct{ reason, asked, means, installed, want string }{
		{"The charts of the newer patch are gone.", "v1.28-latest", "v1.28.3", "v1.28.10", down},
		{"Nothing is known of what is installed.", "v1.28-latest", "v1.28.3", "", ""},
		{"It is the same.", "v1.28-latest", "v1.28.3", "v1.28.3", ""},
		{"It goes up.", "v1.28-latest", "v1.28.10", "v1.28.9", ""},
		{"Somebody asks for the older one.", "v1.28.3", "v1.28.3", "v1.28.10", ""},
		{"Somebody asks for an older minor.", "v1.27-latest", "v1.27.0", "v1.28.10", ""},
		{"1.2 is no older 1.28.", "v1.2-latest", "v1.2.3", "v1.28.10", ""},
		{
			"A pre-release is older than its release.", "v1.28-latest", "v1.28.3-rc.1", "v1.28.3",
			"v1.28-latest is v1.28.3-rc.1 here, and v1.28.3 is installed: " +
				"an alias never goes down by itself. Bring the charts of v1.28.3 (--charts), or ask for " +
				"v1.28.3-rc.1 itself",
		},
	} {
		got := ""
		if err := release.CheckAlias(c.asked, release.Release{Version: c.means}, c.installed); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s\nwant %q\ngot  %q", c.reason, c.want, got)
		}
	}
}

func TestOlderMinor(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"v1.27.5", "v1.28.0", true},
		{"v1.28.0", "v1.28.9", false},
		{"v1.30.0", "v1.28.9", false},
		{"v0.99.0", "v1.0.0", true},
		{"master", "v1.28.0", false},
		{"v1.27.0", "master", false},
		{"", "v1.28.0", false},
	} {
		if got := release.OlderMinor(c.a, c.b); got != c.want {
			t.Errorf("OlderMinor(%q, %q) = %t", c.a, c.b, got)
		}
	}
}
