package ecosystem

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"headwater/internal/dag"
	"headwater/internal/recipe"
)

// Build is what an ecosystem adds to the parts that all components' derivations share. All fields may be zero.
type Build struct {
	Mounts   []dag.Mount       // dependencies and tools, laid over the source and the used outputs
	Inputs   []*dag.Node       // further inputs that the other fields name by store path
	Env      map[string]string // the recipe's own environment wins over it
	Files    map[string]string // see dag.InRoot
	OutputAt map[string]string // see dag.InRoot
	Prepare  string            // bash, run in the component's folder before the commands
	Commands []string          // bash, run in the component's folder where the recipe has no "build"
	Output   map[string]string // what goes into the output where the recipe has no "output"; see recipe.Component
	Finish   string            // bash, run at the end, in the component's folder
}

// SourceTop is the absolute path of the source's top during the build.
func (r DeriveRequest) SourceTop() string {
	if r.Component.At != "" {
		return r.Component.At
	}
	return recipe.SourceDir
}

// Dir is the absolute path of the component's folder during the build.
func (r DeriveRequest) Dir() string { return path.Join(r.SourceTop(), r.Component.Dir) }

// Build makes the component's derivation: a copy of the source, what it uses and downloads laid into it, the recipe's commands
// (or b's), and the recipe's outputs (or b's) copied to $out.
func (r DeriveRequest) Build(b Build) (*dag.Node, error) {
	var mounts []dag.Mount
	if len(r.Component.Src) > 0 || len(r.Component.Download) == 0 && r.Component.Ecosystem != "plain" { // else it is made of what it downloads, or of its commands alone
		src, err := r.Source.Node()
		if err != nil {
			return nil, err
		}
		mounts = []dag.Mount{{From: src, At: r.SourceTop(), Copy: true}}
	}
	own := len(mounts)
	for _, u := range r.Uses {
		at := u.At
		if !path.IsAbs(at) {
			at = path.Join(r.SourceTop(), at)
		}
		mount := dag.Mount{From: u.Node, Path: u.Path, At: at, Writable: u.Writable}
		shared, err := r.sourceHas(at)
		if err != nil {
			return nil, err
		}
		if shared && own > 0 {
			mount.Into = r.SourceTop()
		}
		mounts = append(mounts, mount)
	}
	for _, a := range r.Lock.Downloads {
		n, err := r.Maker.Fetch(a.Artifact())
		if err != nil {
			return nil, fmt.Errorf("derive component %s: %w", r.Name, err)
		}
		mounts = append(mounts, dag.Mount{From: n, At: path.Join(r.Dir(), strings.TrimPrefix(a.Name, r.Name+"/")), Copy: true})
	}
	for i, outer := range mounts[own:] {
		// A store path has no place in it for another: what is to have one is a copy.
		if slices.ContainsFunc(mounts[own:], func(m dag.Mount) bool { return strings.HasPrefix(m.At, outer.At+"/") }) && !outer.Writable && outer.Into == "" {
			mounts[own+i].Copy = true
		}
	}
	env := maps.Clone(b.Env)
	if env == nil {
		env = map[string]string{}
	}
	maps.Copy(env, r.Component.Env)
	commands, output := r.Component.Build, r.Component.Output
	if len(commands) == 0 {
		commands = b.Commands
	}
	if len(output) == 0 {
		output = b.Output
	}
	enter := ""
	if len(mounts) == 0 {
		enter = "mkdir -p " + dag.Quote(r.Dir()) + "\n"
	}
	n, err := r.Maker.InRoot(dag.InRoot{
		Kind: dag.Build, Name: r.Recipe.Name + "-" + r.Name + "-" + r.Recipe.Release, Title: r.Name, Component: r.Name,
		Root: r.Root, Mounts: append(mounts, b.Mounts...), Inputs: b.Inputs, Env: env, Files: b.Files, OutputAt: b.OutputAt,
		Script: exports(r.Component.Env) + enter + script(r.Dir(), b, commands, output),
	})
	if err != nil {
		return nil, fmt.Errorf("derive component %s: %w", r.Name, err)
	}
	return n, nil
}

// sourceHas tells whether the source has a folder with something in it at an absolute path of the build: as where an image's file copies
// into a folder that it has, both are to be there then.
func (r DeriveRequest) sourceHas(at string) (bool, error) {
	if at == r.SourceTop() {
		return true, nil
	}
	rel, inside := strings.CutPrefix(at, r.SourceTop()+"/")
	if !inside {
		return false, nil
	}
	info, err := fs.Lstat(r.Source.FS(), rel)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.IsDir() {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	entries, err := fs.ReadDir(r.Source.FS(), rel)
	return len(entries) > 0, err
}

// exports sets those of the recipe's variables that the way into the root has values of its own for.
func exports(env map[string]string) string {
	var s strings.Builder
	for _, name := range []string{"HOME", "LANG", "PATH", "TERM", "TMPDIR", "TZ"} {
		if v, ok := env[name]; ok {
			s.WriteString("export " + name + "=" + dag.Quote(v) + "\n")
		}
	}
	return s.String()
}

func script(dir string, b Build, commands []string, output map[string]string) string {
	var s strings.Builder
	line := func(text string) {
		if text != "" {
			s.WriteString(strings.TrimSuffix(text, "\n") + "\n")
		}
	}
	line("cd " + dag.Quote(dir))
	line(b.Prepare)
	for _, c := range commands {
		// A subshell keeps one command's cd and variables from the next.
		line("(\n" + strings.TrimSuffix(c, "\n") + "\n)")
	}
	line("cd " + dag.Quote(dir))
	for _, to := range slices.Sorted(maps.Keys(output)) {
		from := output[to]
		if to == "." {
			line("if [ -d " + dag.Quote(from) + " ]; then cp -a " + dag.Quote(from) + `/. "$out"; else cp -a ` + dag.Quote(from) + ` "$out"/; fi`)
			continue
		}
		line(`mkdir -p "$out"/` + dag.Quote(path.Dir(to)) + " && cp -a " + dag.Quote(from) + ` "$out"/` + dag.Quote(to))
	}
	line(b.Finish)
	return s.String()
}
