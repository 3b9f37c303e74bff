package artifact

import (
	"context"
	"errors"

	"golang.org/x/sync/errgroup"
)

// Gone is an error that says that an artifact is not to be had any more, from anywhere that was asked.
type Gone interface {
	error
	Gone()
}

// AbsentError is Gone: a registry's index does not have an artifact that upstream's lock names.
type AbsentError struct {
	Artifact Artifact
	Why      string // "the registry's index does not have it"
}

func (e *AbsentError) Error() string { return e.Artifact.Title() + ": " + e.Why }

// Gone is Gone's.
func (e *AbsentError) Gone() {}

// Of is the artifact.
func (e *AbsentError) Of() Artifact { return e.Artifact }

// Line is the error on one line.
func (e *AbsentError) Line() string { return e.Error() }

// Each calls do for 0 … n-1, limit at a time, and joins what goes wrong, in that order. Of artifacts that are gone all are told at
// once; any other error ends it, and what is still running is cancelled.
func Each(ctx context.Context, n, limit int, do func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	errs := make([]error, n)
	var group errgroup.Group
	group.SetLimit(limit)
	for i := range n {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error {
			err := do(ctx, i)
			if err != nil && ctx.Err() != nil {
				return nil // broken off
			}
			if errs[i] = err; err != nil && !errors.As(err, new(Gone)) {
				cancel(errStopped)
			}
			return nil
		})
	}
	_ = group.Wait() // each keeps its own
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// errStopped is the cause when one artifact's error ends the others' downloads.
var errStopped = errors.New("stopped: another artifact failed")
