package prune_test

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-io/lateen/internal/prune"
	"github.com/lateen-io/lateen/internal/usage"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// ago is a moment so many seconds before noon; negative, after it.
func ago(seconds int) time.Time { return noon.Add(-time.Duration(seconds) * time.Second) }

func TestDecide(t *testing.T) {
	t.Parallel()
	never := time.Time{}
	for _, c := range []struct {
		reason   string
		policy   prune.Policy
		revision prune.Revision
		want     prune.Verdict
	}{
		{
			"the active revision stays, however long nothing has used it",
			prune.Policy{},
			prune.Revision{Active: true, InUse: usage.False, UnusedSince: ago(9e6), InactiveSince: ago(9e6)},
			prune.Verdict{Reason: "it is the active revision"},
		},
		{
			"a used one stays, whatever the moments say",
			prune.Policy{},
			prune.Revision{InUse: usage.True, UnusedSince: ago(9e6), InactiveSince: ago(9e6)},
			prune.Verdict{Reason: "it is in use"},
		},
		{
			"unknown is not unused",
			prune.Policy{},
			prune.Revision{InUse: usage.Unknown, UnusedSince: ago(9e6), InactiveSince: ago(9e6)},
			prune.Verdict{Reason: "it is not known whether it is in use"},
		},
		{
			"neither is what nobody has filled in",
			prune.Policy{},
			prune.Revision{UnusedSince: ago(9e6), InactiveSince: ago(9e6)},
			prune.Verdict{Reason: "it is not known whether it is in use"},
		},
		{
			"an external control plane has users that cannot be seen",
			prune.Policy{External: true},
			prune.Revision{InUse: usage.False, UnusedSince: ago(9e6), InactiveSince: ago(9e6)},
			prune.Verdict{
				Reason: "it is an external control plane (pilot.env.EXTERNAL_ISTIOD), whose users are in other clusters",
			},
		},
		{
			"also if only the old revision was one",
			prune.Policy{},
			prune.Revision{External: true, InUse: usage.False, UnusedSince: ago(9e6), InactiveSince: ago(9e6)},
			prune.Verdict{
				Reason: "it is an external control plane (pilot.env.EXTERNAL_ISTIOD), whose users are in other clusters",
			},
		},
		{
			"nobody has noted when it became unused",
			prune.Policy{},
			prune.Revision{InUse: usage.False, UnusedSince: never, InactiveSince: ago(9e6)},
			prune.Verdict{Reason: "it is not known since when it has been unused"},
		},
		{
			"nobody has noted when another became the active one",
			prune.Policy{},
			prune.Revision{InUse: usage.False, UnusedSince: ago(9e6), InactiveSince: never},
			prune.Verdict{Reason: "it is not known since when it has not been the active revision"},
		},
		{
			"the last user has just gone",
			prune.Policy{Grace: 30 * time.Second},
			prune.Revision{InUse: usage.False, UnusedSince: ago(10), InactiveSince: ago(9e6)},
			prune.Verdict{
				Due: ago(-20), Reason: "nothing has used it since 2026-11-22T11:59:50Z; it goes at 2026-11-22T12:00:20Z",
			},
		},
		{
			"never used, and just replaced: it gets its grace",
			prune.Policy{Grace: 30 * time.Second},
			prune.Revision{InUse: usage.False, UnusedSince: ago(9e6), InactiveSince: ago(10)},
			prune.Verdict{
				Due: ago(-20), Reason: "nothing uses it, and it has not been the active revision since 2026-11-22T11:59:50Z; it " +
					"goes at 2026-11-22T12:00:20Z",
			},
		},
		{
			"a moment before its time",
			prune.Policy{Grace: 30 * time.Second},
			prune.Revision{InUse: usage.False, UnusedSince: ago(30).Add(1), InactiveSince: ago(9e6)},
			prune.Verdict{
				Due: noon.Add(1), Reason: "nothing has used it since 2026-11-22T11:59:30Z; it goes at 2026-11-22T12:00:00Z",
			},
		},
		{
			"its time",
			prune.Policy{Grace: 30 * time.Second},
			prune.Revision{InUse: usage.False, UnusedSince: ago(30), InactiveSince: ago(9e6)},
			prune.Verdict{Delete: true, Reason: "nothing has used it since 2026-11-22T11:59:30Z"},
		},
		{
			"no grace is at once",
			prune.Policy{},
			prune.Revision{InUse: usage.False, UnusedSince: noon, InactiveSince: noon},
			prune.Verdict{Delete: true, Reason: "nothing has used it since 2026-11-22T12:00:00Z"},
		},
		{
			"and less than none cannot be",
			prune.Policy{Grace: -time.Hour},
			prune.Revision{InUse: usage.False, UnusedSince: noon.Add(time.Second), InactiveSince: noon},
			prune.Verdict{
				Due: noon.Add(
					time.Second), Reason: "nothing has used it since 2026-11-22T12:00:01Z; it goes at 2026-11-22T12:00:01Z",
			},
		},
		{
			"the clock was set back: the grace starts now, neither long ago nor next year",
			prune.Policy{Grace: 30 * time.Second},
			prune.Revision{InUse: usage.False, UnusedSince: ago(-9e6), InactiveSince: ago(9e6)},
			prune.Verdict{
				Due: ago(-30), Reason: "nothing has used it since 2026-11-22T12:00:00Z; it goes at 2026-11-22T12:00:30Z",
			},
		},
		{
			"the longest grace there is",
			prune.Policy{Grace: math.MaxInt64},
			prune.Revision{InUse: usage.False, UnusedSince: noon, InactiveSince: noon},
			prune.Verdict{
				Due: noon.Add(
					math.MaxInt64), Reason: "nothing has used it since 2026-11-22T12:00:00Z; it goes at 2319-03-04T11:47:16Z",
			},
		},
	} {
		c.revision.Name, c.want.Name = "old", "old"
		if diff := cmp.Diff([]prune.Verdict{c.want}, prune.Decide(noon, c.policy, []prune.Revision{c.revision})); diff != "" {
			t.Errorf("%s: -want +got:\n%s", c.reason, diff)
		}
	}
}

