package revision_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-io/lateen/internal/revision"
)

func TestName(t *testing.T) {
	long := strings.Repeat("x", 48) // istio + "-v1-28-3" is 56 characters, the longest that fits into istiod-<revision>
	cases := map[string]struct {
		reason         string
		istio, version string
		revisionBased  bool
		want, err      string
	}{
		"in place": {
			reason: "one revision under the Istio's name, whatever the version",
			istio:  "default", version: "v1.28.3", want: "default",
		},
		"revision based": {
			reason: "dots do not belong into names of Services",
			istio:  "default", version: "v1.28.3", revisionBased: true, want: "default-v1-28-3",
		},
		"alias": {
			reason: "an alias stays an alias, so a new patch of the minor replaces the revision",
			istio:  "default", version: "v1.28-latest", revisionBased: true, want: "default-v1-28-latest",
		},
		"pre-release": {
			reason: "every dot, not only those between numbers",
			istio:  "mesh1", version: "v1.29.0-rc.1", revisionBased: true, want: "mesh1-v1-29-0-rc-1",
		},
		"longest": {
			reason: "istiod-<revision> has 63 characters",
			istio:  long, version: "v1.28.3", revisionBased: true, want: long + "-v1-28-3",
		},
		"too long": {
			reason: "rejected before Kubernetes rejects the Service",
			istio:  long + "y", version: "v1.28.3", revisionBased: true,
			err: `the revision would be named "` + long +
				`y-v1-28-3", which has 57 characters; istiod-<revision> is the name of a Service, ` +
				"so at most 56 are possible: give the Istio a shorter name",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := revision.Name(tc.istio, tc.version, tc.revisionBased)
			message := ""
			if err != nil {
				message = err.Error()
			}
			if diff := cmp.Diff([]string{tc.want, tc.err}, []string{got, message}); diff != "" {
				t.Errorf("%s\n(-want +got)\n%s", tc.reason, diff)
			}
		})
	}
}

func TestSuffix(t *testing.T) {
	for name, want := range map[string]string{"default": "", "default-v1-28-3": "-default-v1-28-3", "mesh1": "-mesh1"} {
		if got := revision.Suffix(name); got != want {
			t.Errorf("the revision named default, and only that, has objects without a suffix: %s: want %q, got %q", name, want,
				got)
		}
	}
}
