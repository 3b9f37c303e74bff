package fetch

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
	"time"

	"headwater/internal/artifact"
	"headwater/internal/nix"
	"headwater/internal/registry"
)

// Try is one address that did not serve an artifact, and why. Address is zero where none could be found.
type Try struct {
	Address registry.Address
	Err     error
}

// Error says that no address served an artifact.
type Error struct {
	Artifact artifact.Artifact
	Tries    []Try // in the order they failed in
}

func (e *Error) Error() string {
	return fmt.Sprintf("fetch %s: no address served it:%s", title(e.Artifact), list(e.Tries))
}

// Unwrap gives the reasons.
func (e *Error) Unwrap() []error { return reasons(e.Tries) }

// Hint says what to do.
func (e *Error) Hint() string {
	var hinted interface{ Hint() string }
	var wrong *WrongContentError
	var status *StatusError
	switch err := errors.Join(reasons(e.Tries)...); {
	case errors.As(err, &wrong):
		return "an address serves other bytes than the lock has: find out why before you lock again; a mirror that is right can be named in registries.yaml"
	case errors.As(err, &status) && (status.Code == http.StatusUnauthorized || status.Code == http.StatusProxyAuthRequired):
		return "give the credentials where the address is set, or in ~/.netrc"
	case errors.As(err, &hinted):
		return hinted.Hint()
	}
	return "see whether the network is up and the address is right, then try again; a mirror can be named in registries.yaml"
}

// GoneError says that every address that was asked answered, and none has the artifact (any more).
type GoneError struct {
	Artifact artifact.Artifact
	Tries    []Try
}

func (e *GoneError) Error() string {
	return fmt.Sprintf("fetch %s: no address has it:%s", title(e.Artifact), list(e.Tries))
}

// Gone is artifact.Gone's.
func (e *GoneError) Gone() {}

// Of is the artifact.
func (e *GoneError) Of() artifact.Artifact { return e.Artifact }

// Unwrap gives the reasons.
func (e *GoneError) Unwrap() []error { return reasons(e.Tries) }

// Line names the artifact and says why, on one line.
func (e *GoneError) Line() string {
	var why []string
	places := map[string][]string{} // by why
	for _, t := range e.Tries {
		text := t.Err.Error()
		var status *StatusError
		if errors.As(t.Err, &status) {
			text = status.Error() // also where it was the index that was asked
		}
		if _, ok := places[text]; !ok {
			why = append(why, text)
			places[text] = nil
		}
		if t.Address.URL != "" {
			places[text] = append(places[text], fmt.Sprintf("%s (%s)", t.Address, t.Address.From))
		}
	}
	for i, text := range why {
		if len(places[text]) > 0 {
			why[i] += " at " + strings.Join(places[text], ", ")
		}
	}
	return title(e.Artifact) + ": " + strings.Join(why, "; ")
}

// Hint says what to do.
func (e *GoneError) Hint() string {
	var unknown *registry.UnknownError
	if errors.As(errors.Join(reasons(e.Tries)...), &unknown) {
		return unknown.Hint() + "; or lock again"
	}
	return "name a mirror that still has it in registries.yaml, or lock again"
}

// StatusError is an HTTP answer other than the file.
type StatusError struct{ Code int }

func (e *StatusError) Error() string {
	if text := http.StatusText(e.Code); text != "" {
		return fmt.Sprintf("HTTP status %d (%s)", e.Code, text)
	}
	return fmt.Sprintf("HTTP status %d", e.Code)
}

// WrongContentError says that an address serves other bytes.
type WrongContentError struct {
	WantHash, GotHash nix.Hash // GotHash is zero if the size was enough to tell
	WantSize, GotSize int64    // WantSize is 0 if it is not known
}

func (e *WrongContentError) Error() string {
	if e.GotHash.IsZero() {
		return fmt.Sprintf("has %d bytes, want %d", e.GotSize, e.WantSize)
	}
	return fmt.Sprintf("hash mismatch: want %s, got %s (%d bytes)", e.WantHash.SRI(), e.GotHash.SRI(), e.GotSize)
}

// laterError is a failure that may pass.
type laterError struct {
	err   error
	after time.Duration // what the server asked to wait; 0: nothing
}

func (e *laterError) Error() string { return e.err.Error() }
func (e *laterError) Unwrap() error { return e.err }

// localError is about the file that is written, so no other address can help.
type localError struct{ err error }

func (e *localError) Error() string { return e.err.Error() }
func (e *localError) Unwrap() error { return e.err }

// refusedError is something that a server did and that is not put up with; asking again would not change it.
type refusedError struct{ what string }

func (e *refusedError) Error() string { return e.what }

var errStalled = errors.New("stalled")

// failure chooses the error for an artifact that no address served.
func failure(a artifact.Artifact, tries []Try) error {
	asked := false
	for _, t := range tries {
		if errors.As(t.Err, new(*registry.UnknownError)) {
			continue // was never asked
		}
		if !gone(t.Err) {
			return &Error{a, tries}
		}
		asked = true
	}
	if !asked {
		return &Error{a, tries}
	}
	return &GoneError{a, tries}
}

// gone tells an answer that means "not here". Mirrors answer 403 too for what they do not carry.
func gone(err error) bool {
	if errors.As(err, new(*registry.AbsentError)) || errors.Is(err, fs.ErrNotExist) {
		return true
	}
	var status *StatusError
	return errors.As(err, &status) &&
		(status.Code == http.StatusNotFound || status.Code == http.StatusGone || status.Code == http.StatusForbidden)
}

func reasons(tries []Try) []error {
	out := make([]error, len(tries))
	for i, t := range tries {
		out[i] = t.Err
	}
	return out
}

func list(tries []Try) string {
	if len(tries) == 0 {
		return " there is none to ask"
	}
	var b strings.Builder
	for _, t := range tries {
		if t.Address.URL == "" {
			fmt.Fprintf(&b, "\n  %v", t.Err)
			continue
		}
		fmt.Fprintf(&b, "\n  %s (%s): %v", t.Address, t.Address.From, t.Err)
	}
	return b.String()
}

// title names an artifact for people.
func title(a artifact.Artifact) string {
	if a.Ecosystem == artifact.URL && a.Hint != "" {
		return a.Title() + " " + registry.Redact(a.Hint)
	}
	return a.Title()
}

// plain takes the URL, which may have a signature in its query, out of an error of net/http.
func plain(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// plainPath takes the path, which the address already tells, out of an error of package os.
func plainPath(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
