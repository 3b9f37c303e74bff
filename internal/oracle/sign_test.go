package oracle_test

import (
	"crypto/rand"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/nix"
	"headwater/internal/nix/narinfo"
	"headwater/internal/nixtest"
	"headwater/internal/store"
	"headwater/internal/store/storetest"
)

// What one signs the other verifies, by keys of either; and what is signed by another key is refused.
func TestSignatures(t *testing.T) {
	for _, n := range nixtest.All(t) {
		t.Run(string(n.Release), func(t *testing.T) {
			l := newLab(t)
			built := tower(l)[0]
			if _, err := l.realise(built); err != nil {
				t.Fatal(errorText(err))
			}
			ours, err := narinfo.GenerateKey("ours-1", rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			text := n.Run(t, "nix", "key", "generate-secret", "--key-name", "nixs-1")
			nixs, err := narinfo.ParseSecretKey(text)
			if err != nil {
				t.Fatal(err)
			}
			for _, key := range []narinfo.SecretKey{ours, nixs} {
				signBothWays(t, l, n, built.Path(), key)
			}
		})
	}
}

func signBothWays(t *testing.T, l *lab, n *nixtest.Nix, p nix.StorePath, key narinfo.SecretKey) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(key.Text()), 0o600); err != nil {
		t.Fatal(err)
	}
	public := n.Command(t.Context(), "nix", "key", "convert-secret-to-public")
	public.Stdin = strings.NewReader(key.Text())
	out, err := public.Output()
	if err != nil || strings.TrimSpace(string(out)) != key.Public().String() {
		t.Errorf("public key of %s: %q, %v", key.Public().Name(), out, err)
	}
	other, err := narinfo.GenerateKey(key.Public().Name(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}

	// Nix signs; we verify, and would have signed alike.
	signed := copied(t, l, p)
	n.Run(t, "nix", "--store", signed.Dir(), "store", "sign", "--key-file", file, string(p))
	info, err := signed.Query(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	fingerprint := narinfo.Fingerprint(p, info.NARHash, info.NARSize, info.Refs)
	if !slices.Contains(info.Sigs, key.Sign(fingerprint)) {
		t.Errorf("Nix signs %q, we %q", info.Sigs, key.Sign(fingerprint))
	}
	if got := narinfo.SignedBy(fingerprint, info.Sigs, []narinfo.PublicKey{key.Public()}); len(got) != 1 {
		t.Errorf("we do not verify %q", info.Sigs)
	}
	if got := narinfo.SignedBy(fingerprint, info.Sigs, []narinfo.PublicKey{other.Public()}); len(got) != 0 {
		t.Error("we verify with another key")
	}
	samePathInfo(t, n, signed, info)

	// We sign; Nix verifies.
	unsigned := copied(t, l, p)
	verify := func(k narinfo.PublicKey) error {
		return n.Command(t.Context(), "nix", "--store", unsigned.Dir(), "store", "verify", "--sigs-needed", "1", "--option", "trusted-public-keys", k.String(), string(p)).Run()
	}
	if verify(key.Public()) == nil {
		t.Error("Nix verifies what nobody signed")
	}
	info.Sigs = []string{key.Sign(fingerprint)}
	if err := unsigned.Register(t.Context(), []store.PathInfo{info}); err != nil {
		t.Fatal(err)
	}
	if err := verify(key.Public()); err != nil {
		t.Errorf("Nix does not verify our signature: %v", err)
	}
	if verify(other.Public()) == nil {
		t.Error("Nix verifies with another key")
	}
}

// copied is a store that has p from elsewhere, so that a signature counts.
func copied(t *testing.T, l *lab, p nix.StorePath) *store.Store {
	t.Helper()
	s := storetest.Open(t, storeDir(t))
	copyPaths(t, l.store, s, p)
	info, err := s.Query(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	info.Ultimate, info.Sigs = false, nil
	if err := s.Register(t.Context(), []store.PathInfo{info}); err != nil {
		t.Fatal(err)
	}
	return s
}

// pathInfo is what the releases' JSON has in common.
type pathInfo struct {
	NARHash    nixHash  `json:"narHash"`
	NARSize    int64    `json:"narSize"`
	References []string `json:"references"`
	Signatures []string `json:"signatures"`
}

// nixHash is a hash as any of the releases writes it.
type nixHash string

// samePathInfo compares what we read of a path with what Nix tells.
func samePathInfo(t *testing.T, n *nixtest.Nix, s *store.Store, info store.PathInfo) {
	t.Helper()
	text := n.Run(t, "nix", "--store", s.Dir(), "path-info", "--json", string(info.Path))
	var list []pathInfo // 2.8
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		var byPath map[string]pathInfo // later
		if err := json.Unmarshal([]byte(text), &byPath); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		for _, i := range byPath {
			list = append(list, i)
		}
	}
	if len(list) != 1 {
		t.Fatalf("Nix tells %s", text)
	}
	hash, err := nix.ParseHash("", string(list[0].NARHash))
	if err != nil {
		t.Fatal(err)
	}
	refs := make([]string, len(info.Refs))
	for i, r := range info.Refs {
		refs[i] = string(r)
	}
	want := pathInfo{nixHash(info.NARHash.SRI()), info.NARSize, refs, info.Sigs}
	got := pathInfo{nixHash(hash.SRI()), list[0].NARSize, slices.Sorted(slices.Values(list[0].References)), list[0].Signatures}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}
