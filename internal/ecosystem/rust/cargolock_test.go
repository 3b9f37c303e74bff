package rust_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/ecosystem/rust"
)

const (
	sum    = `"3bd1574e617a9a6c1f8f8181bd7e841e1f20e4277607ef28945765188d6284d4"`
	commit = "0123456789abcdef0123456789abcdef01234567"
	index  = "registry+https://index.example/main"
)

// entry is a package of a Cargo.lock.
func entry(name, version, rest string) string {
	return "[[package]]\nname = \"" + name + "\"\nversion = \"" + version + "\"\n" + rest + "\n"
}

func crate(name, version string) string {
	return entry(name, version, `source = "`+index+"\"\nchecksum = "+sum)
}

func TestParseLock(t *testing.T) {
	for _, version := range []string{"3", "4"} {
		list, err := rust.ParseLock([]byte("version = " + version + "\n" + entry("app", "1.0.0", `dependencies = ["left", "fork"]`) + crate("left", "1.2.3-rc.1+x") +
			entry("fork", "0.1.0", `source = "git+https://forge.example/a/fork.git?branch=a%2Fb#`+commit+`"`)))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range list {
			switch {
			case p.Git != nil:
				got = append(got, strings.Join([]string{p.Name, p.Git.URL, p.Git.Ref, p.Git.Value, p.Git.Commit}, " "))
			case p.Checksum.IsZero():
				got = append(got, p.Name+" own")
			default:
				got = append(got, p.Name+" "+p.Version+" "+p.Checksum.Base16()[:4])
			}
		}
		want := []string{"app own", "left 1.2.3-rc.1+x 3bd1", "fork https://forge.example/a/fork.git branch a/b " + commit}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
}

// What cargo would not write, or this program does not know, is an error that says where.
func TestParseLockRefuses(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ text, want string }{
		"no version":         {crate("a", "1.0.0"), "version is 0"},
		"a later version":    {"version = 5\n", "version is 5"},
		"an unknown key":     {"version = 4\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nflavour = \"x\"\n", "unknown key package.flavour"},
		"no checksum":        {"version = 4\n" + entry("a", "1.0.0", `source = "`+index+`"`), "has no checksum"},
		"a short checksum":   {"version = 4\n" + entry("a", "1.0.0", `source = "`+index+"\"\nchecksum = \"00\""), "no SHA-256"},
		"a name with a path": {"version = 4\n" + crate("../a", "1.0.0"), "not a package's name"},
		"a version's path":   {"version = 4\n" + crate("a", "1.0.0/.."), `version "1.0.0/.." is not one`},
		"one package twice":  {"version = 4\n" + crate("a", "1.0.0") + crate("a", "1.0.0"), "is there twice"},
		"two registries":     {"version = 4\n" + crate("a", "1.0.0") + strings.Replace(crate("b", "1.0.0"), "main", "other", 1), "another registry"},
		"a floating commit":  {"version = 4\n" + entry("a", "1.0.0", `source = "git+https://forge.example/a"`), "names no commit"},
		"another source":     {"version = 4\n" + entry("a", "1.0.0", `source = "ftp+x"`), "neither a registry nor git"},
		"no TOML":            {"version = ", "parse Cargo.lock"},
	} {
		_, err := rust.ParseLock([]byte(tt.text))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, tt.want)
		}
	}
}

// Whatever a lock says, the names and versions that come out of it are such that no path can be made of them that leads elsewhere.
func FuzzParseLock(f *testing.F) {
	f.Add([]byte("version = 4\n" + entry("app", "1.0.0", "") + crate("left", "1.0.0")))
	f.Add([]byte("version = 3\n" + entry("fork", "0.1.0", `source = "git+https://forge.example/a?rev=x#`+commit+`"`)))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := rust.ParseLock(data)
		if err != nil {
			return
		}
		for _, p := range list {
			if strings.ContainsAny(p.Name+p.Version, "/\\\x00\n\t ") || p.Name == "" || strings.HasPrefix(p.Name, ".") {
				t.Errorf("package %q %q", p.Name, p.Version)
			}
			if p.Source != "" && p.Checksum.IsZero() == (p.Git == nil) {
				t.Errorf("package %q has no hash, or two", p.Name)
			}
		}
	})
}
