package keyless

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"time"
)

// MaxToken is the largest identity token, in bytes: more than what servers take for a header.
const MaxToken = 32 << 10

// Token is an identity token (OpenID Connect Core 1, section 2). Printing it tells nothing of it but whom it is of.
type Token struct {
	raw      string
	issuer   string
	subjects []string  // whom it is of; the key has to sign one of them, to show that it is not somebody else's
	expires  time.Time // zero if it does not say
}

const getToken = "have its issuer give one for this run, with the audience that the certificate authority wants"

// ParseToken reads a JWT, with white space around it. That its signature is right, the certificate authority sees to. The error is a *TokenError.
func ParseToken(data []byte) (*Token, error) {
	raw := string(bytes.TrimSpace(data))
	switch {
	case raw == "":
		return nil, &TokenError{"it is empty", getToken}
	case len(raw) > MaxToken:
		return nil, &TokenError{fmt.Sprintf("it has more than %d bytes", MaxToken), getToken}
	}
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		return nil, &TokenError{"it is no JWT", getToken}
	}
	for _, part := range parts {
		if _, err := base64.RawURLEncoding.Strict().DecodeString(part); err != nil || part == "" {
			return nil, &TokenError{"it is no JWT", getToken}
		}
	}
	body, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return nil, &TokenError{"it is no JWT", getToken}
	}
	var claims struct {
		Issuer  string   `json:"iss"`
		Subject string   `json:"sub"`
		Email   string   `json:"email"`
		Expires *float64 `json:"exp"`
	}
	if err := json.Unmarshal(body, &claims); err != nil { // which may repeat what is in it
		return nil, &TokenError{"what it claims is not JSON, or not of an identity token", getToken}
	}
	t := &Token{raw: raw, issuer: claims.Issuer}
	for _, subject := range []string{claims.Email, claims.Subject} {
		if subject != "" {
			t.subjects = append(t.subjects, subject)
		}
	}
	if t.issuer == "" || len(t.subjects) == 0 {
		return nil, &TokenError{"it does not claim who it is of, or who says so", getToken}
	}
	if e := claims.Expires; e != nil && *e > 0 && *e < math.MaxInt32*1000 {
		t.expires = time.Unix(int64(*e), 0).UTC()
	}
	return t, nil
}

// of is whom it is of, for people.
func (t *Token) of() string { return t.subjects[0] }

// String hides the token.
func (t *Token) String() string {
	return fmt.Sprintf("identity token of %s by %s", t.of(), t.issuer)
}

// GoString hides the token.
func (t *Token) GoString() string { return t.String() }

// Valid tells by the clock whether it makes sense to send the token. The error is a *TokenError.
func (t *Token) Valid(now time.Time) error {
	if t.expires.IsZero() || now.Before(t.expires) {
		return nil
	}
	return &TokenError{fmt.Sprintf("that of %s expired at %s", t.of(), t.expires.Format(time.RFC3339)), "get a new one, and run this again: what is built is not built again"}
}

// in tells whether a text has any part of the token.
func (t *Token) in(text string) bool {
	for _, part := range strings.Split(t.raw, ".")[1:] { // the first is the same for all
		if strings.Contains(text, part) {
			return true
		}
	}
	return false
}
