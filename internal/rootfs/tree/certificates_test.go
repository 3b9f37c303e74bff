package tree_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha1"
	"encoding/pem"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/rootfs/debtest"
)

// authorities is a package of certificates: those of testdata/certs, which also has OpenSSL's hashes of their subjects.
func authorities(t *testing.T) (pkg debtest.Package, hashes map[string]string) {
	t.Helper()
	data, err := os.ReadFile("testdata/certs/hashes")
	if err != nil {
		t.Fatal(err)
	}
	pkg = debtest.Package{Name: "ca-certificates", Content: map[string]string{}}
	hashes = map[string]string{}
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		hashes[f[1]] = f[0]
		content, err := os.ReadFile(filepath.Join("testdata/certs", f[1]))
		if err != nil {
			t.Fatal(err)
		}
		name := "usr/share/ca-certificates/some/" + f[1]
		pkg.Entries = append(pkg.Entries, debtest.File(name))
		pkg.Content[name] = string(content)
	}
	return pkg, hashes
}

func TestCertificates(t *testing.T) {
	pkg, hashes := authorities(t)
	dst, err := unpack(t, pkg)
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	taken := map[string]bool{}
	for _, h := range pkg.Entries {
		file := filepath.Base(h.Name)
		name := strings.TrimSuffix(file, ".crt")
		number := ".0"
		if taken[hashes[file]] {
			number = ".1"
		}
		taken[hashes[file]] = true
		want = append(want, name+".pem -> ../../../usr/share/ca-certificates/some/"+file, hashes[file]+number+" -> "+name+".pem")
	}
	got := list(t, filepath.Join(dst, "etc/ssl/certs"))
	i := slices.IndexFunc(got, func(s string) bool { return strings.HasPrefix(s, "ca-certificates.crt ") })
	bundle := strings.TrimPrefix(got[i], "ca-certificates.crt ")
	got = slices.Delete(got, i, i+1)
	slices.Sort(want)
	slices.Sort(got)
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	for rest := []byte(bundle); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			if len(rest) > 0 {
				t.Errorf("bundle ends in %q", rest)
			}
			break
		}
		if n := strings.Count(bundle, string(pem.EncodeToMemory(block))); n != 1 {
			t.Errorf("a certificate is in the bundle %d times", n)
		}
	}
	if n := strings.Count(bundle, "BEGIN CERTIFICATE"); n != len(pkg.Entries) {
		t.Errorf("%d certificates in the bundle, want %d", n, len(pkg.Entries))
	}
}

func TestKeystore(t *testing.T) {
	pkg, _ := authorities(t)
	dst, err := unpack(t, pkg, debtest.Package{Name: "ca-certificates-java", Entries: []tar.Header{debtest.Folder("etc/ssl/certs/java/")}})
	if err != nil {
		t.Fatal(err)
	}
	store, err := os.ReadFile(filepath.Join(dst, "etc/ssl/certs/java/cacerts"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(store, []byte{0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2, 0, 0, 0, byte(len(pkg.Entries))}) {
		t.Errorf("begins with %x", store[:12])
	}
	for name, content := range pkg.Content {
		block, _ := pem.Decode([]byte(content))
		alias := "debian:" + strings.ToLower(strings.TrimSuffix(filepath.Base(name), ".crt")) + ".pem"
		want := slices.Concat([]byte{0, 0, 0, 2, 0, byte(len(alias))}, []byte(alias), make([]byte, 8), []byte("\x00\x05X.509"))
		want = append(want, 0, 0, byte(len(block.Bytes)>>8), byte(len(block.Bytes)))
		if !bytes.Contains(store, append(want, block.Bytes...)) {
			t.Errorf("there is no entry %s", alias)
		}
	}
	sum := sha1.Sum(slices.Concat([]byte("\x00c\x00h\x00a\x00n\x00g\x00e\x00i\x00tMighty Aphrodite"), store[:len(store)-sha1.Size]))
	if !bytes.Equal(sum[:], store[len(store)-sha1.Size:]) {
		t.Error("the check sum is wrong")
	}
}

func TestBadCertificates(t *testing.T) {
	good, _ := authorities(t)
	const name = "usr/share/ca-certificates/x/Bad.crt"
	for what, content := range map[string]string{
		"no PEM":           "hello",
		"no certificate":   "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n",
		"another's name":   good.Content[good.Entries[0].Name],
		"some private key": "-----BEGIN PRIVATE KEY-----\naGVsbG8=\n-----END PRIVATE KEY-----\n",
	} {
		entry := name
		if what == "another's name" {
			entry = "usr/share/ca-certificates/x/" + filepath.Base(good.Entries[0].Name)
		}
		_, err := unpack(t, good, debtest.Package{Name: "zz", Entries: []tar.Header{debtest.File(entry)}, Content: map[string]string{entry: content}})
		if err == nil || !strings.Contains(err.Error(), strings.TrimSuffix(filepath.Base(entry), ".crt")) {
			t.Errorf("%s: got %v", what, err)
		}
	}
}
