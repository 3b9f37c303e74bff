package keyless

import (
	"fmt"
	"net/http"
)

// AddressError says that an address of an authority is none that can be asked. It does not repeat the address, which may have a password.
type AddressError struct{ Cause string }

func (e *AddressError) Error() string { return "address of an authority: " + e.Cause }

// Hint says what to do.
func (e *AddressError) Hint() string { return "give one such as https://fulcio.example" }

// TokenError says that an identity token cannot be used. It never tells the token.
type TokenError struct {
	Cause string
	hint  string
}

func (e *TokenError) Error() string { return "identity token: " + e.Cause }

// Hint says what to do.
func (e *TokenError) Hint() string { return e.hint }

// Error is what went wrong with an authority.
type Error struct {
	What    string // "certificate", "timestamp"
	Address string
	Err     error
	hint    string
}

func (e *Error) Error() string { return fmt.Sprintf("get %s from %s: %v", e.What, e.Address, e.Err) }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Hint says what to do.
func (e *Error) Hint() string { return e.hint }

// statusError is an answer that is not what was asked for.
type statusError struct {
	code int
	said string // by the server, "" if nothing that could be shown
}

func (e *statusError) Error() string {
	text := fmt.Sprintf("HTTP status %d", e.code)
	if name := http.StatusText(e.code); name != "" {
		text += " (" + name + ")"
	}
	if e.said != "" {
		text += fmt.Sprintf(": %q", e.said)
	}
	return text
}

// falseError says that an answer is not what an authority would give.
type falseError struct{ what string }

func (e *falseError) Error() string { return e.what }

func falsely(format string, args ...any) error { return &falseError{fmt.Sprintf(format, args...)} }
