package python

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strconv"
	"strings"

	"headwater/internal/ecosystem"
	"headwater/internal/lock"
	"headwater/internal/recipe"
)

// options are a component's options; the package's doc describes them.
type options struct {
	Venv             string              `json:"venv"`
	Python           string              `json:"python"`
	Folder           string              `json:"folder"`
	Lock             string              `json:"lock"`
	Requirements     []string            `json:"requirements"`
	Constraints      []string            `json:"constraints"`
	Install          []string            `json:"install"`
	Exclude          []string            `json:"exclude"`
	Groups           []string            `json:"groups"`
	Extras           []string            `json:"extras"`
	Packages         []string            `json:"packages"`
	Project          *bool               `json:"project"`
	Editable         *bool               `json:"editable"`
	Compile          []string            `json:"compile"`
	Bytecode         *bool               `json:"bytecode"`
	BuildRequires    map[string][]string `json:"build-requires"`
	BuildConstraints []string            `json:"build-constraints"`
}

// A venv's path stands in the first line of its scripts, which the kernel cuts at 127 bytes and at a space.
var venvPattern = regexp.MustCompile(`^(?:/[A-Za-z0-9._+-]+)+$`)

const maxVenv = 100

func parseOptions(c recipe.Component) (options, error) {
	var o options
	if err := ecosystem.Options(c.Options, &o); err != nil {
		return o, err
	}
	switch {
	case o.Venv == "":
		return o, errors.New("read options: venv is missing: the absolute path that the environment has at run time")
	case !venvPattern.MatchString(o.Venv) || path.Clean(o.Venv) != o.Venv || len(o.Venv) > maxVenv:
		return o, fmt.Errorf("read options: venv %q is not a clean absolute path of letters, digits and ._+- of at most %d bytes", o.Venv, maxVenv)
	case len(c.Build) > 0 || len(c.Output) > 0:
		return o, errors.New("a Python environment has no build commands and no output of its own: use it in another component")
	}
	if len(o.Groups) == 0 {
		o.Groups = []string{MainGroup}
	}
	for _, list := range [][]string{o.Groups, o.Extras, o.Packages, o.Exclude, o.Compile} {
		for i, name := range list {
			if name == compileAll && len(list) == len(o.Compile) && &list[0] == &o.Compile[0] {
				continue
			}
			if !namePattern.MatchString(name) {
				return o, fmt.Errorf("read options: %q is not a name", name)
			}
			list[i] = NormalizeName(name)
		}
	}
	if o.Folder != "" && (!venvPattern.MatchString(o.Folder) || path.Clean(o.Folder) != o.Folder) {
		return o, fmt.Errorf("read options: folder %q is not a clean absolute path", o.Folder)
	}
	return o, o.checkBuild()
}

// compileAll stands for every package in the option compile.
const compileAll = ":all:"

// resolves tells whether versions are chosen here, since no lock of the upstream's names them.
func (o options) resolves() bool { return len(o.Requirements) > 0 || len(o.Install) > 0 }

// place is where a folder of the source stands at run time, and while its wheel is built; "" where the recipe does not say.
func (o options) place(c recipe.Component, dir string) (string, error) {
	if o.Folder == "" {
		if c.At == "" {
			return "", nil
		}
		return path.Join(c.At, dir), nil
	}
	rel := relativePath(path.Clean(c.Dir), dir)
	if rel == ".." || strings.HasPrefix(rel, "../") {
		return "", fmt.Errorf("%s is not in the component's folder, so the option folder does not say where it stands", dir)
	}
	return path.Join(o.Folder, rel), nil
}

