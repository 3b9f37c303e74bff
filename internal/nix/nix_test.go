package nix_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"headwater/internal/nix"
)

// lines reads a file of testdata (vectors.sh) as fields.
func lines(tb testing.TB, name string) [][]string {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		tb.Fatal(err)
	}
	var out [][]string
	for line := range strings.Lines(string(data)) {
		out = append(out, strings.Fields(line))
	}
	return out
}

func TestHashFormsMatchNix(t *testing.T) {
	for _, f := range lines(t, "hashes.txt") {
		algo, base16, base32, base64, sri := nix.Algo(f[0]), f[1], f[2], f[3], f[4]
		raw, err := hex.DecodeString(base16)
		if err != nil {
			t.Fatal(err)
		}
		h, err := nix.NewHash(algo, raw)
		if err != nil {
			t.Fatal(err)
		}
		want := []string{base16, base32, base64, sri, f[0] + ":" + base32}
		if diff := cmp.Diff(want, []string{h.Base16(), h.Base32(), h.Base64(), h.SRI(), h.String()}); diff != "" {
			t.Errorf("%s (-Nix +ours):\n%s", base16, diff)
		}
		for _, form := range []string{base16, strings.ToUpper(base16), base32, base64} {
			for _, s := range []string{form, f[0] + ":" + form} {
				if got, err := nix.ParseHash(algo, s); got != h || err != nil {
					t.Errorf("ParseHash(%q, %q) = %v, %v", algo, s, got, err)
				}
			}
		}
		if got, err := nix.ParseHash("", sri); got != h || err != nil {
			t.Errorf("ParseHash(%q) = %v, %v", sri, got, err)
		}
		if got, err := nix.DecodeBase32(base32); !bytes.Equal(got, raw) || err != nil {
			t.Errorf("DecodeBase32(%q) = %x, %v", base32, got, err)
		}
	}
}

func TestPathsMatchNix(t *testing.T) {
	for _, f := range lines(t, "paths.txt") {
		want, method, algo, base16, name := f[0], map[string]nix.Method{"text": nix.Text, "flat": nix.Flat, "nar": nix.NAR}[f[1]], nix.Algo(f[2]), f[3], f[4]
		h, err := nix.ParseHash(algo, base16)
		if err != nil {
			t.Fatal(err)
		}
		var refs []nix.StorePath
		for _, r := range f[5:] { // in reverse: the order must not matter
			refs = append([]nix.StorePath{nix.StorePath(r)}, refs...)
		}
		got, err := nix.FixedPath(name, nix.ContentAddress{Method: method, Hash: h}, refs, false)
		if string(got) != want || err != nil {
			t.Errorf("FixedPath(%s %s %s %s) = %s, %v; Nix says %s", name, method, algo, base16, got, err, want)
		}
		p, err := nix.ParseStorePath(want)
		if err != nil || p.Name() != name || string(p.Digest()+"-"+p.Name()) != p.Base() {
			t.Errorf("ParseStorePath(%s): %v", want, err)
		}
	}
}

