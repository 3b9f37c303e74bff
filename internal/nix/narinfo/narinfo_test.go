package narinfo_test

import (
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"headwater/internal/nix"
	"headwater/internal/nix/narinfo"
)

func read(tb testing.TB, name string) string {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		tb.Fatal(err)
	}
	return string(data)
}

// published reads what Nix published (testdata/vectors.sh), by file name.
func published(tb testing.TB) map[string]string {
	tb.Helper()
	files, err := filepath.Glob("testdata/*.narinfo")
	if err != nil || len(files) == 0 {
		tb.Fatalf("no vectors: %v", err)
	}
	out := map[string]string{}
	for _, f := range files {
		out[filepath.Base(f)] = read(tb, filepath.Base(f))
	}
	return out
}

func parse(tb testing.TB, text string) *narinfo.Info {
	tb.Helper()
	info, err := narinfo.Parse([]byte(text))
	if err != nil {
		tb.Fatal(err)
	}
	return info
}

func TestNixNarinfos(t *testing.T) {
	secret, err := narinfo.ParseSecretKey(read(t, "secret"))
	if err != nil {
		t.Fatal(err)
	}
	public, err := narinfo.ParsePublicKey(read(t, "public"))
	if err != nil {
		t.Fatal(err)
	}
	if got := secret.Public(); got.String() != public.String() {
		t.Errorf("public key is %s, Nix says %s", got, public)
	}
	if secret.Text() != strings.TrimSpace(read(t, "secret")) {
		t.Error("the secret key is written otherwise than it was read")
	}
	addressed := 0
	for name, text := range published(t) {
		t.Run(name, func(t *testing.T) {
			info := parse(t, text)
			if diff := cmp.Diff(text, string(info.Marshal())); diff != "" {
				t.Errorf("written again (-Nix +ours):\n%s", diff)
			}
			if got := info.SignedBy([]narinfo.PublicKey{public}); !cmp.Equal(got, []string{"test.example-1"}) {
				t.Errorf("signed by %q", got)
			}
			unsigned := *info
			unsigned.Sigs = nil
			unsigned.Sign(secret)
			if diff := cmp.Diff(info.Sigs, unsigned.Sigs); diff != "" {
				t.Errorf("signature (-Nix +ours):\n%s", diff)
			}
			if info.ContentAddressed() != !info.CA.IsZero() {
				t.Errorf("content-addressed: %v, with %q", info.ContentAddressed(), info.CA)
			}
			if info.ContentAddressed() {
				addressed++
			}
		})
	}
	if addressed < 8 {
		t.Errorf("%d content-addressed vectors", addressed)
	}
}

func TestFields(t *testing.T) {
	info := parse(t, `StorePath: /nix/store/00000000000000000000000000000000-a
URL: nar/x.nar
FileSize: 7
NarHash: sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=
NarSize: 9
References: 11111111111111111111111111111111-b 00000000000000000000000000000000-a
Deriver: unknown-deriver
X-Cache: what others add
Sig: k2:of-another-kind
`)
	want := &narinfo.Info{
		Path: "/nix/store/00000000000000000000000000000000-a", URL: "nar/x.nar", Compression: "bzip2", FileSize: 7,
		NARHash: nix.Sum(nix.SHA256, nil), NARSize: 9,
		Refs: []nix.StorePath{"/nix/store/00000000000000000000000000000000-a", "/nix/store/11111111111111111111111111111111-b"},
		Sigs: []string{"k2:of-another-kind"},
	}
	if diff := cmp.Diff(want, info, cmp.AllowUnexported(nix.Hash{})); diff != "" {
		t.Error(diff)
	}
	if parse(t, strings.Replace(string(info.Marshal()), "References: ", "References:", 1)).NARSize != 9 {
		t.Error("References without a space")
	}
}

