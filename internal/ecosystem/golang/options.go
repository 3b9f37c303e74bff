package golang

import (
	"errors"
	"fmt"
	"go/version"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/mod/module"

	"headwater/internal/ecosystem"
	"headwater/internal/recipe"
)

// options are a component's options; the package's doc describes them.
type options struct {
	Packages []string `json:"packages"`
	Tags     []string `json:"tags"`
	LDFlags  string   `json:"ldflags"`
	Cgo      bool     `json:"cgo"`
	Imports  []string `json:"imports"`
	Vendor   *bool    `json:"vendor"`
}

// A build tag is letters, digits, underscores and dots (go/build/constraint).
var tagPattern = regexp.MustCompile(`^[\pL\p{Nd}_.]+$`)

// reserved are variables that this package sets, with what a recipe uses instead.
var reserved = map[string]string{
	"CGO_ENABLED": "the option cgo", "GOFLAGS": "the options tags and ldflags", "GOTOOLCHAIN": "the recipe's toolchains",
	"GOROOT": "the recipe's toolchains", "GOCACHE": "", "GOCACHEPROG": "", "GOENV": "", "GOMODCACHE": "", "GOPATH": "", "GOPROXY": "",
	"GOSUMDB": "", "GOBIN": "the recipe's output",
}

func parseOptions(c recipe.Component) (options, error) {
	var o options
	if err := ecosystem.Options(c.Options, &o); err != nil {
		return o, err
	}
	for _, p := range o.Packages {
		if err := checkPackage(c.Dir, p); err != nil {
			return o, fmt.Errorf("read options: packages: %w", err)
		}
	}
	for _, t := range o.Tags {
		if !tagPattern.MatchString(t) {
			return o, fmt.Errorf("read options: tags: %q is not a build tag", t)
		}
	}
	for _, p := range o.Imports {
		if err := module.CheckImportPath(p); err != nil {
			return o, fmt.Errorf("read options: imports: %w", err)
		}
	}
	if strings.ContainsAny(o.LDFlags, "\n\x00") {
		return o, errors.New("read options: ldflags is more than one line")
	}
	for _, name := range slices.Sorted(maps.Keys(c.Env)) {
		instead, taken := reserved[name]
		switch {
		case !taken:
		case instead != "":
			return o, fmt.Errorf("read env: %s is not the recipe's to set: use %s", name, instead)
		default:
			return o, fmt.Errorf("read env: %s is not the recipe's to set", name)
		}
	}
	return o, nil
}

// checkPackage checks one of the option packages: a pattern below dir, or an import path.
func checkPackage(dir, p string) error {
	rest, below := strings.CutPrefix(p, "./")
	if p == "." || below && path.Clean(rest) == rest && path.Join(dir, rest) != ".." && !strings.HasPrefix(path.Join(dir, rest), "../") && !path.IsAbs(rest) {
		if strings.Contains(strings.TrimSuffix(rest, "..."), "...") {
			return fmt.Errorf("%q has ... elsewhere than at its end", p)
		}
		return nil
	}
	if err := module.CheckImportPath(p); err != nil {
		return fmt.Errorf("%q is neither a pattern like ./cmd/server, below the component's folder, nor an import path", p)
	}
	return nil
}

// toolEnv is the part of a recipe's environment that decides what compiling gives.
func toolEnv(env map[string]string) map[string]string {
	out := map[string]string{}
	for k, v := range env {
		if strings.HasPrefix(k, "GO") || strings.HasPrefix(k, "CGO_") || strings.HasPrefix(k, "PKG_CONFIG") ||
			slices.Contains([]string{"CC", "CXX", "FC", "AR"}, k) {
			out[k] = v
		}
	}
	return out
}

// stdTags are the build tags that the standard library's own files ask for. Others do not change what it compiles to, so
// that components with different tags share it.
func stdTags(tags []string) []string {
	return slices.DeleteFunc(slices.Clone(tags), func(t string) bool {
		return !slices.Contains([]string{"netgo", "netcgo", "osusergo", "timetzdata", "purego", "math_big_pure_go", "boringcrypto"}, t)
	})
}

// buildFlags are GOFLAGS; mod is the value of -mod, "" for none.
func buildFlags(mod string, tags []string) string {
	flags := []string{"-trimpath", "-buildvcs=false"}
	if mod != "" {
		flags = append(flags, "-mod="+mod)
	}
	if len(tags) > 0 {
		flags = append(flags, "-tags="+strings.Join(tags, ","))
	}
	return strings.Join(flags, " ")
}

// checkVersion checks an exact version of Go, "1.26.8".
func checkVersion(v string) error {
	if !version.IsValid("go"+v) || strings.Count(v, ".") != 2 && !strings.Contains(v, "rc") {
		return fmt.Errorf("%q is not an exact version of Go like 1.26.8", v)
	}
	// Go's proxy has toolchains from here on (Go Toolchains, "Go versions").
	if version.Compare("go"+v, "go1.21.0") < 0 {
		return fmt.Errorf("Go %s is older than 1.21.0, the first that the proxy has", v)
	}
	return nil
}