func TestParseHashRejects(t *testing.T) {
	for _, c := range []struct {
		algo nix.Algo
		s    string
		want string
	}{
		{"", "", "no known algorithm"},
		{"", "d41d8cd98f00b204e9800998ecf8427e", "no known algorithm"},
		{"", "md4:d41d8cd98f00b204e9800998ecf8427e", `"md4": unknown`},
		{"", "MD5:d41d8cd98f00b204e9800998ecf8427e", `"MD5": unknown`},
		{nix.SHA1, "md5:d41d8cd98f00b204e9800998ecf8427e", "want algorithm sha1"},
		{nix.MD5, "d41d8cd98f00b204e9800998ecf8427", "wrong length 31"},
		{nix.MD5, "d41d8cd98f00b204e9800998ecf8427g", "invalid byte"},
		{"", "md5-d41d8cd98f00b204e9800998ecf8427e", "want base64 of 16 bytes"},
		{"", "md5-1B2M2Y8AsgTpgAmY7PhCfg", "want base64 of 16 bytes"},
		{"", "md5-1B2M2Y8AsgTpgAmY7PhCfh==", "illegal base64"}, // bits left over
		{"", "md5-1B2M2Y8AsgTpgAmY7PhCfg==?opt", "want base64 of 16 bytes"},
		{nix.MD5, "eeeeeeeeeeeeeeeeeeeeeeeeee", `'e' is not a digit`},
		{nix.MD5, "8zzzzzzzzzzzzzzzzzzzzzzzzz", "no whole number of bytes"},
		{nix.MD5, " d41d8cd98f00b204e9800998ecf8427e", "wrong length 33"},
	} {
		if _, err := nix.ParseHash(c.algo, c.s); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("ParseHash(%q, %q): error %v, want %q", c.algo, c.s, err, c.want)
		}
	}
	if _, err := nix.NewHash("md4", make([]byte, 16)); err == nil {
		t.Error("NewHash knows md4")
	}
	if _, err := nix.NewHash(nix.MD5, make([]byte, 17)); err == nil {
		t.Error("NewHash takes 17 bytes for MD5")
	}
}

func TestZeroHash(t *testing.T) {
	var h nix.Hash
	if !h.IsZero() || h.String() != "" || h.SRI() != "" || h.Digest() != nil || h.Algo() != "" {
		t.Errorf("zero hash: %q %q", h, h.SRI())
	}
	if nix.Sum("md4", nil) != h {
		t.Error("an unknown algorithm has a sum")
	}
	var v struct{ H nix.Hash }
	if err := json.Unmarshal([]byte(`{"H":""}`), &v); err != nil || !v.H.IsZero() {
		t.Errorf("empty text: %v, %v", v.H, err)
	}
}

func TestSumReader(t *testing.T) {
	for _, a := range []nix.Algo{nix.MD5, nix.SHA1, nix.SHA256, nix.SHA512} {
		h, n, err := nix.SumReader(a, strings.NewReader("text"))
		if h != nix.Sum(a, []byte("text")) || n != 4 || err != nil {
			t.Errorf("%s: %v, %d, %v", a, h, n, err)
		}
	}
	if _, _, err := nix.SumReader("md4", strings.NewReader("")); err == nil {
		t.Error("md4 is accepted")
	}
}

