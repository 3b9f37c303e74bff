package verify

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// RunInit becomes the child if this program was started as such; it then does not return. Otherwise it returns at once.
func RunInit() {
	if len(os.Args) == 0 || os.Args[0] != InitName {
		return
	}
	if err := inside(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	// Not all that was started need have ended: it does with this process, which is the first of its namespace.
	os.Exit(0)
}

// inside reads the plan, carries it out and tells the result.
func inside(in io.Reader, out io.Writer) error {
	dec := json.NewDecoder(in)
	var p plan
	if err := dec.Decode(&p); err != nil {
		return fmt.Errorf("read plan: %w", err)
	}
	go func() {
		_, _ = io.Copy(io.Discard, in)
		os.Exit(1) // the parent is gone
	}()
	tell := &teller{enc: json.NewEncoder(out)}
	d, err := newDriver(p, func(e Event) { tell.say(message{Event: &e}) })
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(context.Background(), p.Limits.Total, &LimitError{What: "the time for a whole verification", Limit: p.Limits.Total.String()})
	defer cancel()
	d.drive(ctx)
	return tell.say(message{Result: d.result()})
}

// teller writes messages, of several goroutines.
type teller struct {
	mu  sync.Mutex
	enc *json.Encoder
}

func (t *teller) say(m message) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.enc.Encode(m)
}

// LimitError says that a verification was ended since it took more than it may.
type LimitError struct {
	What  string // "the time for a whole verification"
	Limit string // "15m0s"
	Who   string // the process that took it, "" if that is not known
}

func (e *LimitError) Error() string {
	if e.Who != "" {
		return fmt.Sprintf("%s took more than %s (%s)", e.Who, e.Limit, e.What)
	}
	return fmt.Sprintf("more than %s (%s)", e.Limit, e.What)
}

// clock is the time; a verification's result is of it anyway.
func clock() time.Time { return time.Now() }
