package plan

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
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

// debianRelease is a suite of Debian's with the minor version of Python 3 that it has.
type debianRelease struct {
	suite  string
	python int
}

// releases are the suites that roots are made of; the first is used where nothing asks for another.
func releases() []debianRelease {
	return []debianRelease{{"trixie", 13}, {"bookworm", 11}, {"forky", 14}}
}

// suitesOf are the suites of a Debian release; testing has no security suite of use.
func suitesOf(release string) []string {
	if release == "forky" {
		return []string{release}
	}
	return []string{release, release + "-security"}
}

// release is the Debian release that a root is made of: that which has the Python that is among the packages, or else that of the stage's
// image, or the next newer one.
func (b base) release(installed []Installed, e Evidence, notes *Notes) string {
	usual := releases()[0]
	named, isPython := pythonMinor(b.version)
	isPython = isPython && b.family == "python"
	chosen := usual
	byImage := slices.SortedFunc(slices.Values(releases()), func(a, b debianRelease) int { return a.python - b.python })
	if i := slices.IndexFunc(byImage, func(r debianRelease) bool { return r.python >= named }); isPython && i >= 0 {
		chosen = byImage[i]
	}
	for _, p := range installed {
		for _, r := range releases() {
			if p.Name == fmt.Sprintf("python3.%d", r.python) {
				chosen = r
			}
		}
	}
	if isPython && !slices.ContainsFunc(releases(), func(r debianRelease) bool { return r.python == named }) {
		notes.Ask(Question{About: "roots", Looked: []Evidence{e}, Ask: fmt.Sprintf(
			"no Debian suite has the Python 3.%d of the image %s; Debian's 3.%d of %s is planned, does the service work with it?", named, b.ref, chosen.python, chosen.suite)})
	}
	return chosen.suite
}

// pythonMinor is the N of "3.N" or "3.N.M".
func pythonMinor(version string) (minor int, ok bool) {
	parts := strings.Split(version, ".")
	if len(parts) < 2 || parts[0] != "3" {
		return 0, false
	}
	minor, err := strconv.Atoi(parts[1])
	return minor, err == nil
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