func TestCheckName(t *testing.T) {
	for _, good := range []string{"a", ".x", "..x", "...", "a.-x", "-x", "+", "?", "=", "_", strings.Repeat("n", 211)} {
		if err := nix.CheckName(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"", ".", "..", ".-x", "..-x", "é", "a b", "a~", "a/b", "a\x00", "a\n", strings.Repeat("n", 212)} {
		if err := nix.CheckName(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func TestParseStorePath(t *testing.T) {
	const digest = "00000000000000000000000000000000"
	for _, bad := range []string{
		"", "/", "/nix/store", "/nix/store/", "/nix/store/" + digest, "/nix/store/" + digest + "-", "/nix/store/" + digest + "_a",
		"/nix/store/" + digest[1:] + "-a", "/nix/store/e" + digest[1:] + "-a", "/nix/store/0" + digest + "-a", "/nix/store//" + digest + "-a",
		"/nix/store/../" + digest + "-a", "nix/store/" + digest + "-a", "/gnu/store/" + digest + "-a", "/nix/store/" + digest + "-a/b", "/nix/store/" + digest + "-a/",
	} {
		if p, err := nix.ParseStorePath(bad); err == nil {
			t.Errorf("%q is parsed as %q", bad, p)
		}
	}
	p, rest, err := nix.SplitStorePath("/nix/store/" + digest + "-a.drv/b/c")
	if err != nil || p.Base() != digest+"-a.drv" || p.Digest() != digest || p.Name() != "a.drv" || !p.IsDerivation() || rest != "/b/c" {
		t.Errorf("SplitStorePath: %q, %q, %v", p, rest, err)
	}
	if again, err := nix.ParseStoreBase(p.Base()); again != p || err != nil {
		t.Errorf("ParseStoreBase: %q, %v", again, err)
	}
	var none nix.StorePath
	if none.Digest() != "" || none.Name() != "" || none.Base() != "" || none.IsDerivation() {
		t.Error("the zero path has parts")
	}
	if err := none.UnmarshalText([]byte("x")); err == nil {
		t.Error("UnmarshalText takes x")
	}
	if err := none.UnmarshalText(nil); err != nil || none != "" {
		t.Errorf("UnmarshalText of nothing: %q, %v", none, err)
	}
}

func TestFixedPathRejects(t *testing.T) {
	sha256 := nix.Sum(nix.SHA256, nil)
	sha1 := nix.Sum(nix.SHA1, nil)
	ref := []nix.StorePath{"/nix/store/00000000000000000000000000000000-a"}
	for name, c := range map[string]struct {
		ca   nix.ContentAddress
		refs []nix.StorePath
		self bool
		name string
	}{
		"no hash":             {nix.ContentAddress{Method: nix.Flat}, nil, false, "a"},
		"unknown method":      {nix.ContentAddress{Method: 9, Hash: sha1}, nil, false, "a"},
		"text by sha1":        {nix.ContentAddress{Method: nix.Text, Hash: sha1}, nil, false, "a"},
		"text and itself":     {nix.ContentAddress{Method: nix.Text, Hash: sha256}, nil, true, "a"},
		"flat and references": {nix.ContentAddress{Method: nix.Flat, Hash: sha256}, ref, false, "a"},
		"sha1 and references": {nix.ContentAddress{Method: nix.NAR, Hash: sha1}, ref, false, "a"},
		"sha1 and itself":     {nix.ContentAddress{Method: nix.NAR, Hash: sha1}, nil, true, "a"},
		"bad name":            {nix.ContentAddress{Method: nix.NAR, Hash: sha256}, nil, false, "a b"},
	} {
		if p, err := nix.FixedPath(c.name, c.ca, c.refs, c.self); err == nil {
			t.Errorf("%s: %s", name, p)
		}
	}
	if p, err := nix.OutputPath(nix.Hash{}, "out", "a"); err == nil {
		t.Errorf("output without a hash: %s", p)
	}
}

func TestContentAddress(t *testing.T) {
	for _, s := range []string{
		"", "text:sha256:0lsy428b4vg9jlnhgs9iqyq1mrin6icw76aq3gy5d3x722j2his3", "fixed:md5:0rg7dkqqawb9ijkmmmp3ik06s0",
		"fixed:r:sha1:xd5adfpyvmdsp8k8agj23p7hsp140swh", "fixed:r:sha256:0x8rfwm8ahk1g7chxpm8ij2nhvzxiryknb33py3dha2qxw5fkgr9",
	} {
		c, err := nix.ParseContentAddress(s)
		if err != nil || c.String() != s || c.IsZero() != (s == "") {
			t.Errorf("%q: %q, %v", s, c, err)
		}
	}
	for _, bad := range []string{
		"x", "text", "fixed:", "fixed:sha256", "fixed:r:", "text:sha1:xd5adfpyvmdsp8k8agj23p7hsp140swh", "text:r:sha256:0lsy428b4vg9jlnhgs9iqyq1mrin6icw76aq3gy5d3x722j2his3",
		"fixed:git:sha1:xd5adfpyvmdsp8k8agj23p7hsp140swh", "fixed:md5-1B2M2Y8AsgTpgAmY7PhCfg==", "fixed:md5:", "fixed:md4:0rg7dkqqawb9ijkmmmp3ik06s0",
	} {
		if c, err := nix.ParseContentAddress(bad); err == nil {
			t.Errorf("%q is parsed as %q", bad, c)
		}
	}
}

func TestBase32RoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(t, "bytes")
		s := nix.EncodeBase32(b)
		if got, err := nix.DecodeBase32(s); !bytes.Equal(got, b) || err != nil || !nix.IsBase32(s) {
			t.Fatalf("%x is %q is %x, %v", b, s, got, err)
		}
	})
}

func TestHashRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := rapid.SampledFrom([]nix.Algo{nix.MD5, nix.SHA1, nix.SHA256, nix.SHA512}).Draw(t, "algo")
		h, err := nix.NewHash(a, rapid.SliceOfN(rapid.Byte(), a.Size(), a.Size()).Draw(t, "digest"))
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []string{h.SRI(), h.String(), string(a) + ":" + h.Base16(), string(a) + ":" + h.Base64()} {
			if got, err := nix.ParseHash("", s); got != h || err != nil {
				t.Fatalf("ParseHash(%q) = %v, %v", s, got, err)
			}
		}
		again, err := nix.NewHash(h.Algo(), h.Digest())
		if again != h || err != nil {
			t.Fatalf("NewHash(Digest) = %v, %v", again, err)
		}
		text, err := json.Marshal(h)
		if err != nil {
			t.Fatal(err)
		}
		var back nix.Hash
		if err := json.Unmarshal(text, &back); back != h || err != nil {
			t.Fatalf("%s is read as %v, %v", text, back, err)
		}
	})
}

