package verify

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"headwater/internal/proof"
)

// outcome is what a check came to.
type outcome struct {
	findings []proof.Finding
	shots    []proof.Shot
	failure  *proof.Failure // nil if all is well
	likely   []proof.Cause  // of the failure, where the logs speak for none that is known
}

// failed is an outcome that says what was expected and what was seen.
func failed(expected, seen string) outcome {
	return outcome{failure: &proof.Failure{Expected: expected, Seen: seen}}
}

// journal keeps what was checked.
type journal struct {
	began   time.Time
	tell    func(Event)
	secrets *secrets
	first   bool // the first check that fails ends all
	checks  []proof.Check
	notes   []string
}

// graceOfDeath is how long after a check's failure a process's end counts as its reason.
const graceOfDeath = 300 * time.Millisecond

// maxLine is how much of a log's line a failure tells, in bytes.
const maxLine = 500

// errUnfinished says that a check was given up since something else ended the stage.
var errUnfinished = errors.New("unfinished")

// check does f and keeps what came of it. Where ctx was ended for another reason than the check's own time limit, the reason is what
// counts, and nothing is kept: the error is errUnfinished. It is errGivenUp where f failed and that is to end all.
func (j *journal) check(ctx context.Context, limit time.Duration, c proof.Check, f func(context.Context) outcome) (ok bool, err error) {
	start := clock()
	j.tell(Event{Text: c.Name})
	limited, cancel := context.WithTimeout(ctx, limit)
	o := f(limited)
	cancel()
	if o.failure != nil {
		// A process that ends takes its connections with it before it is known that it has ended.
		select {
		case <-ctx.Done():
		case <-time.After(graceOfDeath):
		}
	}
	if o.failure != nil && ctx.Err() != nil {
		return false, errUnfinished
	}
	c.At, c.Took = proof.Millis(start.Sub(j.began)), proof.Millis(clock().Sub(start))
	j.keep(c, o)
	if o.failure != nil && j.first {
		return false, errGivenUp
	}
	return o.failure == nil, nil
}

// keep adds a check to the journal, without secrets.
func (j *journal) keep(c proof.Check, o outcome) {
	c.OK, c.Findings, c.Shots, c.Failure = o.failure == nil, o.findings, o.shots, o.failure
	for i := range c.Findings {
		f := &c.Findings[i]
		f.Expected, f.Seen = j.secrets.hide(f.Expected), j.secrets.hide(f.Seen)
	}
	if f := c.Failure; f != nil {
		f.Expected, f.Seen = j.secrets.hide(f.Expected), j.secrets.hide(f.Seen)
		for i := range f.Log {
			if f.Log[i] = j.secrets.hide(f.Log[i]); len(f.Log[i]) > maxLine {
				f.Log[i] = strings.ToValidUTF8(f.Log[i][:maxLine], "") + "…"
			}
		}
		for i := range f.Causes {
			f.Causes[i].Text = j.secrets.hide(f.Causes[i].Text)
		}
	}
	j.checks = append(j.checks, c)
	j.tell(Event{Check: &c})
}

func (j *journal) anyFailed() bool {
	return slices.ContainsFunc(j.checks, func(c proof.Check) bool { return !c.OK })
}

// secrets are values that must not be in logs, and are not told.
type secrets struct {
	mu   sync.Mutex
	list []string // longer ones first, since a short one may be a part of one
}

// minSecret is the shortest value that is taken for a secret: shorter ones stand in texts by chance.
const minSecret = 8

func (s *secrets) add(values ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range values {
		if len(v) >= minSecret && !slices.Contains(s.list, v) {
			s.list = append(s.list, v)
		}
	}
	slices.SortStableFunc(s.list, func(a, b string) int { return len(b) - len(a) })
}

func (s *secrets) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.list)
}

// hide replaces all secrets in a text.
func (s *secrets) hide(text string) string {
	for _, v := range s.all() {
		text = strings.ReplaceAll(text, v, "‹secret›")
	}
	return text
}

// secretName tells by a variable's name that its value is not for everybody.
func secretName(name string) bool {
	name = strings.ToUpper(name)
	for _, part := range []string{"SECRET", "TOKEN", "PASSWORD", "PASSPHRASE", "KEY", "COOKIE", "SESSION"} {
		if strings.Contains(name, part) {
			return true
		}
	}
	return false
}
