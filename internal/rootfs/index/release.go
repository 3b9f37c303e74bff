// Package index reads the indices of a Debian suite: InRelease with its signature, and Packages.
//
// Nothing that an archive serves is believed before InRelease's signature is checked: it tells the hash and size of
// Packages, which tells those of every package. Source: Debian's wiki, "DebianRepository/Format".
package index

import (
	"bytes"
	_ "embed" // Debian's keys
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"

	"headwater/internal/nix"
	"headwater/internal/rootfs/control"
)

//go:embed keys/debian-archive.asc
var debianKeys string

// DebianKeys are the keys that Debian signs its archives with (keys/README.md), ASCII-armored.
func DebianKeys() string { return debianKeys }

// maxSkew is how far into the future an InRelease may be dated: clocks differ.
const maxSkew = 10 * time.Minute

// File is what InRelease says of one index.
type File struct {
	Hash nix.Hash // SHA-256
	Size int64    // bytes
}

// Release is a suite's InRelease, checked.
type Release struct {
	Suite, Codename string
	Date            time.Time
	ByHash          bool // indices are also at by-hash/SHA256/<digest> in their folder
	Files           map[string]File
}

// ExpiredError says that an InRelease was valid until before the time that it had to be valid at.
type ExpiredError struct {
	Suite          string
	Until, Checked time.Time
}

func (e *ExpiredError) Error() string {
	return fmt.Sprintf("check InRelease of %s: it was valid until %s and is checked for %s", e.Suite, e.Until.Format(time.RFC3339), e.Checked.Format(time.RFC3339))
}

// Hint says what to do about it.
func (e *ExpiredError) Hint() string {
	return "the mirror is out of date, or somebody serves an old state of it: use another mirror, or, where the state of an earlier date is wanted, lock with --as-of"
}

// Check is what an InRelease has to fulfil.
type Check struct {
	Keys  string    // ASCII-armored public keys, one of which must have signed
	Suite string    // its Suite or Codename
	Arch  string    // "amd64"
	At    time.Time // now
	AsOf  time.Time // when it has to have been valid; zero means At
}

// ParseRelease checks the signature, the suite, the architecture and the dates of an InRelease and reads its SHA-256 sums.
func ParseRelease(data []byte, c Check) (*Release, error) {
	signed, err := verify(data, c)
	if err != nil {
		return nil, fmt.Errorf("check InRelease of %s: %w", c.Suite, err)
	}
	fields, err := control.Parse(string(signed))
	if err != nil {
		return nil, fmt.Errorf("check InRelease of %s: %w", c.Suite, err)
	}
	r := &Release{Suite: fields["Suite"], Codename: fields["Codename"], ByHash: fields["Acquire-By-Hash"] == "yes"}
	if c.Suite != r.Suite && c.Suite != r.Codename {
		return nil, fmt.Errorf("check InRelease of %s: it is of suite %q, codename %q", c.Suite, r.Suite, r.Codename)
	}
	if !slices.Contains(strings.Fields(fields["Architectures"]), c.Arch) {
		return nil, fmt.Errorf("check InRelease of %s: it has no architecture %s", c.Suite, c.Arch)
	}
	if err := r.checkDates(fields, c); err != nil {
		return nil, err
	}
	if r.Files, err = parseSums(fields["SHA256"]); err != nil {
		return nil, fmt.Errorf("check InRelease of %s: %w", c.Suite, err)
	}
	return r, nil
}

// verify returns what the signature covers, and that alone. Several keys sign; one that is known and valid is enough.
func verify(data []byte, c Check) ([]byte, error) {
	if !bytes.HasPrefix(data, []byte("-----BEGIN PGP SIGNED MESSAGE-----\n")) {
		return nil, fmt.Errorf("it is not signed: does not begin with a signed message")
	}
	block, rest := clearsign.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("it is not signed: the signed message is malformed or incomplete")
	}
	if len(bytes.TrimSpace(rest)) > 0 {
		return nil, fmt.Errorf("something follows the signature")
	}
	ring, err := openpgp.ReadArmoredKeyRing(strings.NewReader(c.Keys))
	if err != nil {
		return nil, fmt.Errorf("read the keys: %w", err)
	}
	config := &packet.Config{Time: func() time.Time { return c.At }}
	if _, _, err := openpgp.VerifyDetachedSignature(ring, bytes.NewReader(block.Bytes), block.ArmoredSignature.Body, config); err != nil {
		return nil, fmt.Errorf("signature: %w", err)
	}
	return block.Plaintext, nil
}

func (r *Release) checkDates(fields control.Stanza, c Check) error {
	date, err := parseDate(fields["Date"])
	if err != nil {
		return fmt.Errorf("check InRelease of %s: Date: %w", c.Suite, err)
	}
	r.Date = date
	if date.After(c.At.Add(maxSkew)) {
		return fmt.Errorf("check InRelease of %s: it is of %s, later than %s: the clock is wrong", c.Suite, date.Format(time.RFC3339), c.At.UTC().Format(time.RFC3339))
	}
	if fields["Valid-Until"] == "" {
		return nil // stable suites have none
	}
	until, err := parseDate(fields["Valid-Until"])
	if err != nil {
		return fmt.Errorf("check InRelease of %s: Valid-Until: %w", c.Suite, err)
	}
	asOf := c.AsOf
	if asOf.IsZero() {
		asOf = c.At
	}
	if asOf.After(until) {
		return &ExpiredError{Suite: c.Suite, Until: until, Checked: asOf.UTC()}
	}
	return nil
}

// parseDate reads the one form that InRelease uses: "Sat, 21 Nov 2026 09:15:44 UTC".
func parseDate(s string) (time.Time, error) {
	zoneless, ok := strings.CutSuffix(s, " UTC")
	if !ok {
		return time.Time{}, fmt.Errorf("%q is no date in UTC", s)
	}
	t, err := time.Parse("Mon, _2 Jan 2006 15:04:05", zoneless)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is no date", s)
	}
	return t, nil
}

// parseSums reads lines of digest, size and path.
func parseSums(s string) (map[string]File, error) {
	files := make(map[string]File, strings.Count(s, "\n"))
	for line := range strings.Lines(s) {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		if len(f) != 3 {
			return nil, fmt.Errorf("SHA256: %.100q is not a digest, a size and a path", line)
		}
		file, err := parseSum(f[0], f[1])
		if err != nil {
			return nil, fmt.Errorf("SHA256 of %s: %w", f[2], err)
		}
		if old, twice := files[f[2]]; twice && old != file {
			return nil, fmt.Errorf("SHA256: two sums of %s", f[2])
		}
		files[f[2]] = file
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("no SHA256 sums")
	}
	return files, nil
}

func parseSum(digest, size string) (File, error) {
	raw, err := hex.DecodeString(digest)
	if err != nil {
		return File{}, fmt.Errorf("%.80q is no digest", digest)
	}
	h, err := nix.NewHash(nix.SHA256, raw)
	if err != nil {
		return File{}, err
	}
	n, err := strconv.ParseInt(size, 10, 64)
	if err != nil || n < 0 {
		return File{}, fmt.Errorf("%.40q is no size", size)
	}
	return File{Hash: h, Size: n}, nil
}