// TestDecideEach shows that each revision is judged for itself, and the order is kept.
func TestDecideEach(t *testing.T) {
	t.Parallel()
	got := prune.Decide(noon, prune.Policy{}, []prune.Revision{
		{Name: "c", InUse: usage.False, UnusedSince: ago(1), InactiveSince: ago(1)},
		{Name: "a", Active: true, InUse: usage.False},
		{Name: "b", InUse: usage.False, UnusedSince: ago(1), InactiveSince: ago(1)},
	})
	var deleted []string
	for _, v := range got {
		if v.Delete {
			deleted = append(deleted, v.Name)
		}
	}
	if diff := cmp.Diff([]string{"c", "b"}, deleted); diff != "" || len(got) != 3 || got[1].Name != "a" {
		t.Errorf("-want +got:\n%s\n%v", diff, got)
	}
}

func TestSince(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		reason   string
		recorded time.Time
		want     time.Time
		reset    bool
	}{
		{"the past", ago(100), ago(100), false},
		{"now", noon, noon, false},
		{"a clock that is a little ahead", ago(-1), ago(-1), false},
		{"a moment that has not been yet", ago(-2), noon, true},
	} {
		if got, reset := prune.Since(noon, c.recorded); !got.Equal(c.want) || reset != c.reset {
			t.Errorf("%s: %v, %t, want %v, %t", c.reason, got, reset, c.want, c.reset)
		}
	}
}

func TestObserve(t *testing.T) {
	t.Parallel()
	never := time.Time{}
	type moments struct{ unused, inactive time.Time }
	for _, c := range []struct {
		reason string
		inUse  usage.InUse
		active bool
		before moments
		want   moments
	}{
		{"a new revision, the active one", usage.False, true, moments{}, moments{noon, never}},
		{"its first user", usage.True, true, moments{ago(9), never}, moments{}},
		{"an upgrade", usage.True, false, moments{}, moments{never, noon}},
		{"its last user goes", usage.False, false, moments{never, ago(9)}, moments{noon, ago(9)}},
		{"nothing new", usage.False, false, moments{ago(5), ago(9)}, moments{ago(5), ago(9)}},
		{"a failed observation keeps the moment", usage.Unknown, false, moments{ago(5), ago(9)}, moments{ago(5), ago(9)}},
		{"and makes none", usage.Unknown, false, moments{}, moments{never, noon}},
		{"a user comes back", usage.True, false, moments{ago(5), ago(9)}, moments{never, ago(9)}},
		{"a downgrade makes it active again", usage.False, true, moments{ago(5), ago(9)}, moments{ago(5), never}},
		{"the clock was set back", usage.False, false, moments{ago(-5), ago(-9)}, moments{noon, noon}},
		{"the same while nothing is known", usage.Unknown, false, moments{ago(-5), ago(9)}, moments{noon, ago(9)}},
	} {
		in := prune.Revision{
			Name: "r", External: true, InUse: c.inUse, Active: c.active, UnusedSince: c.before.unused,
			InactiveSince: c.before.inactive,
		}
		want := in
		want.UnusedSince, want.InactiveSince = c.want.unused, c.want.inactive
		if diff := cmp.Diff(want, prune.Observe(noon, in)); diff != "" {
			t.Errorf("%s: -want +got:\n%s", c.reason, diff)
		}
	}
}

func TestGrace(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		reason  string
		seconds *int64
		want    time.Duration
	}{
		{"the user guide's default", nil, 30 * time.Second},
		{"none", new(int64(0)), 0},
		{"an hour", new(int64(3600)), time.Hour},
		{"more than a duration can hold", new(int64(math.MaxInt64)), math.MaxInt64},
	} {
		if got := prune.Grace(c.seconds); got != c.want {
			t.Errorf("%s: %v, want %v", c.reason, got, c.want)
		}
	}
}
