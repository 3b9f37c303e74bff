// Package verify starts a package as it will run, uses it as its users do, stops it, starts it again, and tells what it saw.
//
// All of that happens in one child of this program in a room of its own (sandbox.Room): there is a loopback interface on which every port
// is free, volumes and services are in memory and limited, and when the child ends, however it ends, nothing is left of what it started.
// The package's own launcher starts the processes, with the environment that the recipe and the services give and nothing of the
// machine's.
//
//	result, err := verify.Run(ctx, verify.Config{Release: release, Work: dir, Events: tell})
//
// The stages are those of package proof: services, migrations of an empty database, processes and health; the recipe's checks; migrations
// again; a stop; a start on the same data; and, where an older release is given, migrations of that release's data. What fails is in the
// result; an error says that there is none.
//
// Remote does the recipe's checks, and nothing else, against a service that runs elsewhere.
package verify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"headwater/internal/flock"
	"headwater/internal/proof"
	"headwater/internal/sandbox"
)

// Release is a built package.
type Release struct {
	Recipe   []byte            // its headwater.yaml
	Launcher string            // where it really is
	Roots    map[string]string // roots of services and of the browser, where they really are, by the recipe's names
}

// Config says what to verify and how.
type Config struct {
	Release Release
	From    *Release // an older release whose data is to be upgraded, nil for none
	Work    string   // absolute path of a folder for logs and screenshots; what an earlier verification left in it is removed
	Stores  []string // folders of the stores that releases are in, by absolute paths, where not everybody may enter them
	Env     []string // NAME=value for the package's processes; PATH is for the launcher itself
	Limits  Limits   // what is 0 is DefaultLimits'
	First   bool     // end at the first check that fails
	Events  func(Event)
}

// Limits bound what a verification may take.
type Limits struct {
	Total     time.Duration // all of it
	Step      time.Duration // one of the recipe's checks
	Migrate   time.Duration // migrations
	Health    time.Duration // from a process's start until it is healthy
	Stop      time.Duration // from being asked to end until it has
	Settle    time.Duration // how long processes are watched at least
	Data      int64         // bytes in the volumes, likewise in the services' data, likewise in one process's /tmp
	Log       int64         // bytes that one process may print
	Memory    int64         // bytes, all processes together
	Processes int           // at one time
}

// DefaultLimits are for services as people host them at home.
func DefaultLimits() Limits {
	return Limits{
		Total: 15 * time.Minute, Step: 2 * time.Minute, Migrate: 5 * time.Minute, Health: 2 * time.Minute, Stop: 30 * time.Second,
		Settle: 8 * time.Second, Data: 2 << 30, Log: 32 << 20, Memory: 8 << 30, Processes: 2000,
	}
}

func (l *Limits) fill() {
	d := DefaultLimits()
	for _, p := range []struct{ v, d *time.Duration }{
		{&l.Total, &d.Total}, {&l.Step, &d.Step}, {&l.Migrate, &d.Migrate}, {&l.Health, &d.Health}, {&l.Stop, &d.Stop}, {&l.Settle, &d.Settle},
	} {
		if *p.v == 0 {
			*p.v = *p.d
		}
	}
	for _, p := range []struct{ v, d *int64 }{{&l.Data, &d.Data}, {&l.Log, &d.Log}, {&l.Memory, &d.Memory}} {
		if *p.v == 0 {
			*p.v = *p.d
		}
	}
	if l.Processes == 0 {
		l.Processes = d.Processes
	}
}

// Event is progress: either something begins, or a check has ended.
type Event struct {
	Text  string       `json:"text,omitempty"`
	Check *proof.Check `json:"check,omitempty"`
}

// Result is what was seen. Nothing in it holds a secret.
type Result struct {
	Checks    []proof.Check   `json:"checks"`
	Processes []proof.Process `json:"processes,omitempty"`
	Notes     []string        `json:"notes,omitempty"`
}

// Folders in Config.Work.
const (
	LogDir   = "log"         // what the processes printed
	ShotDir  = "screenshots" // PNG files, named by their SHA-256
	stateDir = "state"       // services' data and secrets, in memory
	dataDir  = "volumes"     // in memory
)

