package rootfs_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/nix"
	"headwater/internal/rootfs/debtest"
)

// publishContents makes a suite that has no packages, but indices of files, by architecture.
func (a *archive) publishContents(suite string, contents map[string]string) {
	a.t.Helper()
	top := "debian"
	if strings.HasSuffix(suite, "-security") {
		top = "debian-security"
	}
	sums := ""
	for arch, text := range contents {
		name := "main/Contents-" + arch + ".gz"
		gz := debtest.Compress(a.t, "gz", []byte(text))
		a.write(top+"/dists/"+suite+"/"+name, gz)
		sums += fmt.Sprintf(" %s %d %s\n", nix.Sum(nix.SHA256, gz).Base16(), len(gz), name)
	}
	a.write(top+"/dists/"+suite+"/InRelease", []byte(a.sign(fmt.Sprintf(
		"Suite: %s\nDate: Mon, 04 May 2026 11:00:00 UTC\nArchitectures: amd64\nSHA256:\n %s 1 x\n%s", suite, nix.Sum(nix.SHA256, nil).Base16(), sums,
	))))
}

func TestSearch(t *testing.T) {
	a := newArchive(t)
	a.publishContents("trixie", map[string]string{"amd64": "usr/bin/a  x/a\n", "all": "usr/bin/b  x/b\n"})
	a.publishContents("trixie-security", nil)
	a.publishContents("forky", map[string]string{"amd64": "usr/bin/c  x/c\n"})
	search := func(until string, suites ...string) (list []string, err error) {
		err = a.resolver().Search(t.Context(), suites, func(path, packages []byte) { list = append(list, string(path)+" "+string(packages)) },
			func() bool { return len(list) > 0 && strings.HasPrefix(list[len(list)-1], until) })
		return list, err
	}
	for until, want := range map[string][]string{
		"usr/bin/a": {"usr/bin/a x/a"},
		"usr/bin/b": {"usr/bin/a x/a", "usr/bin/b x/b"},
		"usr/bin/d": {"usr/bin/a x/a", "usr/bin/b x/b", "usr/bin/c x/c"},
	} {
		got, err := search(until, "trixie", "trixie-security", "forky")
		if err != nil {
			t.Errorf("until %s: %v", until, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("until %s: %s", until, diff)
		}
	}

	// What cannot be read is told of, and the rest is read.
	got, err := search("x", "sid", "forky")
	if diff := cmp.Diff([]string{"usr/bin/c x/c"}, got); err == nil || !strings.Contains(err.Error(), "sid") || diff != "" {
		t.Errorf("one suite of two is not there: %v %s", err, diff)
	}

	// An index that is not what is signed, or is not there, gives nothing.
	a.write("debian/dists/trixie/main/Contents-amd64.gz", debtest.Compress(t, "gz", []byte("usr/bin/evil  x/evil\n")))
	if got, err := search("x", "trixie"); err == nil || !strings.Contains(err.Error(), "is not what InRelease says") || len(got) != 1 || strings.Contains(got[0], "evil") {
		t.Errorf("a changed index: %q, %v", got, err)
	}
	if got, err := search("x", "sid"); err == nil || got != nil {
		t.Errorf("a suite that is not there: %q, %v", got, err)
	}
	if _, err := search("x", "../x"); err == nil || !strings.Contains(err.Error(), "is no suite's name") {
		t.Errorf("no suite: %v", err)
	}
}
