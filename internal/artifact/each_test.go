package artifact_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"headwater/internal/artifact"
)

type goneError int

func (e goneError) Error() string { return fmt.Sprint("gone ", int(e)) }
func (goneError) Gone()           {}

// All that are gone are told; anything else ends the rest.
func TestEach(t *testing.T) {
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		do   func(ctx context.Context, i int) error
		want string
	}{
		"all is well": {func(context.Context, int) error { return nil }, ""},
		"some are gone": {func(_ context.Context, i int) error {
			if i%2 == 0 {
				return fmt.Errorf("get %d: %w", i, goneError(i))
			}
			return nil
		}, "get 0: gone 0\nget 2: gone 2\nget 4: gone 4"},
		"one is broken": {func(ctx context.Context, i int) error {
			if i == 1 {
				return broken
			}
			<-ctx.Done()
			return ctx.Err()
		}, "broken"},
	} {
		t.Run(name, func(t *testing.T) {
			got := ""
			if err := artifact.Each(t.Context(), 5, 3, c.do); err != nil {
				got = err.Error()
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := artifact.Each(ctx, 2, 1, func(context.Context, int) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got %v", err)
	}
}
