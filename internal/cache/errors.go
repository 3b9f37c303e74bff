package cache

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"headwater/internal/nix"
)

// What can be wrong with a cache.
var (
	ErrAbsent    = errors.New("is not there")
	ErrNoCache   = errors.New("is no binary cache for this store")
	ErrUntrusted = errors.New("is not signed by a trusted key")
	ErrFalse     = errors.New("is not what was promised") // what is sent contradicts what was said, or makes no sense
)

// Causes of breaking a transfer off.
var (
	errSlow    = errors.New("the answer took too long")
	errStalled = errors.New("the transfer stalled")
)

// Error is what went wrong with a cache.
type Error struct {
	Cache string        // its address, without credentials
	Path  nix.StorePath // what was asked for; "" if it is about the cache as a whole
	Err   error
}

func (e *Error) Error() string {
	if e.Path == "" {
		return fmt.Sprintf("cache %s: %v", e.Cache, e.Err)
	}
	return fmt.Sprintf("cache %s: %s: %v", e.Cache, e.Path, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// Hint says what to do.
func (e *Error) Hint() string {
	var answer *ServiceError
	switch {
	case errors.As(e.Err, &answer) && answer.ofCredentials():
		return "credentials are AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or those of the address' profile= or AWS_PROFILE; docs/caches.md says what they must allow"
	case errors.Is(e.Err, ErrUntrusted):
		return "name the key of whoever signs there: --trusted-key NAME:BASE64, or under keys in caches.yaml"
	}
	return ""
}

// AddressError says that an address is none of a cache.
type AddressError struct {
	Address string // without credentials
	Err     error
}

func (e *AddressError) Error() string { return fmt.Sprintf("cache %s: %v", e.Address, e.Err) }

func (e *AddressError) Unwrap() error { return e.Err }

// StatusError is an HTTP answer that is not what was asked for.
type StatusError struct{ Code int }

func (e *StatusError) Error() string {
	return fmt.Sprintf("the server answered %d %s", e.Code, http.StatusText(e.Code))
}

// fail names the cache and the path in an error, unless it is the caller's own end.
func (c *Cache) fail(p nix.StorePath, err error) error {
	if err == nil || errors.As(err, new(*Error)) {
		return err
	}
	return &Error{c.address, p, err}
}

// transferError is a fault of the network, which may pass.
type transferError struct{ error }

func (e *transferError) Unwrap() error { return e.error }

// temporary tells what may be different the next time.
func temporary(err error) bool {
	var status *StatusError
	switch {
	case errors.Is(err, context.Canceled):
		return false
	case errors.Is(err, errStalled), errors.Is(err, errSlow), errors.As(err, new(*transferError)):
		return true
	case errors.As(err, &status):
		return status.Code >= 500 || status.Code == http.StatusTooManyRequests || status.Code == http.StatusRequestTimeout
	}
	return false
}

// ofCache tells what is the matter with the cache as a whole, so that asking it for anything else would be in vain.
func ofCache(err error) bool {
	var status *StatusError
	return temporary(err) || errors.Is(err, ErrNoCache) || errors.As(err, &status)
}
