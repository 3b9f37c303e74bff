package missing_test

import (
	"strings"
	"testing"

	"headwater/internal/missing"
)

func TestAdvice(t *testing.T) {
	root := missing.Root{Name: "build", Suites: []string{"trixie", "trixie-security"}, Has: []string{"gcc", "libc6-dev"}}
	const to = " to roots.build.packages in headwater.yaml "
	for _, tt := range []struct{ log, want string }{
		{"ld: cannot find -lz", "add zlib1g-dev" + to + "(libz.so is in it), then run headwater lock"},
		{"ld: cannot find -lz\nPackage 'zlib' not found", "add zlib1g-dev" + to + "(libz.so is in it, zlib.pc is in it), then run headwater lock"},
		{
			"fatal error: curl/curl.h: No such file or directory\nld: cannot find -lz",
			"add libcurl4-gnutls-dev or libcurl4-openssl-dev, zlib1g-dev" + to + "(curl/curl.h is in libcurl4-gnutls-dev or libcurl4-openssl-dev, libz.so is in zlib1g-dev), then run headwater lock",
		},
		{"fatal error: stdio.h: No such file or directory", "libc6-dev, which has stdio.h, is in roots.build already: see where the build looks for it"},
		{"fatal error: own.h: No such file or directory", "own.h was not found, and the packages of trixie, trixie-security do not have it where a build would look"},
	} {
		f := missing.NewFinder(missing.Read(strings.Split(tt.log, "\n")))
		for line := range strings.Lines(contents) {
			if w := strings.Fields(line); len(w) == 2 {
				f.Add([]byte(w[0]), []byte(w[1]))
			}
		}
		if got := f.Advice(root, true); got != tt.want {
			t.Errorf("%s\n  got  %s\n  want %s", tt.log, got, tt.want)
		}
	}
	items := missing.Read([]string{"sh: a: not found"})
	if got, want := missing.NewFinder(items).Advice(root, false), "a was not found in roots.build: add the package that has it"+strings.TrimSuffix(to, " ")+", then run headwater lock"; got != want {
		t.Errorf("without a list of files: %s, want %s", got, want)
	}
	if got := missing.NewFinder(items).Advice(missing.Root{Name: "nix"}, false); !strings.Contains(got, "add the store path of what has it to roots.nix.paths in headwater.yaml") {
		t.Errorf("a root of store paths: %s", got)
	}
}