func FuzzBase32(f *testing.F) {
	for _, s := range []string{"", "0", "00", "7z", "zz", "0lsy428b4vg9jlnhgs9iqyq1mrin6icw76aq3gy5d3x722j2his3", "eotu"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if b, err := nix.DecodeBase32(s); err == nil && nix.EncodeBase32(b) != s {
			t.Errorf("%q is %x is %q", s, b, nix.EncodeBase32(b))
		}
	})
}

func FuzzParseHash(f *testing.F) {
	for i, l := range lines(f, "hashes.txt") {
		if i%5 == 0 {
			f.Add(l[0], l[1])
			f.Add("", l[0]+":"+l[2])
			f.Add("", l[4])
		}
	}
	f.Fuzz(func(t *testing.T, algo, s string) {
		h, err := nix.ParseHash(nix.Algo(algo), s)
		if err != nil {
			return
		}
		if again, err := nix.ParseHash(h.Algo(), h.SRI()); again != h || err != nil {
			t.Errorf("%q is %v is %v, %v", s, h, again, err)
		}
		_, digest, found := strings.Cut(s, ":")
		if !found {
			digest = strings.TrimPrefix(s, string(h.Algo())+"-")
		}
		if digest != h.Base32() && digest != h.Base64() && strings.ToLower(digest) != h.Base16() {
			t.Errorf("%q is %v", s, h)
		}
	})
}

func FuzzStorePath(f *testing.F) {
	for _, l := range lines(f, "paths.txt") {
		f.Add(l[0])
		f.Add(l[0] + "/bin/../x")
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, rest, err := nix.SplitStorePath(s)
		if err != nil {
			return
		}
		if string(p)+rest != s || rest != "" && rest[0] != '/' || string(p) != nix.StoreDir+"/"+p.Digest()+"-"+p.Name() {
			t.Errorf("%q is split into %q and %q", s, p, rest)
		}
		if filepath.Dir(string(p)) != nix.StoreDir || filepath.Clean(string(p)) != string(p) {
			t.Errorf("%q is not right in the store", p)
		}
		if again, err := nix.ParseStorePath(string(p)); again != p || err != nil {
			t.Errorf("%q is parsed as %q, %v", p, again, err)
		}
	})
}

func FuzzContentAddress(f *testing.F) {
	f.Add("text:sha256:0lsy428b4vg9jlnhgs9iqyq1mrin6icw76aq3gy5d3x722j2his3")
	f.Add("fixed:r:sha1:xd5adfpyvmdsp8k8agj23p7hsp140swh")
	f.Add("fixed:md5:d41d8cd98f00b204e9800998ecf8427e")
	f.Fuzz(func(t *testing.T, s string) {
		c, err := nix.ParseContentAddress(s)
		if err != nil {
			return
		}
		if again, err := nix.ParseContentAddress(c.String()); again != c || err != nil {
			t.Errorf("%q is %q is %q, %v", s, c, again, err)
		}
	})
}