// InitName is argv[0] of the child.
const InitName = "headwater-verify"

// graceTime is what the child has beyond Limits.Total to tell its result.
const graceTime = 30 * time.Second

// plan is what the child is told. It is JSON on its standard input, which stays open as long as the parent lives.
type plan struct {
	Release Release
	From    *Release
	Work    string
	Env     []string
	Limits  Limits
	First   bool
}

// message is a line of what the child tells.
type message struct {
	Event  *Event  `json:"event,omitempty"`
	Result *Result `json:"result,omitempty"`
}

// Run verifies. The error says that there is no result: the machine does not allow it (a *sandbox.Unavailable), ctx is done, or a fault of
// our own.
func Run(ctx context.Context, c Config) (*Result, error) {
	r, err := runChild(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("verify: %w", err)
	}
	return r, nil
}

func runChild(ctx context.Context, c Config) (*Result, error) {
	c.Limits.fill()
	unlock, err := prepare(c.Work)
	if err != nil {
		return nil, err
	}
	defer unlock()
	child, pipes, err := sandbox.Room{
		Args: []string{InitName}, Own: []string{c.Work}, Reach: c.Stores,
		Tmp: map[string]int64{filepath.Join(c.Work, stateDir): c.Limits.Data, filepath.Join(c.Work, dataDir): c.Limits.Data},
	}.StartPiped()
	if err != nil {
		return nil, err
	}
	defer pipes.Close()
	ctx, cancel := context.WithTimeout(ctx, c.Limits.Total+graceTime)
	defer cancel()
	defer context.AfterFunc(ctx, child.Kill)()
	said := make(chan []byte, 1)
	go func() {
		var b bytes.Buffer
		_, _ = io.Copy(&b, io.LimitReader(pipes.Err, 64<<10)) // an error ends what is known
		_, _ = io.Copy(io.Discard, pipes.Err)
		said <- b.Bytes()
	}()
	planErr := json.NewEncoder(pipes.In).Encode(plan{c.Release, c.From, c.Work, c.Env, c.Limits, c.First})
	result, outErr := listen(pipes.Out, c.Events)
	child.Kill() // it has said all that it has to say
	waitErr := child.Wait()
	text := <-said
	if err := ctx.Err(); err != nil && result == nil {
		return nil, err
	}
	if result == nil {
		return nil, errors.Join(fmt.Errorf("the child ended without a result: %w\n%s", waitErr, text), planErr, outErr)
	}
	return result, nil
}

// BusyError says that another verification uses the folder.
type BusyError struct{ Work string }

func (e *BusyError) Error() string { return "another verification works in " + e.Work }

// Hint says what to do.
func (e *BusyError) Hint() string { return "wait until it has ended, or give another folder (--work)" }

// prepare makes the folders of a verification, empty, and keeps others away until unlock is called.
func prepare(work string) (unlock func(), err error) {
	if err := os.MkdirAll(work, 0o700); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(work, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	unlock = func() { lock.Close() } // which lets go of it
	held, err := flock.Try(lock)
	if err == nil && !held {
		err = &BusyError{work}
	} else if err != nil {
		err = fmt.Errorf("lock %s: %w", work, err)
	}
	if err != nil {
		unlock()
		return nil, err
	}
	for _, d := range []string{LogDir, ShotDir, stateDir, dataDir} {
		dir := filepath.Join(work, d)
		if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o700)); err != nil {
			unlock()
			return nil, err
		}
	}
	return unlock, nil
}

// listen passes on what the child tells, until it has its result or has ended.
func listen(r io.Reader, events func(Event)) (*Result, error) {
	dec := json.NewDecoder(r)
	for {
		var m message
		if err := dec.Decode(&m); err == io.EOF {
			return nil, nil
		} else if err != nil {
			return nil, fmt.Errorf("read what the child tells: %w", err)
		}
		if m.Event != nil {
			events(*m.Event)
		}
		if m.Result != nil {
			return m.Result, nil
		}
	}
}
