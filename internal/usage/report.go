// Package usage knows who uses which revision, and why: the rules, by which labels and annotations make a namespace or
// pod a user; an index that is kept by events; the graph of users that it answers with; and the usage report, by which
// somebody who can see a cluster tells those who render in Git, where clusters cannot be seen. What becomes of a
// revision that nothing uses is decided elsewhere: in package prune for a cluster, by Decide for a package.
package usage

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// APIVersion and Kind of a usage report in a package.
const (
	APIVersion = "lateen.io/v1alpha1"
	Kind       = "UsageReport"
)

// InUse says whether something is used.
type InUse string

// What a report can say of a revision.
const (
	True    InUse = "True"
	False   InUse = "False"
	Unknown InUse = "Unknown"
)

// UnmarshalJSON takes a boolean as well: YAML makes one of False without quotes. ParseReport then says what to write.
func (u *InUse) UnmarshalJSON(data []byte) error {
	var b bool
	if json.Unmarshal(data, &b) == nil {
		*u = InUse(strconv.FormatBool(b))
		return nil
	}
	return json.Unmarshal(data, (*string)(u))
}

// Report is what was seen in one cluster: spec of a UsageReport.
type Report struct {
	// Name is metadata.name, which names the cluster.
	Name string `json:"-"`
	// ObservedAt is when the cluster was looked at, as RFC 3339. It tells a new report from an old one that says the same.
	ObservedAt string `json:"observedAt"`
	// Revisions are all revisions that the cluster has.
	Revisions []Revision `json:"revisions"`
	// Enrolled is how many namespaces and pods are in ambient. They use no revision.
	Enrolled int `json:"enrolled,omitempty"`
}

// Revision is one revision in a report.
type Revision struct {
	Name  string `json:"name"`
	InUse InUse  `json:"inUse"`
	// Users are those who use it, or some of them.
	Users []User `json:"users,omitempty"`
	// Total is how many users there are, if not all are listed.
	Total int `json:"total,omitempty"`
}

// User is one use of a revision.
type User struct {
	// Kind, Namespace and Name of a Namespace, of a Pod or what makes Pods, of a Gateway, or of a tag.
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	// Reason is why it counts: a label, an annotation.
	Reason string `json:"reason,omitempty"`
}

func (u User) String() string {
	if u.Namespace != "" {
		return u.Kind + " " + u.Namespace + "/" + u.Name
	}
	return u.Kind + " " + u.Name
}

// ParseReport reads the spec of a UsageReport, as JSON, strictly.
func ParseReport(name string, spec []byte) (Report, error) {
	r := Report{Name: name}
	dec := json.NewDecoder(bytes.NewReader(spec))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&r); err != nil {
		return r, fmt.Errorf("spec: %w", err)
	}
	if _, err := time.Parse(time.RFC3339, r.ObservedAt); err != nil {
		return r, fmt.Errorf("spec.observedAt is %q; write when the cluster was looked at, like 2026-11-22T12:00:00Z",
			r.ObservedAt)
	}
	if r.Enrolled < 0 {
		return r, fmt.Errorf("spec.enrolled is %d; it is how many namespaces and pods are in ambient", r.Enrolled)
	}
	if r.Revisions == nil {
		return r, errors.New("spec.revisions is missing: list all revisions that the cluster has")
	}
	seen := map[string]bool{}
	for i, rev := range r.Revisions {
		switch {
		case rev.Total < 0 || rev.Total > 0 && rev.Total < len(rev.Users):
			return r, fmt.Errorf("spec.revisions[%d].total is %d, and there are %d users; leave it out if all are listed", i,
				rev.Total, len(rev.Users))
		case rev.InUse == False && max(rev.Total, len(rev.Users)) > 0:
			return r, fmt.Errorf("spec.revisions[%d]: %s has users, but inUse is False", i, rev.Name)
		case rev.Name == "":
			return r, fmt.Errorf("spec.revisions[%d].name is missing", i)
		case seen[rev.Name]:
			return r, fmt.Errorf("spec.revisions[%d]: the revision %s is there twice", i, rev.Name)
		case rev.InUse == "true" || rev.InUse == "false":
			quoted := map[InUse]InUse{"true": True, "false": False}[rev.InUse]
			return r, fmt.Errorf("spec.revisions[%d].inUse is %s; write it as text, with quotes: inUse: %q", i, rev.InUse,
				quoted)
		case rev.InUse != True && rev.InUse != False && rev.InUse != Unknown:
			return r, fmt.Errorf("spec.revisions[%d].inUse is %q; possible are: True, False, Unknown", i, rev.InUse)
		}
		seen[rev.Name] = true
	}
	return r, nil
}

