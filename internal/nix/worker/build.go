package worker

import (
	"context"
	"fmt"
	"strings"

	"headwater/internal/nix"
)

// Target is a derivation and which of its outputs are wanted.
type Target struct {
	Drv     nix.StorePath // valid
	Outputs []string
}

func (t Target) String() string { return string(t.Drv) + "!" + strings.Join(t.Outputs, ",") }

// Mode is how to build.
type Mode int

// Modes.
const (
	Normal Mode = 0 // what is not valid
	Check  Mode = 2 // what is valid, and compare
)

// Status is what became of a target.
type Status uint64

// The statuses. Those that are no success come with a text.
const (
	Built Status = iota
	Substituted
	AlreadyValid
	PermanentFailure
	InputRejected
	OutputRejected
	TransientFailure
	CachedFailure
	TimedOut
	MiscFailure // also, without a text: not tried, or broken off
	DependencyFailed
	LogLimitExceeded
	NotDeterministic
	ResolvesToAlreadyValid
	NoSubstituters
)

// Success reports whether the wanted outputs are valid.
func (s Status) Success() bool {
	switch s {
	case Built, Substituted, AlreadyValid, ResolvesToAlreadyValid:
		return true
	}
	return false
}

// Result is what became of a target.
type Result struct {
	Drv    nix.StorePath
	Status Status
	Text   string
}

// BuildPaths builds targets. That one failed is no error but a result; a target that was not tried may have none.
func (c *Client) BuildPaths(ctx context.Context, targets []Target, mode Mode) (results []Result, err error) {
	err = c.call(ctx, "build", opBuildPathsWithResults, func() {
		c.w.u64(uint64(len(targets)))
		for _, t := range targets {
			c.w.str(t.String())
		}
		c.w.u64(uint64(mode))
	}, func() {
		c.r.list(func() { results = append(results, c.result()) })
	})
	return results, err
}

func (c *Client) result() Result {
	var r Result
	drv, _, _ := strings.Cut(c.r.word(), "!")
	if c.r.err == nil {
		var err error
		if r.Drv, err = nix.ParseStorePath(drv); err != nil {
			c.r.fail(err)
		}
	}
	r.Status = Status(c.r.number("status of a build", uint64(NoSubstituters)))
	r.Text = Plain(c.r.text(maxText))
	c.r.u64() // how many times it was built
	c.r.u64() // whether these differed
	c.r.u64() // began
	c.r.u64() // ended
	if !c.daemon.Protocol.less(Version{1, 37}) {
		c.cpuTime()
		c.cpuTime()
	}
	c.r.list(func() { // realisations of the outputs: their paths are known
		c.r.word()
		c.r.text(maxValue)
	})
	return r
}

// cpuTime reads a number that may be missing.
func (c *Client) cpuTime() {
	switch tag := c.r.u64(); tag {
	case 0:
	case 1:
		c.r.u64()
	default:
		c.r.fail(fmt.Errorf("tag of an optional number is %d", tag))
	}
}
