package index_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"
	"github.com/google/go-cmp/cmp"
	"github.com/xi2/xz"

	"headwater/internal/nix"
	"headwater/internal/rootfs/index"
)

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// signer is a key made for a test.
type signer struct {
	entity *openpgp.Entity
	public string // ASCII-armored
}

func newSigner(t *testing.T) signer {
	t.Helper()
	config := &packet.Config{Time: func() time.Time { return noon.Add(-time.Hour) }, Algorithm: packet.PubKeyAlgoEdDSA}
	e, err := openpgp.NewEntity("archive", "", "archive@mirror.example", config)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w, err := armor.Encode(&b, openpgp.PublicKeyType, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(e.Serialize(w), w.Close()); err != nil {
		t.Fatal(err)
	}
	return signer{e, b.String()}
}

func (s signer) sign(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	w, err := clearsign.Encode(&b, s.entity.PrivateKey, &packet.Config{Time: func() time.Time { return noon }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String() + "\n"
}

const digest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func release(changes ...string) string {
	text := `Origin: Debian
Suite: stable
Codename: trixie
Date: Mon, 04 May 2026 11:00:00 UTC
Valid-Until: Mon, 11 May 2026 11:00:00 UTC
Acquire-By-Hash: yes
Architectures: all amd64
Components: main
SHA256:
 ` + digest + ` 17 main/binary-amd64/Packages.xz
`
	return strings.NewReplacer(changes...).Replace(text)
}

func TestParseRelease(t *testing.T) {
	s, stranger := newSigner(t), newSigner(t)
	check := index.Check{Keys: s.public, Suite: "trixie", Arch: "amd64", At: noon}
	h, err := nix.ParseHash(nix.SHA256, digest)
	if err != nil {
		t.Fatal(err)
	}
	want := &index.Release{
		Suite: "stable", Codename: "trixie", Date: time.Date(2026, 5, 4, 11, 0, 0, 0, time.UTC), ByHash: true,
		Files: map[string]index.File{"main/binary-amd64/Packages.xz": {Hash: h, Size: 17}},
	}
	for _, suite := range []string{"trixie", "stable"} {
		c := check
		c.Suite = suite
		got, err := index.ParseRelease([]byte(s.sign(t, release())), c)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got, cmp.Comparer(func(a, b nix.Hash) bool { return a == b })); d != "" {
			t.Error(d)
		}
	}
	signed := s.sign(t, release())
	for _, tt := range []struct{ name, data, err string }{
		{"empty", "", "not signed"},
		{"unsigned", release(), "not signed"},
		{"cut off", signed[:len(signed)-40], "incomplete"},
		{"signed by a stranger", stranger.sign(t, release()), "signature"},
		{"changed", strings.Replace(signed, " 17 ", " 18 ", 1), "signature"},
		{"text before", "Suite: sid\n\n" + signed, "not signed"},
		{"text after", signed + "Suite: sid\n", "follows the signature"},
		{"second message", signed + stranger.sign(t, release()), "follows the signature"},
		{"another suite", s.sign(t, release("trixie", "forky", "stable", "testing")), `suite "testing", codename "forky"`},
		{"another architecture", s.sign(t, release("amd64\nC", "arm64\nC")), "no architecture amd64"},
		{"expired", s.sign(t, release("11 May", "04 May")), "valid until 2026-05-04T11:00:00Z"},
		{"future", s.sign(t, release("11:00:00", "13:00:00")), "later than"},
		{"no date", s.sign(t, release("Date: Mon, 04 May 2026 11:00:00 UTC\n", "")), "Date"},
		{"local date", s.sign(t, release("UTC", "CEST")), "UTC"},
		{"no sums", s.sign(t, release("SHA256", "SHA1")), "no SHA256 sums"},
		{"malformed sums", s.sign(t, release(" 17 ", " ")), "not a digest, a size and a path"},
		{"negative size", s.sign(t, release(" 17 ", " -17 ")), "no size"},
		{"short digest", s.sign(t, release(digest, digest[2:])), "SHA256"},
		{"two sums", s.sign(t, release()+" "+digest+" 18 main/binary-amd64/Packages.xz\n"), "two sums"},
		{"field twice", s.sign(t, release("Origin: Debian", "Suite: sid")), "twice"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := index.ParseRelease([]byte(tt.data), check)
			if err == nil || !strings.Contains(err.Error(), tt.err) || !strings.Contains(err.Error(), "trixie") {
				t.Errorf("got %v, error %v; want an error with %q", got, err, tt.err)
			}
		})
	}
	t.Run("an expired key", func(t *testing.T) {
		c := check
		c.At = noon.AddDate(-1, 0, 0)
		if got, err := index.ParseRelease([]byte(signed), c); err == nil {
			t.Errorf("got %v for a key that was not there yet", got)
		}
	})
}

func TestExpiredErrorHasHint(t *testing.T) {
	s := newSigner(t)
	_, err := index.ParseRelease([]byte(s.sign(t, release())), index.Check{Keys: s.public, Suite: "trixie", Arch: "amd64", At: noon.AddDate(0, 1, 0)})
	var expired *index.ExpiredError
	if !errors.As(err, &expired) || expired.Hint() == "" {
		t.Errorf("got %v, want an *ExpiredError with a hint", err)
	}
	// The state of an earlier date is fine when that is what is asked for.
	check := index.Check{Keys: s.public, Suite: "trixie", Arch: "amd64", At: noon.AddDate(0, 1, 0), AsOf: noon.AddDate(0, 0, 3)}
	if _, err := index.ParseRelease([]byte(s.sign(t, release())), check); err != nil {
		t.Error(err)
	}
	check.AsOf = noon.AddDate(0, 0, 8)
	if _, err := index.ParseRelease([]byte(s.sign(t, release())), check); !errors.As(err, &expired) {
		t.Errorf("got %v, want an *ExpiredError", err)
	}
}

// TestDebianKeys checks an InRelease that Debian signed, as its mirrors served it on 2026-11-23.
func TestDebianKeys(t *testing.T) {
	f, err := os.Open("testdata/trixie-security-2026-11-23.InRelease.xz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := xz.NewReader(f, 0)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	check := index.Check{Keys: index.DebianKeys(), Suite: "trixie-security", Arch: "amd64", At: time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)}
	got, err := index.ParseRelease(data, check)
	if err != nil {
		t.Fatal(err)
	}
	if f := got.Files["main/binary-amd64/Packages.xz"]; f.Size == 0 || !got.ByHash {
		t.Errorf("Packages.xz: %+v, by hash: %v", f, got.ByHash)
	}
	i := bytes.Index(data, []byte(" main/binary-amd64/Packages.xz"))
	data[i-1] ^= 1
	if _, err := index.ParseRelease(data, check); err == nil {
		t.Error("a changed size was not noticed")
	}
}

// TestDebianKeysFingerprints holds the keys that are embedded against the list that their README gives.
func TestDebianKeysFingerprints(t *testing.T) {
	readme, err := os.ReadFile("keys/README.md")
	if err != nil {
		t.Fatal(err)
	}
	ring, err := openpgp.ReadArmoredKeyRing(strings.NewReader(index.DebianKeys()))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(readme), " Key ("); n != len(ring) {
		t.Errorf("README lists %d keys, there are %d", n, len(ring))
	}
	for _, e := range ring {
		if want := fmt.Sprintf("| %X | ", e.PrimaryKey.Fingerprint); !strings.Contains(string(readme), want) {
			t.Errorf("README does not list %s", want)
		}
	}
}

func FuzzParseRelease(f *testing.F) {
	f.Add([]byte("-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nSuite: x\n-----BEGIN PGP SIGNATURE-----\n\niQ==\n-----END PGP SIGNATURE-----\n"))
	check := index.Check{Keys: index.DebianKeys(), Suite: "x", Arch: "amd64", At: noon}
	f.Fuzz(func(t *testing.T, data []byte) {
		if r, err := index.ParseRelease(data, check); err == nil {
			t.Errorf("accepted %q as %v", data, r)
		}
	})
}
