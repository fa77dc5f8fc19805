package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
)

// Write is a request to the API server to change something, or to read it, whatever became of it.
type Write struct {
	// Verb is create, update, patch, delete or deletecollection, and get or list of those that read.
	Verb string
	// User is who asked: "admin", "system:serviceaccount:NAMESPACE:NAME", and "system:apiserver" for the server itself.
	User string
	// UserAgent is the program, by its own account.
	UserAgent string
	// Group, Resource, Subresource, Namespace and Name say what is changed. The core group is empty. So is the name in a
	// deletion of many, and in a creation that was refused before the server read what to create.
	Group, Resource, Subresource, Namespace, Name string
	// DryRun says that nothing was to be stored.
	DryRun bool
	// Code is the HTTP status of the answer, or 0 if the server was killed before.
	Code int
	// Received is when the server had the request, and Answered when it had answered, both in microseconds.
	Received, Answered time.Time
	// Version is the resource version that the answer has: of webhook configurations that were created, updated or
	// patched, else empty.
	Version string
	// Stage is how far the request came: ResponseComplete; RequestReceived if the server was killed; or Panic.
	Stage string
}

// String is the write in a line, for messages.
func (w Write) String() string {
	dryRun := ""
	if w.DryRun {
		dryRun = " (dry run)"
	}
	what := strings.Trim(strings.Join([]string{w.Group, w.Resource, w.Subresource}, "/"), "/")
	return fmt.Sprintf("%s %s %s%s by %s (%s): %d", w.Verb, what, strings.Trim(w.Namespace+"/"+w.Name, "/"), dryRun,
		w.User, w.UserAgent, w.Code)
}

// Writes are all writes so far, in the order in which they were done. The cluster must be WithAudit. Those that were
// answered before the call are in the result, and a later result begins with an earlier one:
//
//	before := c.Writes(t)
//	…
//	added := c.Writes(t)[len(before):]
//
// Reads are left out, and the reviews of tokens and of access, which have the form of a write and store nothing.
func (c *Cluster) Writes(t testing.TB) []Write {
	t.Helper()
	return slices.DeleteFunc(c.audited(t), Write.reads)
}

// Reads are all requests so far to get or to list the resources that WithAudit names; watches are none of them. Else it
// is as Writes.
func (c *Cluster) Reads(t testing.TB) []Write {
	t.Helper()
	return slices.DeleteFunc(c.audited(t), func(w Write) bool { return !w.reads() })
}

func (w Write) reads() bool { return w.Verb == "get" || w.Verb == "list" }

// audited are all requests that were written down.
func (c *Cluster) audited(t testing.TB) []Write {
	t.Helper()
	if !c.options.audit {
		t.Fatal("nobody has written down who changes what: start the cluster WithAudit")
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	requests, err := c.requests(ctx)
	if err != nil {
		t.Fatalf("reading the audit log: %v", err)
	}
	return requests
}

func (c *Cluster) requests(ctx context.Context) ([]Write, error) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	// The server notes a request down before it looks at it, but may note down the answer after the client has it. So
	// whoever is answered is in the log by now, and may have to be waited for.
	if err := c.audit.read(); err != nil {
		return nil, err
	}
	for id := range c.audit.pending {
		err := poll(ctx, func() (bool, error) {
			if _, waiting := c.audit.pending[id]; !waiting {
				return true, nil
			}
			err := c.audit.read()
			return err != nil, err
		})
		if err != nil {
			return nil, err
		}
	}
	return slices.Clone(c.audit.done), nil
}

// The files of the API server's audit. Each start of the server has a log of its own.
const (
	policyFile     = "audit-policy.yaml"
	auditLogFormat = "audit-%d.log"
)

// commonPolicy is what is written down, below what is of reads. Who deletes says in the body whether it is a dry run,
// elsewhere it is in the URL. Webhook configurations are what a controller and istiod both write; whether such a write
// changed anything is in the answer.
const commonPolicy = `- {level: None, verbs: [get, list, watch]}
- {level: None, nonResourceURLs: ["*"]}
- {level: None, resources: [{group: authentication.k8s.io}, {group: authorization.k8s.io}]}
- {level: Request, verbs: [delete, deletecollection]}
- level: RequestResponse
  verbs: [create, update, patch]
  resources:
  - group: admissionregistration.k8s.io
    resources: [mutatingwebhookconfigurations, validatingwebhookconfigurations]
- {level: Metadata}
`

// policy is the policy of the audit.
func (o *options) policy() string {
	var b strings.Builder
	b.WriteString("apiVersion: audit.k8s.io/v1\nkind: Policy\nomitManagedFields: true\nrules:\n")
	for _, r := range o.reads {
		fmt.Fprintf(&b, "- {level: Metadata, verbs: [get, list], resources: [{group: %q, resources: [%s]}]}\n",
			r.Group, r.Resource)
	}
	b.WriteString(commonPolicy)
	return b.String()
}