// Digest identifies what a report says and when it was taken: "west@5f2c...".
func (r Report) Digest() string {
	data, err := json.Marshal(r)
	if err != nil {
		return r.Name // not possible: it is text and lists of text
	}
	sum := sha256.Sum256(data)
	return r.Name + "@" + hex.EncodeToString(sum[:6])
}

// revision finds a revision in the report.
func (r Report) revision(name string) (Revision, bool) {
	for _, rev := range r.Revisions {
		if rev.Name == name {
			return rev, true
		}
	}
	return Revision{}, false
}

// Verdict is a decision with its reason.
type Verdict struct {
	// Unused says that the revision may go.
	Unused bool
	Reason string
}

// Question is about a revision of a package.
type Question struct {
	// Revision is no longer the active one, Active is.
	Revision, Active string
	// Stale are the digests of the reports that were in the package when the active revision became the active one,
	// perhaps not for the first time.
	Stale []string
	// Clusters are all that the package is applied to, if somebody has listed them.
	Clusters []string
}

// Decide says whether a revision that is no longer the active one may go, by the reports of all clusters that the
// package is applied to. It goes only if there is a report - one of each cluster, if the clusters are known -, and
// every report says that nothing uses it, and was taken when the cluster already had the active revision: an earlier
// one may have seen the revision before anything used it. Stale ones are earlier as well, whatever they mention. A
// report of a cluster that is none of the package's says nothing, unless it mentions the revision as one that may be
// used.
func Decide(reports []Report, q Question) Verdict {
	if len(reports) == 0 {
		return Verdict{Reason: "there is no usage report in the package"}
	}
	for _, cluster := range q.Clusters {
		if !slices.ContainsFunc(reports, func(r Report) bool { return r.Name == cluster }) {
			return Verdict{Reason: "there is no usage report of the cluster " + cluster}
		}
	}
	var names []string
	for _, r := range reports {
		rev, known := r.revision(q.Revision)
		if len(q.Clusters) > 0 && !slices.Contains(q.Clusters, r.Name) && (!known || rev.InUse == False) {
			continue
		}
		names = append(names, r.Name)
		switch _, current := r.revision(q.Active); {
		case !known:
			return Verdict{Reason: "the usage report " + r.Name + " does not mention it"}
		case rev.InUse == True:
			return Verdict{Reason: "the usage report " + r.Name + " says it is used" + by(rev)}
		case rev.InUse == Unknown:
			return Verdict{Reason: "the usage report " + r.Name + " does not know whether it is used"}
		case slices.Contains(q.Stale, r.Digest()):
			return Verdict{
				Reason: "the usage report " + r.Name + " was in the package before " + q.Active + " became the active revision",
			}
		case !current:
			return Verdict{
				Reason: "the usage report " + r.Name + " was taken before the cluster had the active revision " + q.Active,
			}
		}
	}
	return Verdict{Unused: true, Reason: "nothing uses it, by the usage report " + strings.Join(names, ", ")}
}

// by names the first few users.
func by(rev Revision) string {
	if len(rev.Users) == 0 {
		return ""
	}
	return " by " + first(rev.Users, rev.Total)
}
