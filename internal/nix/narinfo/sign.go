package narinfo

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"headwater/internal/nix"
)

// Fingerprint is the text that signatures sign: "1;<path>;<NAR hash>;<NAR size>;<references>".
func Fingerprint(p nix.StorePath, narHash nix.Hash, narSize int64, refs []nix.StorePath) string {
	var b strings.Builder
	b.WriteString("1;")
	b.WriteString(string(p))
	b.WriteByte(';')
	b.WriteString(narHash.String())
	b.WriteByte(';')
	b.WriteString(strconv.FormatInt(narSize, 10))
	b.WriteByte(';')
	for i, r := range slices.Compact(slices.Sorted(slices.Values(refs))) {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(string(r))
	}
	return b.String()
}

// Fingerprint is the text that info's signatures sign.
func (info *Info) Fingerprint() string {
	return Fingerprint(info.Path, info.NARHash, info.NARSize, info.Refs)
}

// Sign adds k's signature, in the place of an earlier one by a key of that name.
func (info *Info) Sign(k SecretKey) {
	sig := k.Sign(info.Fingerprint())
	info.Sigs = slices.DeleteFunc(info.Sigs, func(s string) bool { return strings.HasPrefix(s, k.name+":") })
	info.Sigs = append(info.Sigs, sig)
	slices.Sort(info.Sigs)
}

// SignedBy lists the names of those of keys that have validly signed info.
func (info *Info) SignedBy(keys []PublicKey) []string {
	return SignedBy(info.Fingerprint(), info.Sigs, keys)
}

// SignedBy lists the names of those of keys by which one of sigs is valid. Malformed signatures and those by other keys
// count for nothing.
func SignedBy(fingerprint string, sigs []string, keys []PublicKey) []string {
	var names []string
	for _, k := range keys {
		if slices.ContainsFunc(sigs, func(sig string) bool { return k.Verify(fingerprint, sig) }) {
			names = append(names, k.name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// PublicKey is a key that signatures are checked with. Its text is "<name>:<base64>".
type PublicKey struct {
	name string
	key  ed25519.PublicKey
}

// ParsePublicKey reads a key as trusted-public-keys has it.
func ParsePublicKey(s string) (PublicKey, error) {
	name, key, err := parseNamed(s, ed25519.PublicKeySize)
	if err != nil {
		return PublicKey{}, fmt.Errorf("parse public key %q: %w", s, err)
	}
	return PublicKey{name, key}, nil
}

// Name tells keys apart; it is not a part of what is signed.
func (k PublicKey) Name() string { return k.name }

func (k PublicKey) String() string { return formatNamed(k.name, k.key) }

// Verify reports whether sig, "<name>:<base64>", is of this key and signs fingerprint. The zero key verifies nothing.
func (k PublicKey) Verify(fingerprint, sig string) bool {
	name, raw, err := parseNamed(sig, ed25519.SignatureSize)
	return err == nil && len(k.key) == ed25519.PublicKeySize && name == k.name && ed25519.Verify(k.key, []byte(fingerprint), raw)
}

// SecretKey is a key that signs. It is printed without its secret.
type SecretKey struct {
	name string
	key  ed25519.PrivateKey
}

// GenerateKey makes a key of the given name from random, crypto/rand.Reader but in tests.
func GenerateKey(name string, random io.Reader) (SecretKey, error) {
	if err := checkName(name); err != nil {
		return SecretKey{}, fmt.Errorf("generate key: %w", err)
	}
	seed := make([]byte, ed25519.SeedSize)
	if _, err := io.ReadFull(random, seed); err != nil {
		return SecretKey{}, fmt.Errorf("generate key %s: %w", name, err)
	}
	return SecretKey{name, ed25519.NewKeyFromSeed(seed)}, nil
}

// ParseSecretKey reads a key as a secret-key file has it. Errors do not quote it.
func ParseSecretKey(s string) (SecretKey, error) {
	name, key, err := parseNamed(strings.TrimSuffix(s, "\n"), ed25519.PrivateKeySize)
	if err != nil {
		return SecretKey{}, fmt.Errorf("parse secret key: %w", err)
	}
	k := SecretKey{name, key}
	if !slices.Equal(ed25519.NewKeyFromSeed(k.key.Seed()), k.key) {
		return SecretKey{}, fmt.Errorf("parse secret key %s: its two halves do not belong together", name)
	}
	return k, nil
}

// Text is what ParseSecretKey reads, for the file that keeps the key.
func (k SecretKey) Text() string { return formatNamed(k.name, k.key) }

// String does not tell the secret.
func (k SecretKey) String() string { return "secret key " + k.name }

// GoString does not tell the secret.
func (k SecretKey) GoString() string { return k.String() }

// Public is the key that verifies k's signatures.
func (k SecretKey) Public() PublicKey {
	return PublicKey{k.name, ed25519.PublicKey(slices.Clone(k.key[ed25519.SeedSize:]))}
}

// Sign is the signature of a fingerprint, "<name>:<base64>".
func (k SecretKey) Sign(fingerprint string) string {
	return formatNamed(k.name, ed25519.Sign(k.key, []byte(fingerprint)))
}

// parseNamed reads "<name>:<base64 of size bytes>".
func parseNamed(s string, size int) (string, []byte, error) {
	name, text, ok := strings.Cut(s, ":")
	if !ok {
		return "", nil, errors.New("want name:base64")
	}
	if err := checkName(name); err != nil {
		return "", nil, err
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) != size || base64.StdEncoding.EncodeToString(raw) != text {
		return "", nil, fmt.Errorf("of %s: want base64 of %d bytes", name, size)
	}
	return name, raw, nil
}

func checkName(name string) error {
	if name == "" || strings.Contains(name, ":") || strings.ContainsFunc(name, isBlank) {
		return fmt.Errorf("key name %q is empty or holds white space, a colon or a control character", name)
	}
	return nil
}

func formatNamed(name string, raw []byte) string {
	return name + ":" + base64.StdEncoding.EncodeToString(raw)
}
