package plan

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// base is what an image's reference says of what is in it.
type base struct {
	ref     string
	name    string // of the image, without registry and owner: "python"
	tag     string
	family  string // "python", "node", "golang", "rust", "java", "php", "ruby", "debian", "alpine", "scratch"; "" if unknown
	version string // of the family, as exactly as the tag says: "3.13.7", "22", ""
	guessed bool   // the family is read off a name that is no known image's
}

var (
	versionPattern = regexp.MustCompile(`^v?([0-9]+(\.[0-9]+)*)`)
	taggedPython   = regexp.MustCompile(`(?:^|-)python(3\.[0-9]+(?:\.[0-9]+)?)(?:-|$)`) // of images that bring a tool beside it
	anyVersion     = regexp.MustCompile(`(^|[^0-9.])([0-9]+\.[0-9]+(\.[0-9]+)?)`)
)

// families are images by their name. What they hold beyond a distribution is named by the family.
func families() map[string]string {
	return map[string]string{
		"python": "python", "node": "node", "golang": "golang", "rust": "rust", "php": "php", "ruby": "ruby", "bun": "bun", "deno": "deno",
		"openjdk": "java", "eclipse-temurin": "java", "amazoncorretto": "java", "maven": "java", "gradle": "java", "liberica-openjdk-debian": "java",
		"debian": "debian", "ubuntu": "debian", "buildpack-deps": "debian", "minideb": "debian", "alpine": "alpine", "wolfi-base": "alpine", "busybox": "alpine", "scratch": "scratch", "nginx": "nginx",
		"static": "distroless", "base": "distroless", "base-nossl": "distroless", "cc": "distroless",
		"python3": "python", "nodejs": "node", "java": "java",
	}
}

// parseBase reads a reference.
func parseBase(ref string) base {
	b := base{ref: ref}
	bare, _, _ := strings.Cut(ref, "@")
	b.name = path.Base(bare)
	b.name, b.tag, _ = strings.Cut(b.name, ":")
	name := b.name
	if strings.Contains(bare, "distroless/") || strings.Contains(bare, "chainguard/") {
		if i := strings.Index(name, "-debian"); i >= 0 {
			name = name[:i]
		}
		if m := regexp.MustCompile(`^(nodejs|java|python)([0-9]+)?$`).FindStringSubmatch(name); m != nil {
			b.family = families()[m[1]]
			if b.family == "" {
				b.family = m[1]
			}
			if b.version = m[2]; m[1] == "python" {
				b.version = "" // python3: Debian's own
			}
			return b
		}
	}
	if f := families()[name]; f != "" && !(f == "distroless" && !strings.Contains(bare, "distroless")) {
		b.family = f
		if m := versionPattern.FindStringSubmatch(b.tag); m != nil && f != "debian" && f != "alpine" {
			b.version = m[1]
		}
		return b
	}
	if m := taggedPython.FindStringSubmatch(b.tag); m != nil {
		b.family, b.version = "python", m[1]
		return b
	}
	for _, f := range []string{"python", "node", "golang", "rust", "openjdk", "php", "ruby", "alpine", "debian", "ubuntu"} {
		if strings.Contains(strings.ToLower(b.name), f) {
			b.family, b.guessed = families()[f], true
			if m := anyVersion.FindStringSubmatch(b.tag); m != nil && b.family != "debian" && b.family != "alpine" {
				b.version = m[2]
			}
			break
		}
	}
	return b
}

// releases are Debian's suites with the minor version of Python that each has, the one that is used unless a version asks for
// another first.
func releases() []struct{ suite, python string } {
	return []struct{ suite, python string }{{"trixie", "3.13"}, {"bookworm", "3.11"}, {"forky", "3.14"}, {"bullseye", "3.9"}}
}

// suitesOf are the suites of a Debian release; testing has no security suite of use.
func suitesOf(release string) []string {
	if release == "forky" {
		return []string{release}
	}
	return []string{release, release + "-security"}
}

// minor is a version's first two numbers, or what there is of them.
func minor(version string) string {
	parts := strings.SplitN(version, ".", 3)
	return strings.Join(parts[:min(len(parts), 2)], ".")
}

// release is the Debian release that a stage's root is made of: that which has the Python that its base image has; else trixie.
func (b base) release(e Evidence, notes *Notes) string {
	usual := releases()[0]
	if b.family != "python" || b.version == "" || !strings.Contains(b.version, ".") {
		return usual.suite
	}
	for _, r := range releases() {
		if r.python == minor(b.version) {
			return r.suite
		}
	}
	notes.Ask(Question{
		About: "roots", Looked: []Evidence{e},
		Ask: fmt.Sprintf("no Debian suite has the Python %s of the image %s; Debian's %s of %s is planned, does the service work with it?", minor(b.version), b.ref, usual.python, usual.suite),
	})
	return usual.suite
}

// runs are the packages that a stage on the image has at run time because the image has them.
func (b base) runs(e Evidence, notes *Notes) []string {
	switch b.family {
	case "python":
		return []string{"ca-certificates", "python3", "tzdata"}
	case "node", "golang", "rust":
		return []string{"ca-certificates"}
	case "java":
		return append([]string{"ca-certificates"}, "openjdk-"+javaVersion(b, e, notes)+"-jre-headless")
	case "php":
		return []string{"ca-certificates", "php-cli"}
	case "ruby":
		return []string{"ca-certificates", "ruby"}
	case "nginx":
		return []string{"ca-certificates", "nginx"}
	case "distroless":
		if strings.HasPrefix(b.name, "base") || strings.HasPrefix(b.name, "cc") || strings.HasPrefix(b.name, "static") {
			return []string{"ca-certificates", "tzdata"}
		}
	case "alpine", "debian", "scratch":
	default:
		notes.Ask(Question{
			About: "roots.runtime", Looked: []Evidence{e},
			Ask: fmt.Sprintf("the image %s is not built from this tree and not known; which packages has it that the service needs?", b.ref),
		})
	}
	return nil
}

// javaVersion is the release of OpenJDK that Debian has and that is wanted.
func javaVersion(b base, e Evidence, notes *Notes) string {
	major, _, _ := strings.Cut(b.version, ".")
	if !slices.Contains([]string{"21", "25"}, major) {
		notes.Ask(Question{About: "roots", Looked: []Evidence{e}, Ask: fmt.Sprintf("the image %s has Java %q; Debian's 21 is planned, does the service work with it?", b.ref, b.version)})
		return "21"
	}
	return major
}
