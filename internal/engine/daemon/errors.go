package daemon

import (
	"context"
	"errors"
	"io"
	"regexp"
	"strings"

	"headwater/internal/dag"
	"headwater/internal/engine"
	"headwater/internal/nix/worker"
)

// ConnectError says that a daemon could not be reached.
type ConnectError struct {
	Address string
	Err     error
	hint    string
}

func (e *ConnectError) Error() string { return "reach Nix daemon " + e.Address + ": " + e.Err.Error() }

func (e *ConnectError) Unwrap() error { return e.Err }

// Hint says what to do.
func (e *ConnectError) Hint() string { return e.hint }

// Error says that a daemon, or the way to it, failed: no builder is to blame.
type Error struct {
	Address string
	Err     error
	Said    string // what the program that was started wrote to its standard error at the end; "" if nothing
}

func (e *Error) Error() string {
	text := "Nix daemon " + e.Address + ": " + e.Err.Error()
	if e.Said != "" {
		text += "; it said: " + e.Said
	}
	return text
}

func (e *Error) Unwrap() error { return e.Err }

// Hint says what to do.
func (e *Error) Hint() string {
	var version *worker.VersionError
	text := e.Error()
	switch {
	case errors.As(e.Err, &version):
		return version.Hint()
	case strings.Contains(text, "No space left on device"):
		return "make room where the daemon keeps its store: nix-collect-garbage there deletes what nothing needs"
	case strings.Contains(text, "is not allowed to connect"):
		return "the daemon's nix.conf says who may (allowed-users)"
	case strings.Contains(text, "build-users-group"):
		return "as root, Nix builds as users of a group: make it, or set build-users-group to nothing in NIX_CONFIG"
	case strings.Contains(text, "lacks a signature by a trusted key"):
		return "the daemon does not trust this user with existing store paths: let it have them from a binary cache, or sign them with a key that it trusts"
	case errors.Is(e.Err, io.EOF), errors.Is(e.Err, io.ErrUnexpectedEOF):
		return "the daemon's own log may say why it hung up"
	}
	return ""
}

// fault makes an error of a client's operation one of the engine's.
func (r *run) fault(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	e := &Error{Address: r.Address.String(), Err: err}
	if p, ok := r.conn.(*process); ok {
		e.Said = worker.Plain(p.errors.String())
	}
	return e
}

// failure is the error of a target that was not built, nil if it was not to blame: not tried, or broken off. silent says that
// Options.MaxSilent explains that it took too long; not every Nix says which limit it was.
func failure(n *dag.Node, result worker.Result, silent bool) error {
	reason, ok := map[worker.Status]engine.Reason{
		worker.PermanentFailure: engine.Exited,
		worker.TransientFailure: engine.Exited,
		worker.CachedFailure:    engine.Exited,
		worker.InputRejected:    engine.BadRecipe,
		worker.OutputRejected:   engine.BadOutput,
		worker.TimedOut:         engine.TimedOut,
		worker.LogLimitExceeded: engine.LogFlood,
		worker.NotDeterministic: engine.Differs,
	}[result.Status]
	text := brief(result.Text)
	switch {
	case ok && result.Status == worker.TimedOut && silent:
		reason = engine.Silent
	case ok:
	case result.Status == worker.DependencyFailed || text == "":
		return nil
	case strings.Contains(text, "required system or feature"), strings.Contains(text, "is required to build"):
		reason = engine.BadRecipe
	case strings.Contains(text, "failed with exit code"): // of a machine that the daemon asked: Nix says no more than that
		reason = engine.Exited
	default:
		return errors.New("build " + n.Name + ": " + text)
	}
	if text == "" {
		text = "build failed"
	}
	return &engine.BuildFailed{Node: n, Reason: reason, Err: errors.New(text)}
}

// logTail is where Nix quotes the end of the log in an error, which whoever shows a BuildFailed does too.
func logTail() *regexp.Regexp { return regexp.MustCompile(`(?is);?\s*last \d+ log lines:.*`) }

// brief is an error of Nix's in one line.
func brief(text string) string {
	return strings.Join(strings.Fields(logTail().ReplaceAllString(text, "")), " ")
}
