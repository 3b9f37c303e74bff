package python

import (
	"errors"
	"fmt"
	"io/fs"
	"path"

	"headwater/internal/dag"
	"headwater/internal/ecosystem"
)

// Ecosystem is the Python ecosystem.
type Ecosystem struct{}

// New makes the ecosystem.
func New() Ecosystem { return Ecosystem{} }

// Name implements ecosystem.Ecosystem.
func (Ecosystem) Name() string { return "python" }

// Derive implements ecosystem.Ecosystem. The component's node is the environment: its output stands at the option venv.
func (Ecosystem) Derive(r ecosystem.DeriveRequest) (*dag.Node, error) {
	o, err := parseOptions(r.Component)
	if err != nil {
		return nil, err
	}
	if len(r.Component.Download) > 0 {
		return nil, errors.New("a Python environment downloads no files of its own: have another component do it, and use that")
	}
	d, files, err := parseData(r.Lock)
	if err != nil {
		return nil, err
	}
	env, err := parseInterpreter(d.Python)
	if err != nil {
		return nil, fmt.Errorf("read lock: %w", err)
	}
	m := &maker{
		Maker: r.Maker, component: r.Name, root: r.Root, interpreter: env.interpreter(), env: r.Component.Env,
		files: files, sdists: d.SDists,
	}
	wheels, inputs, err := m.wheels(d.Install)
	if err != nil {
		return nil, err
	}
	for _, member := range d.Members {
		n, err := m.member(r, o, member)
		if err != nil {
			return nil, fmt.Errorf("package %s: %w", member.Name, err)
		}
		at, err := o.place(r.Component, member.Dir)
		if err != nil {
			return nil, fmt.Errorf("package %s: %w", member.Name, err)
		}
		if at == "" {
			at = path.Join(r.SourceTop(), member.Dir)
		}
		direct, err := directURL(at, member.Editable)
		if err != nil {
			return nil, err
		}
		wheels = append(wheels, wheelSpec{File: member.Name, Path: n.Path(), URL: direct})
		inputs = append(inputs, n)
	}
	// Neither the name nor anything else of the release is part of it: a release that changes no dependency keeps it.
	return m.environment(r.Recipe.Name+"-"+r.Name, r.Name, o.Venv, o.bytecode(), wheels, inputs)
}

// member is the node of a folder of the source, built in place: it sees what the component sees.
func (m *maker) member(r ecosystem.DeriveRequest, o options, p member) (*dag.Node, error) {
	at, err := o.place(r.Component, p.Dir)
	if err != nil {
		return nil, err
	}
	hook := "wheel"
	if p.Editable {
		hook = "editable"
		if err := checkEditable(at, p.Name); err != nil {
			return nil, err
		}
	}
	if _, err := fs.Stat(r.Source.FS(), path.Join(p.Dir, "pyproject.toml")); err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if _, err := fs.Stat(r.Source.FS(), path.Join(p.Dir, "setup.py")); err != nil {
			return nil, fmt.Errorf("the component's src selects no pyproject.toml in %s", p.Dir)
		}
	}
	// The lock file is what it is installed beside, not what it is made of.
	src, err := r.Source.Node("**", "!**/poetry.lock", "!**/uv.lock")
	if err != nil {
		return nil, err
	}
	if at == "" {
		at = path.Join(r.SourceTop(), p.Dir)
	}
	mounts := []dag.Mount{{From: src, At: r.SourceTop(), Writable: true}}
	if o.Folder != "" {
		mounts[0].Path, mounts[0].At = r.Component.Dir, o.Folder
	}
	for _, u := range r.Uses {
		at := u.At
		if !path.IsAbs(at) {
			at = path.Join(r.SourceTop(), at)
		}
		mounts = append(mounts, dag.Mount{From: u.Node, Path: u.Path, At: at, Writable: u.Writable})
	}
	return m.hook(hookNode{
		name: "python-" + hook + "-" + p.Name, title: hook + " " + p.Name, build: p.build, mounts: mounts,
		spec: hookSpec{Source: at, Hook: hook, Name: p.Name, Version: p.Version},
	})
}

// checkEditable sees to it that an editable package points to where the source is at run time, not to where it is built.
func checkEditable(at, name string) error {
	if at != "" {
		return nil
	}
	return fmt.Errorf("package %s is editable, so it is imported from the source at run time: say where that is (the component's at), or set the option editable to false", name)
}

// parseInterpreter is the environment of an interpreter's full version, without its C library's.
func parseInterpreter(full string) (Environment, error) {
	env := Environment{Full: full}
	v, err := ParseVersion(full)
	if err != nil {
		return env, err
	}
	if len(v.release) < 2 || v.release[0] != 3 || v.release[1] > 99 {
		return env, fmt.Errorf("interpreter %q is not of the form 3.N.N", full)
	}
	env.Target = Target{Major: 3, Minor: int(v.release[1]), Arch: "x86_64"}
	return env, nil
}

// interpreter is its path in the root.
func (e Environment) interpreter() string {
	return fmt.Sprintf("/usr/bin/python%d.%d", e.Major, e.Minor)
}
