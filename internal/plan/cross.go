package plan

import (
	"maps"
	"path"
	"slices"
	"strings"
)

// crossImage is an image of helpers for compiling for another platform, which are called like what they stand for with "xx-" before: here that is
// what they do, for the one platform that there is.
const crossImage = "xx"

// withoutCross is the command that such a helper stands for; done tells that it was all that there was to do.
func (s *Stage) withoutCross(c Command) (_ Command, done bool) {
	name, ok := strings.CutPrefix(path.Base(c.Args[0]), crossImage+"-")
	if !ok {
		return c, false
	}
	libc := "gnu"
	if parseBase(s.BaseImage()).family == "alpine" {
		libc = "musl"
	}
	switch name {
	case "apt-get", "apt", "apk":
		// Helpers' own packages: a compiler for the other platform.
		c.Args = slices.DeleteFunc(append([]string{name}, c.Args[1:]...), func(a string) bool { return strings.HasPrefix(a, crossImage+"-") })
	case "go":
		c.Args = append([]string{name}, c.Args[1:]...)
	case "cargo":
		triple := "x86_64-unknown-linux-" + libc
		if slices.Contains(c.Args, "--print-target-triple") {
			c.Print(triple + "\n")
			return c, true
		}
		c.Args, c.Env = append([]string{name}, c.Args[1:]...), maps.Clone(c.Env)
		c.Env["CARGO_BUILD_TARGET"] = triple // it names the target always
	case "info":
		s.crossInfo(c, libc)
		return c, true
	case "verify":
		return c, true
	}
	return c, false
}

// crossInfo answers what the platform is.
func (s *Stage) crossInfo(c Command, libc string) {
	vendor := map[string]string{"musl": "alpine-"}[libc]
	triple := "x86_64-" + vendor + "linux-" + libc
	asked := "triple"
	if len(c.Args) > 1 {
		asked = c.Args[1]
	}
	if asked == "is-cross" {
		c.Fail() // what is made is for the machine that makes it
		return
	}
	answers := map[string]string{
		"triple": triple, "sysroot": "/", "os": "linux", "arch": "amd64", "march": "x86_64", "libc": libc, "vendor": strings.TrimSuffix(vendor, "-"),
		"pkg-arch": map[string]string{"gnu": "amd64", "musl": "x86_64"}[libc], "debian-arch": "amd64", "alpine-arch": "x86_64", "rhel-arch": "x86_64",
	}
	if text, ok := answers[asked]; ok {
		c.Print(text + "\n")
	}
}
