package rust

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"headwater/internal/ecosystem"
	"headwater/internal/recipe"
)

// wasm is the only target besides the root's own.
const wasm = "wasm32-unknown-unknown"

// options are a component's options; the package's doc describes them.
type options struct {
	Packages          []string          `json:"packages"`
	Bins              []string          `json:"bins"`
	Lib               bool              `json:"lib"`
	Features          []string          `json:"features"`
	AllFeatures       bool              `json:"all-features"`
	NoDefaultFeatures bool              `json:"no-default-features"`
	Profile           string            `json:"profile"`
	Target            string            `json:"target"`
	Bindgen           string            `json:"bindgen"`
	BindgenName       string            `json:"bindgen-name"`
	Git               map[string]string `json:"git"`
}

var (
	featurePattern = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_+./?-]*$`)
	profilePattern = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_-]*$`)
)

// reserved are variables that this package sets, with what a recipe uses instead.
func reserved() map[string]string {
	return map[string]string{
		"CARGO_HOME": "", "CARGO_NET_OFFLINE": "", "CARGO_INCREMENTAL": "", "CARGO_TARGET_DIR": "the recipe's output",
		"CARGO_BUILD_TARGET": "the option target", "CARGO_BUILD_TARGET_DIR": "the recipe's output", "CARGO_BUILD_JOBS": "", "RUSTUP_TOOLCHAIN": "the root's packages",
		"CARGO_BUILD_BUILD_DIR": "",
	}
}

func parseOptions(c recipe.Component) (options, error) {
	o := options{Profile: "release"}
	if err := ecosystem.Options(c.Options, &o); err != nil {
		return o, err
	}
	for _, list := range []struct {
		name    string
		values  []string
		pattern *regexp.Regexp
	}{{"packages", o.Packages, namePattern}, {"bins", o.Bins, namePattern}, {"features", o.Features, featurePattern}, {"profile", []string{o.Profile}, profilePattern}} {
		for _, v := range list.values {
			if !list.pattern.MatchString(v) {
				return o, fmt.Errorf("read options: %s: %q is not a name", list.name, v)
			}
		}
	}
	switch {
	case o.Target != "" && o.Target != wasm:
		return o, fmt.Errorf("read options: target %q is not supported, %s is", o.Target, wasm)
	case o.Bindgen != "" && o.Target != wasm:
		return o, fmt.Errorf("read options: bindgen needs the target %s", wasm)
	case o.Bindgen != "" && !slices.Contains([]string{"web", "bundler", "nodejs", "no-modules", "deno"}, o.Bindgen):
		return o, fmt.Errorf("read options: bindgen is %q, want web, bundler, nodejs, no-modules or deno", o.Bindgen)
	case o.BindgenName != "" && (o.Bindgen == "" || !namePattern.MatchString(o.BindgenName)):
		return o, errors.New("read options: bindgen-name is a file's name, and needs bindgen")
	case o.Lib && len(o.Bins) > 0:
		return o, errors.New("read options: lib and bins exclude one another")
	}
	if err := checkGit(o.Git); err != nil {
		return o, err
	}
	for _, name := range slices.Sorted(maps.Keys(c.Env)) {
		instead, taken := reserved()[name]
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

func checkGit(git map[string]string) error {
	for _, repo := range slices.Sorted(maps.Keys(git)) {
		u, err := url.Parse(git[repo])
		switch {
		case err != nil || u.Host == "" && u.Scheme != "file" || !slices.Contains([]string{"https", "http", "file"}, u.Scheme) || u.User != nil:
			return fmt.Errorf("read options: git: the archive of %s is to be a web address", repo)
		case !strings.Contains(git[repo], "{commit}"):
			return fmt.Errorf("read options: git: the archive's address of %s has no {commit}", repo)
		}
	}
	return nil
}

// selection are cargo's arguments that say what is built.
func (o options) selection() []string {
	var args []string
	for _, p := range o.Packages {
		args = append(args, "-p", p)
	}
	for _, b := range o.Bins {
		args = append(args, "--bin", b)
	}
	if o.Lib {
		args = append(args, "--lib")
	}
	if len(o.Features) > 0 {
		args = append(args, "--features", strings.Join(o.Features, ","))
	}
	if o.AllFeatures {
		args = append(args, "--all-features")
	}
	if o.NoDefaultFeatures {
		args = append(args, "--no-default-features")
	}
	return append(args, o.place()...)
}

// place are cargo's arguments that say where what is built stands.
func (o options) place() []string {
	args := []string{"--profile", o.Profile}
	if o.Target != "" {
		args = append(args, "--target", o.Target)
	}
	return args
}

// folder is where cargo puts what it builds, below the target folder (The Cargo Book, "Build Cache").
func (o options) folder() string {
	dir := o.Profile
	if dir == "dev" || dir == "test" {
		dir = "debug"
	} else if dir == "bench" {
		dir = "release"
	}
	if o.Target != "" {
		return o.Target + "/" + dir
	}
	return dir
}