// checkBuild reads build requirements and constraints once, so that a mistake is told before anything is fetched.
func (o *options) checkBuild() error {
	if _, err := ParseRequirements(o.BuildConstraints); err != nil {
		return fmt.Errorf("read options: build-constraints: %w", err)
	}
	normal := make(map[string][]string, len(o.BuildRequires))
	for _, name := range sortedKeys(o.BuildRequires) {
		if _, err := ParseRequirements(o.BuildRequires[name]); err != nil {
			return fmt.Errorf("read options: build-requires: %s: %w", name, err)
		}
		normal[NormalizeName(name)] = o.BuildRequires[name]
	}
	o.BuildRequires = normal
	return nil
}

func (o options) project() bool  { return o.Project == nil || *o.Project }
func (o options) editable() bool { return o.Editable == nil || *o.Editable }
func (o options) bytecode() bool { return o.Bytecode == nil || *o.Bytecode }

// lockFile is the lock file's path in the source.
func (o options) lockFile(fsys fs.FS, dir string) (string, error) {
	if o.Lock != "" {
		p := path.Join(dir, o.Lock)
		if base := path.Base(p); !fs.ValidPath(p) || base != "uv.lock" && base != "poetry.lock" {
			return "", fmt.Errorf("read options: lock %q is neither a uv.lock nor a poetry.lock in the source", o.Lock)
		}
		return p, nil
	}
	var found []string
	for _, name := range []string{"poetry.lock", "uv.lock"} {
		_, err := fs.Stat(fsys, path.Join(dir, name))
		switch {
		case err == nil:
			found = append(found, path.Join(dir, name))
		case !errors.Is(err, fs.ErrNotExist):
			return "", err
		}
	}
	switch len(found) {
	case 0:
		return "", fmt.Errorf("no poetry.lock and no uv.lock is in %s", path.Join(".", dir))
	case 1:
		return found[0], nil
	}
	return "", fmt.Errorf("%s has both a poetry.lock and a uv.lock: name one in the option lock", path.Join(".", dir))
}

var interpreterPattern = regexp.MustCompile(`^python3\.([0-9]{1,2})$`)

// environment reads from a root's packages which interpreter and C library it has.
func (o options) environment(root lock.Root) (Environment, error) {
	env := Environment{Target: Target{Major: 3, Arch: "x86_64"}}
	found := map[string]string{}
	for _, p := range root.Packages {
		switch {
		case p.Name == "libc6":
			minor, ok := strings.CutPrefix(upstreamVersion(p.Version), "2.")
			n, err := strconv.Atoi(minor)
			if !ok || err != nil {
				return env, fmt.Errorf("the root's C library has version %s, which is not understood", p.Version)
			}
			env.GlibcMinor = n
		case interpreterPattern.MatchString(p.Name):
			found[p.Name] = upstreamVersion(p.Version)
		}
	}
	name := o.Python
	if name == "" {
		if len(found) != 1 {
			return env, fmt.Errorf("the root has %d interpreters (%s): name one in the option python", len(found), strings.Join(sortedKeys(found), ", "))
		}
		name = sortedKeys(found)[0]
	}
	full, ok := found[name]
	if !ok {
		return env, fmt.Errorf("the root has no package %q (there are: %s)", name, strings.Join(sortedKeys(found), ", "))
	}
	if env.GlibcMinor == 0 {
		return env, errors.New("the root has no package libc6")
	}
	var err error
	if env.Minor, err = strconv.Atoi(interpreterPattern.FindStringSubmatch(name)[1]); err != nil {
		return env, err
	}
	if env.Full = full; !strings.HasPrefix(full+".", fmt.Sprintf("3.%d.", env.Minor)) {
		return env, fmt.Errorf("the root's %s has version %s", name, full)
	}
	_, err = ParseVersion(env.Full)
	return env, err
}

// upstreamVersion is a Debian version without its epoch, its revision and what follows a "+" or "~".
func upstreamVersion(v string) string {
	if _, rest, ok := strings.Cut(v, ":"); ok {
		v = rest
	}
	if i := strings.LastIndex(v, "-"); i >= 0 {
		v = v[:i]
	}
	if i := strings.IndexAny(v, "+~"); i >= 0 {
		v = v[:i]
	}
	return v
}
