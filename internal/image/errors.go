package image

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"strings"

	remotetransport "github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// Error is what went wrong with a registry.
type Error struct {
	Ref  string // "HOST/NAME:TAG"
	Err  error
	hint string
}

func (e *Error) Error() string { return fmt.Sprintf("push %s: %v", e.Ref, e.Err) }

func (e *Error) Unwrap() error { return e.Err }

// Hint says what to do.
func (e *Error) Hint() string { return e.hint }

// falseError says that a registry contradicts itself.
type falseError struct{ what string }

func (e *falseError) Error() string { return e.what }

// has tells whether a registry's answer has an error code.
func has(err error, codes ...remotetransport.ErrorCode) bool {
	var answer *remotetransport.Error
	if !errors.As(err, &answer) {
		return false
	}
	for _, d := range answer.Errors {
		for _, c := range codes {
			if d.Code == c {
				return true
			}
		}
	}
	return false
}

// vanished tells that a manifest was refused since a blob that was there is gone.
func vanished(err error) bool {
	return has(err, remotetransport.ManifestBlobUnknownErrorCode, remotetransport.BlobUnknownErrorCode)
}

// immutable tells that a registry does not let a tag be moved. There is no code for that: registries use several, and say it in words.
func (p *push) immutable(err error) bool {
	var answer *remotetransport.Error
	if !p.moved || !errors.As(err, &answer) || answer.Request == nil || answer.Request.Method != http.MethodPut || !strings.Contains(answer.Request.URL.Path, "/manifests/") {
		return false
	}
	switch answer.StatusCode {
	case http.StatusConflict, http.StatusPreconditionFailed, http.StatusMethodNotAllowed:
		return true
	}
	return has(err, remotetransport.TagInvalidErrorCode) || strings.Contains(strings.ToLower(answer.Error()), "immutable")
}

// hint says what to do about an error.
func (p *push) hint(err error) string {
	host := p.ref.tag.RegistryStr()
	var answer *remotetransport.Error
	switch {
	case errors.As(err, new(*PlainError)):
		return "if that is what you want, say --insecure"
	case errors.As(err, new(*tls.CertificateVerificationError)):
		return "make its authority known (SSL_CERT_FILE), or say --insecure"
	case errors.As(err, new(*falseError)):
		return "look at what stands between: a cache or proxy that answers for " + host + "; or somebody else pushed the same tag"
	case p.immutable(err):
		return "the tag names another image there and the registry does not let it be moved: push under another tag"
	case vanished(err):
		return "the registry said that it has a layer and then that it has not; its clean-up may be running: try again later"
	case has(err, remotetransport.DigestInvalidErrorCode, remotetransport.SizeInvalidErrorCode):
		return "what arrived is not what was sent: look at what stands between this machine and " + host
	case !errors.As(err, &answer):
		return "is " + host + " right, and reachable? What was sent already is not sent again"
	case answer.StatusCode == http.StatusUnauthorized:
		return "sign in with \"docker login " + host + "\" or \"podman login " + host + "\"; credentials are read where these keep them"
	case answer.StatusCode == http.StatusForbidden:
		return "these credentials may not push to " + p.ref.tag.Context().Name()
	case answer.StatusCode == http.StatusTooManyRequests:
		return host + " takes no more for now; try later: what was sent already is not sent again"
	case answer.StatusCode >= http.StatusInternalServerError:
		return "the fault is at " + host + "; try again later: what was sent already is not sent again"
	case answer.StatusCode == http.StatusNotFound:
		return "does " + p.ref.tag.Context().Name() + " exist? Some registries want a repository to be made first"
	}
	return ""
}