// nextAuditLog begins another log, and gives the arguments for the server that writes it.
func (c *Cluster) nextAuditLog() ([]string, error) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if err := os.WriteFile(c.file(policyFile), []byte(c.options.policy()), 0o600); err != nil {
		return nil, err
	}
	if err := c.audit.close(); err != nil {
		return nil, err
	}
	c.audit.started++
	name := c.file(fmt.Sprintf(auditLogFormat, c.audit.started))
	file, err := os.OpenFile(name, os.O_CREATE|os.O_RDONLY, 0o600)
	if err != nil {
		return nil, err
	}
	c.audit.file = file
	return []string{
		"--audit-policy-file=" + c.file(policyFile),
		"--audit-log-path=" + name,
		"--audit-log-format=json",
		"--audit-log-mode=blocking",
		"--audit-log-maxsize=1000000", // megabytes: one file
	}, nil
}

// auditLog is what has been read of what API servers have written down, one server after the other.
type auditLog struct {
	started int
	// file is the running server's, nil if none runs.
	file *os.File
	// rest is the beginning of a line that is not yet there in full.
	rest []byte
	// pending are requests that have no answer, by audit ID. done have one.
	pending map[string]Write
	done    []Write
}

// read reads on to the end of the file.
func (l *auditLog) read() error {
	if l.file == nil {
		return nil
	}
	more, err := io.ReadAll(l.file)
	if err != nil {
		return err
	}
	text := append(l.rest, more...) //nolint:gocritic // rest is set to what is left of it below
	for {
		line, rest, complete := bytes.Cut(text, []byte("\n"))
		if !complete {
			l.rest = line
			return nil
		}
		text = rest
		if err := l.note(line); err != nil {
			return err
		}
	}
}

// note takes in a line of the log, which is one event.
func (l *auditLog) note(line []byte) error {
	var event auditv1.Event
	if err := json.Unmarshal(line, &event); err != nil {
		return err
	}
	w, err := writeOf(event)
	if err != nil {
		return err
	}
	id := string(event.AuditID)
	switch event.Stage {
	case auditv1.StageRequestReceived:
		if l.pending == nil {
			l.pending = map[string]Write{}
		}
		l.pending[id] = w
	case auditv1.StageResponseStarted: // and goes on
	case auditv1.StageResponseComplete, auditv1.StagePanic:
		delete(l.pending, id)
		l.done = append(l.done, w)
	}
	return nil
}

// close reads the log of a server that is no more. What has no answer will never have one.
func (l *auditLog) close() error {
	if l.file == nil {
		return nil
	}
	if err := errors.Join(l.read(), l.file.Close()); err != nil {
		return err
	}
	for _, w := range l.pending {
		l.done = append(l.done, w)
	}
	l.file, l.rest, l.pending = nil, nil, nil
	return nil
}

func writeOf(event auditv1.Event) (Write, error) {
	w := Write{
		Verb: event.Verb, User: event.User.Username, UserAgent: event.UserAgent, Stage: string(event.Stage),
		Received: event.RequestReceivedTimestamp.Time, Answered: event.StageTimestamp.Time,
	}
	if o := event.ObjectRef; o != nil {
		w.Group, w.Resource, w.Subresource, w.Namespace, w.Name = o.APIGroup, o.Resource, o.Subresource, o.Namespace, o.Name
	}
	if event.ResponseStatus != nil {
		w.Code = int(event.ResponseStatus.Code)
	}
	address, err := url.Parse(event.RequestURI)
	if err != nil {
		return w, err
	}
	dryRun := address.Query()["dryRun"]
	if event.RequestObject != nil && strings.HasPrefix(event.Verb, "delete") {
		var options metav1.DeleteOptions
		if err := json.Unmarshal(event.RequestObject.Raw, &options); err != nil {
			return w, errors.New("the body of " + strconv.Quote(event.Verb+" "+event.RequestURI) + ": " + err.Error())
		}
		dryRun = append(dryRun, options.DryRun...)
	}
	w.DryRun = slices.Contains(dryRun, metav1.DryRunAll)
	if event.ResponseObject != nil && w.Code < http.StatusMultipleChoices {
		var o metav1.PartialObjectMetadata
		if err := json.Unmarshal(event.ResponseObject.Raw, &o); err != nil {
			return w, fmt.Errorf("the answer to %q: %w", event.Verb+" "+event.RequestURI, err)
		}
		w.Version = o.ResourceVersion
	}
	return w, nil
}

// Changed are those of some writes that may have changed something: all but those that were answered with a version
// that was there before. among are all writes, or at least all to the same objects.
//
// An applied configuration that says what is there already is such a write: the server leaves the object as it is.
func Changed(writes, among []Write) []Write {
	return slices.DeleteFunc(slices.Clone(writes), func(w Write) bool {
		return w.Version != "" && slices.ContainsFunc(among, func(other Write) bool {
			return other.Version == w.Version && !other.DryRun && other.object() == w.object() && other != w &&
				other.Received.Before(w.Answered)
		})
	})
}

// object is what is written.
func (w Write) object() [4]string { return [4]string{w.Group, w.Resource, w.Namespace, w.Name} }
