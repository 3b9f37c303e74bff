package plan

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"

	"headwater/internal/recipe"
)

// ran is the text of a RUN instruction.
type ran struct {
	text     string
	dir      string
	known    map[string]string // the variables and arguments that it sees
	evidence Evidence
}

// has tells whether evidence is out of the text.
func (r ran) has(e Evidence) bool {
	return e.File == r.evidence.File && e.Line >= r.evidence.Line && e.Line <= r.evidence.Line+strings.Count(r.text, "\n")
}

// makeByHand makes a build of all that the stage itself runs, where a command that no ecosystem knows names what is asked for: what
// a Makefile would do is written into the image's file at times. What the commands download is there before they are run. It reports
// whether there is such a build.
func (s *Stage) makeByHand(at string) bool {
	named := func(c Command) bool {
		return slices.ContainsFunc(c.Args[1:], func(a string) bool { return a != "" && Abs(c.Dir, a) == at })
	}
	if !slices.ContainsFunc(s.Unrecognised, named) || len(s.Builds) > 0 {
		return false
	}
	var commands []Command
	known := map[string]string{}
	for _, r := range s.ran {
		file, ok := withoutDownloads(r.text)
		if !ok {
			return false
		}
		if len(file.Stmts) == 0 {
			continue
		}
		for _, name := range variables(file) {
			if v, ok := r.known[name]; ok {
				known[name] = v
			}
		}
		commands = append(commands, Command{Args: []string{"sh"}, Script: strings.TrimSpace(printed(file)), Dir: r.dir, Evidence: r.evidence})
	}
	if len(commands) == 0 {
		return false
	}
	b := s.NewBuild("plain", s.Dir, commands[0].Evidence)
	b.Name, b.Commands, b.Env, b.Only = ComponentName(cmp.Or(s.Name, path.Base(at))), commands, known, true
	b.Before = b.Before.Only(func(p Placement) bool {
		return p.Origin.Kind != Product || slices.ContainsFunc(commands, func(c Command) bool { return strings.Contains(c.Script, path.Base(p.At)) })
	})
	s.Unrecognised = slices.DeleteFunc(slices.Clone(s.Unrecognised), func(c Command) bool {
		return slices.ContainsFunc(s.ran, func(r ran) bool { return r.has(c.Evidence) })
	})
	for _, c := range commands[1:] {
		b.Evidence = append(b.Evidence, c.Evidence)
	}
	s.Makes(b, Output{At: at, File: true}, b.Evidence[len(b.Evidence)-1])
	return true
}

// Only is what stands of some placements.
func (f *Files) Only(keep func(Placement) bool) *Files {
	return &Files{f.tree, slices.DeleteFunc(slices.Clone(f.placed), func(p Placement) bool { return !keep(p) })}
}

// withoutDownloads is a shell text without the commands that download files or install packages. It is not ok where such a command
// is part of another, a pipe say: then nobody knows what it brings.
func withoutDownloads(text string) (file *syntax.File, ok bool) {
	file, err := parseAsIs(text, "")
	if err != nil {
		return nil, false
	}
	file.Stmts = dropDownloads(file.Stmts)
	ok = true
	syntax.Walk(file, func(n syntax.Node) bool {
		if call, is := n.(*syntax.CallExpr); is && brings(call) {
			ok = false
		}
		return ok
	})
	return file, ok
}

func dropDownloads(list []*syntax.Stmt) []*syntax.Stmt {
	var out []*syntax.Stmt
	for _, s := range list {
		if s = dropDownload(s); s != nil {
			out = append(out, s)
		}
	}
	return out
}

// dropDownload is a statement without its downloads, nil if it is nothing else.
func dropDownload(s *syntax.Stmt) *syntax.Stmt {
	switch c := s.Cmd.(type) {
	case *syntax.CallExpr:
		if brings(c) {
			return nil
		}
	case *syntax.BinaryCmd:
		if c.Op != syntax.AndStmt || s.Negated {
			return s
		}
		x, y := dropDownload(c.X), dropDownload(c.Y)
		switch {
		case x == nil:
			return y
		case y == nil:
			return x
		}
		c.X, c.Y = x, y
	}
	return s
}

// brings tells whether a command is there to bring something from the network.
func brings(c *syntax.CallExpr) bool {
	if len(c.Args) == 0 {
		return false
	}
	return slices.Contains([]string{"curl", "wget", "apt-get", "apt", "apk", "dnf", "microdnf", "yum"}, path.Base(c.Args[0].Lit()))
}

// variables lists the names that a shell text expands, each once.
func variables(file *syntax.File) []string {
	names := map[string]bool{}
	syntax.Walk(file, func(n syntax.Node) bool {
		if p, ok := n.(*syntax.ParamExp); ok && p.Param != nil {
			names[p.Param.Value] = true
		}
		return true
	})
	return slices.Sorted(maps.Keys(names))
}

// download is the component that downloads what stands somewhere, and where it is in that component's output: all of a plan's
// downloads are one component's, each below its own place.
func (a *assembly) download(p Placement) (component, part string) {
	name := "downloads"
	for i := 2; a.taken(name) && a.recipe.Components[name].Download == nil; i++ {
		name = fmt.Sprint("downloads-", i)
	}
	part = strings.TrimPrefix(p.At, "/")
	c, ok := a.recipe.Components[name]
	if !ok {
		c = recipe.Component{Ecosystem: "plain", Root: "runtime", Download: map[string]string{}}
	}
	c.Download[part] = p.Origin.Ref
	a.recipe.Components[name] = c
	a.prove("components."+name, p.Evidence)
	a.prove("components."+name+".download."+part, p.Evidence)
	return name, part
}

// named tells whether a manifest of a build's project names something, so that it is nothing without.
func (a *assembly) named(b *Build, word string) bool {
	return slices.ContainsFunc([]string{"go.mod", "go.work", "package.json", "pyproject.toml", "Cargo.toml"}, func(manifest string) bool {
		name, ok := b.Before.sourceOf(path.Join(b.Dir, manifest))
		if !ok {
			return false
		}
		data, err := a.Tree.Read(name)
		return err == nil && strings.Contains(string(data), word)
	})
}

// isProgram tells whether a download is a program: those are built from source or come from a distribution.
func (p Placement) isProgram() bool {
	return p.Origin.Exec || strings.HasSuffix(path.Dir(p.At), "/bin") || strings.HasSuffix(path.Dir(p.At), "/sbin")
}
