package release

import (
	"fmt"
	"strings"

	"github.com/Masterminds/semver/v3"
)

// OlderPatchError says that an alias means an older patch than what it has meant before: the charts of that one are
// not here. Somebody else had them, or this process before it was restarted.
type OlderPatchError struct {
	// Alias is the version that was asked for: v1.28-latest. Means is what it is here, and Installed what it was
	// before.
	Alias, Means, Installed string
}

func (e *OlderPatchError) Error() string {
	return fmt.Sprintf("%[1]s is %[2]s here, and %[3]s is installed: an alias never goes down by itself. "+
		"Bring the charts of %[3]s (--charts), or ask for %[2]s itself", e.Alias, e.Means, e.Installed)
}

// CheckAlias reports an alias that would take a control plane from the installed version down to an older patch of
// the same minor. A version that is asked for by itself may be older, and so may an alias of an older minor:
// somebody has written that. installed is "" if nothing is known of it.
func CheckAlias(asked string, r Release, installed string) error {
	minor, alias := strings.CutSuffix(asked, "-latest")
	if !alias || !strings.HasPrefix(installed, minor+".") || compare(r.Version, installed) >= 0 {
		return nil
	}
	return &OlderPatchError{Alias: asked, Means: r.Version, Installed: installed}
}

// OlderMinor reports whether a version is of an older minor than another. What is no version is not.
func OlderMinor(a, b string) bool {
	va, errA := semver.StrictNewVersion(strings.TrimPrefix(a, "v"))
	vb, errB := semver.StrictNewVersion(strings.TrimPrefix(b, "v"))
	if errA != nil || errB != nil {
		return false
	}
	return va.Major() < vb.Major() || va.Major() == vb.Major() && va.Minor() < vb.Minor()
}
