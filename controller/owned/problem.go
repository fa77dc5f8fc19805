package owned

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/controller/apply"
	"github.com/lateen-io/lateen/controller/cluster"
	"github.com/lateen-io/lateen/controller/status"
)

// seldom is how often something is tried again that only a person can mend, when no watch tells that they did.
const seldom = 5 * time.Minute

// Refused is the problem that objects could not be applied. It is permanent if the server says of all of them that they
// are wrong, or somebody else has them. That is looked at again once in a while, since what makes them wrong may be
// somebody else's object.
func Refused(err error) *status.Problem {
	reason := v1.ReasonReconcileError
	if _, ok := errors.AsType[*apply.TakeoverError](err); ok {
		reason = v1.ReasonTakeoverRefused
	} else if every(err, held) {
		reason = v1.ReasonNameAlreadyExists
	} else if !every(err, func(err error) bool { return held(err) || wrong(err) }) {
		return status.Temporary(reason, err)
	}
	p := status.Permanent(reason, err)
	p.Again = seldom
	return p
}

// wrong reports whether an error says that an object is invalid.
func wrong(err error) bool {
	_, malformed := errors.AsType[*apply.MalformedError](err)
	return malformed || apierrors.IsInvalid(err) || apierrors.IsBadRequest(err)
}

// held reports whether an error says that another resource has an object.
func held(err error) bool {
	_, ok := errors.AsType[*apply.HeldError](err)
	return ok
}

// every reports whether something is true of an error, or of each of those that it is made of.
func every(err error, is func(error) bool) bool {
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		return !slices.ContainsFunc(several.Unwrap(), func(err error) bool { return !every(err, is) })
	}
	return is(err)
}

// NamespaceProblem looks for a namespace in the cache. It returns a status.Problem that says why nothing can be applied
// to it, or another error if the cache does not answer.
func NamespaceProblem(ctx context.Context, r client.Reader, name string) error {
	ns := cluster.Metadata(cluster.NamespaceKind)
	err := r.Get(ctx, client.ObjectKey{Name: name}, ns)
	switch {
	case apierrors.IsNotFound(err):
		return status.Permanent(v1.ReasonReconcileError, fmt.Errorf(v1.MessageNamespaceDoesNotExist, name))
	case err != nil:
		return err
	case ns.DeletionTimestamp != nil:
		return status.Permanent(v1.ReasonReconcileError, fmt.Errorf(v1.MessageNamespaceIsDeleted, name))
	}
	return nil
}