func TestParseRejects(t *testing.T) {
	const good = "StorePath: /nix/store/00000000000000000000000000000000-a\nURL: a\n" +
		"NarHash: sha256:0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73\nNarSize: 1\nReferences: \n"
	parse(t, good)
	for name, c := range map[string]struct{ old, new, want string }{
		"no path":         {"StorePath: /nix/store/00000000000000000000000000000000-a\n", "", "StorePath: missing"},
		"no URL":          {"URL: a\n", "", "URL: missing"},
		"no hash":         {"NarHash", "Other", "NarHash: missing"},
		"no size":         {"NarSize", "Other", "NarSize: missing"},
		"path below":      {"-a\n", "-a/b\n", "line 1: StorePath"},
		"path of another": {"/nix/store/", "/gnu/store/", "line 1: StorePath"},
		"empty URL":       {"URL: a", "URL: ", "line 2: URL"},
		"URL with spaces": {"URL: a", "URL: a b", "line 2: URL"},
		"hash of another": {"sha256:0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73", "md5:d41d8cd98f00b204e9800998ecf8427e", "want sha256, have md5"},
		"bare hash":       {"sha256:", "", "no known algorithm"},
		"short hash":      {"9c73", "", "wrong length"},
		"size 0":          {"NarSize: 1", "NarSize: 0", "is 0"},
		"negative size":   {"NarSize: 1", "NarSize: -1", "is no size"},
		"huge size":       {"NarSize: 1", "NarSize: 9223372036854775808", "is no size"},
		"hex size":        {"NarSize: 1", "NarSize: 0x1", "is no size"},
		"size twice":      {"NarSize: 1\n", "NarSize: 1\nNarSize: 1\n", "line 5: NarSize: twice"},
		"full reference":  {"References: ", "References: /nix/store/00000000000000000000000000000000-a", "line 5: References"},
		"no colon":        {"URL: a\n", "URL: a\njunk\n", "line 3: not a line"},
		"truncated":       {"References: \n", "References: ", "line 5: not a line"},
		"bad deriver":     {"References: \n", "References: \nDeriver: x.drv\n", "line 6: Deriver"},
		"bad CA":          {"References: \n", "References: \nCA: fixed:r:sha256\n", "line 6: CA"},
		"empty CA":        {"References: \n", "References: \nCA: \n", "line 6: CA"},
		"bad Sig":         {"References: \n", "References: \nSig: abc\n", "line 6: Sig"},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(good, c.old, c.new, 1)
			if text == good {
				t.Fatal("the case changes nothing")
			}
			if _, err := narinfo.Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

// Whatever is changed of what a signature vouches for, it no longer does.
func TestSignatureCoversInfo(t *testing.T) {
	public, err := narinfo.ParsePublicKey(read(t, "public"))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range published(t) {
		for what, change := range map[string]func(*narinfo.Info){
			"path":      func(i *narinfo.Info) { i.Path += "x" },
			"hash":      func(i *narinfo.Info) { i.NARHash = nix.Sum(nix.SHA256, []byte("x")) },
			"size":      func(i *narinfo.Info) { i.NARSize++ },
			"reference": func(i *narinfo.Info) { i.Refs = append(i.Refs, i.Path+"x") },
			"signature": func(i *narinfo.Info) { i.Sigs[0] = strings.Replace(i.Sigs[0], ":", ":A", 1) },
			"name":      func(i *narinfo.Info) { i.Sigs[0] = "x" + i.Sigs[0] },
			"none":      func(i *narinfo.Info) { i.Sigs = nil },
		} {
			info := parse(t, text)
			change(info)
			if got := info.SignedBy([]narinfo.PublicKey{public, {}}); len(got) != 0 {
				t.Errorf("%s, changed %s: still signed by %q", name, what, got)
			}
		}
	}
}

func TestForgedContentAddress(t *testing.T) {
	for name, text := range published(t) {
		for what, change := range map[string]func(*narinfo.Info){
			"path":      func(i *narinfo.Info) { i.Path += "x" },
			"reference": func(i *narinfo.Info) { i.Refs = append(i.Refs, i.Path+"x") },
			"hash":      func(i *narinfo.Info) { i.CA.Hash = nix.Sum(i.CA.Hash.Algo(), []byte("x")) },
		} {
			info := parse(t, text)
			change(info)
			if info.ContentAddressed() {
				t.Errorf("%s, changed %s: still content-addressed", name, what)
			}
		}
	}
}

func TestKeys(t *testing.T) {
	k, err := narinfo.GenerateKey("a.example-1", rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	again, err := narinfo.ParseSecretKey(k.Text() + "\n")
	if err != nil || again.Text() != k.Text() {
		t.Errorf("read again: %v", err)
	}
	public, err := narinfo.ParsePublicKey(k.Public().String())
	if err != nil || public.Name() != "a.example-1" || !public.Verify("text", k.Sign("text")) || public.Verify("test", k.Sign("text")) {
		t.Errorf("public key %s: %v", public, err)
	}
	secret := strings.TrimPrefix(k.Text(), "a.example-1:")
	for _, text := range []string{fmt.Sprint(k), fmt.Sprintf("%v %+v %#v %s", k, k, k, k)} {
		if strings.Contains(text, secret[:20]) {
			t.Error("printing a key tells its secret")
		}
	}
	for _, bad := range []string{"", "name", ":" + secret, "a b:" + secret, "n:" + secret[4:], "n:" + secret[:86] + "==x", "n:A" + secret[1:] + "\n\n", "n: " + secret} {
		if _, err := narinfo.ParseSecretKey(bad); err == nil || len(bad) > 60 && strings.Contains(err.Error(), secret[8:40]) {
			t.Errorf("secret key: error %v", err)
		}
	}
	swapped := "n:" + strings.Replace(secret, secret[10:12], map[bool]string{true: "BB", false: "AA"}[secret[10:12] == "AA"], 1)
	if _, err := narinfo.ParseSecretKey(swapped); err == nil {
		t.Error("a secret key whose halves do not belong together is accepted")
	}
	for _, name := range []string{"", "a b", "a:b", "a\n"} {
		if _, err := narinfo.GenerateKey(name, rand.Reader); err == nil {
			t.Errorf("key name %q is accepted", name)
		}
	}
}

func genInfo(t *rapid.T) *narinfo.Info {
	path := rapid.Custom(func(t *rapid.T) nix.StorePath {
		return nix.StorePath("/nix/store/" + rapid.StringMatching(`[0-9abcdfghijklmnpqrsvwxyz]{32}-[a-z0-9+_?=-][a-z0-9+._?=-]{0,9}`).Draw(t, "path"))
	})
	algo := rapid.SampledFrom([]nix.Algo{nix.MD5, nix.SHA1, nix.SHA256, nix.SHA512})
	hash := func(a nix.Algo) nix.Hash { return nix.Sum(a, rapid.SliceOf(rapid.Byte()).Draw(t, "hashed")) }
	word := rapid.StringMatching(`[a-z0-9/.%:é-]{1,20}`)
	info := &narinfo.Info{
		Path: path.Draw(t, "path"), URL: word.Draw(t, "url"), Compression: word.Draw(t, "compression"),
		NARHash: hash(nix.SHA256), NARSize: rapid.Int64Min(1).Draw(t, "size"), FileSize: rapid.Int64Min(0).Draw(t, "file size"),
		Refs: rapid.SliceOf(path).Draw(t, "refs"),
		Sigs: rapid.SliceOf(rapid.StringMatching(`[a-z.]+:[A-Za-z+/=]+`)).Draw(t, "sigs"),
	}
	slices.Sort(info.Refs)
	info.Refs = slices.Compact(info.Refs)
	slices.Sort(info.Sigs)
	info.Sigs = slices.Compact(info.Sigs)
	if rapid.Bool().Draw(t, "more") {
		info.FileHash, info.Deriver = hash(algo.Draw(t, "algo")), path.Draw(t, "deriver")
		info.CA = nix.ContentAddress{Method: nix.NAR, Hash: hash(algo.Draw(t, "algo"))}
	}
	return info
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := genInfo(t)
		got, err := narinfo.Parse(want.Marshal())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(nix.Hash{}), cmpopts.EquateEmpty()); diff != "" {
			t.Fatal(diff)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, text := range published(f) {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		info, err := narinfo.Parse(data)
		if err != nil {
			return
		}
		written := info.Marshal()
		again, err := narinfo.Parse(written)
		if err != nil {
			t.Fatalf("%q, read and written, is not read: %v", written, err)
		}
		if diff := cmp.Diff(string(written), string(again.Marshal())); diff != "" {
			t.Error(diff)
		}
		info.ContentAddressed()
		info.SignedBy(nil)
	})
}

func FuzzKeys(f *testing.F) {
	f.Add(strings.TrimSpace(read(f, "secret")), "k:c2ln")
	f.Add(read(f, "public"), "")
	f.Fuzz(func(t *testing.T, key, sig string) {
		if k, err := narinfo.ParsePublicKey(key); err == nil {
			if k.String() != key {
				t.Errorf("%q is written as %q", key, k)
			}
			if k.Verify("", sig) && !strings.HasPrefix(sig, k.Name()+":") {
				t.Errorf("%q verifies %q", key, sig)
			}
		}
		if k, err := narinfo.ParseSecretKey(key); err == nil && k.Text() != strings.TrimSuffix(key, "\n") {
			t.Errorf("%q is written as %q", key, k.Text())
		}
	})
}
