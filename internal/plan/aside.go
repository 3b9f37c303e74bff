package plan

import (
	"path"
	"slices"
	"strings"
)

// forTests is what Aside says of what tests are made of.
const forTests = "it is for tests"

// Aside tells why what stands at a path of the tree is not the service itself, by convention; "" if nothing says so.
func Aside(name string) string {
	dirs := strings.Split(strings.ToLower(path.Dir(name)), "/")
	for _, d := range dirs {
		switch strings.TrimPrefix(d, ".") {
		case "devcontainer", "dev", "development":
			return "it is for development"
		case "test", "tests", "testing", "testdata", "e2e", "integration-tests", "integrationtest", "integrationtests", "integration_test", "integration_tests", "playwright", "cypress", "benchmark", "benchmarks", "bench", "integration-test":
			return forTests
		case "doc", "docs", "website", "documentation":
			return "it is documentation"
		case "example", "examples", "demo", "demos", "contrib", "sample", "samples":
			return "it is an example"
		case "node_modules", "vendor", "third_party", "third-party":
			return "it is others' code"
		}
		if words := strings.FieldsFunc(d, func(r rune) bool { return strings.ContainsRune("-_.", r) }); len(words) > 1 && (slices.Contains(words, "tests") || slices.Contains(words, "e2e")) {
			return forTests
		}
	}
	base := strings.ToLower(path.Base(name))
	for _, w := range strings.FieldsFunc(base, func(r rune) bool { return r == '.' || r == '-' || r == '_' }) {
		switch {
		case w == "dev" || w == "devel" || w == "development" || w == "local":
			return "it is for development"
		case w == "test" || w == "tests" || w == "testing" || w == "e2e" || w == "coverage" || w == "integration":
			return forTests
		case w == "docs" || w == "website":
			return "it is documentation"
		}
	}
	return ""
}

// variant is the word of a name that says that it is another than the main one; "" if there is none.
func variant(name string) string {
	words := strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return strings.ContainsRune("./-_:@ ", r) })
	known := []string{
		"alpine", "distroless", "slim", "rootless", "nonroot", "debug", "nightly", "canary", "edge", "dev", "test", "pr", "plus", "full", "lite", "minimal", "arm",
		"arm64", "armv", "armhf", "riscv64", "ci", "beta", "windows", "ubi", "fips", "cuda", "gpu", "scratch", "debian", "ubuntu", "base", "builder", "artifact", "upload",
	}
	for _, w := range words {
		w = strings.TrimRight(w, "0123456789")
		if slices.Contains(known, w) {
			return w
		}
	}
	return ""
}

// satellite is the word of a file's or a folder's name that says that it is run elsewhere than the service that it speaks to; "" if there is none. Stages
// are called so for other reasons.
func satellite(name string) string {
	for _, w := range strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return strings.ContainsRune("./-_:@ ", r) }) {
		if w == "agent" || w == "runner" || w == "cli" {
			return w
		}
	}
	return ""
}
