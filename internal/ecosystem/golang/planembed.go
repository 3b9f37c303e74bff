package golang

import (
	"path"
	"slices"
	"strings"

	"headwater/internal/plan"
)

// embeds sees to what a program embeds: a folder that a web project of the tree writes is that project's product, whatever stands in its
// place in the tree (a stub that compiles and fails at run time, a placeholder), unless it has pages with their scripts and nothing of the image's
// own commands makes others; what nothing makes is an open question, since without it the main product is another.
func embeds(s *plan.Stage, b *plan.Build, src string, patterns []embedded) error {
	for _, e := range patterns {
		dir := path.Join(src, e.dir)
		stage := path.Join(b.Dir, e.dir)
		if o, _ := s.Files.Lookup(stage); o.Kind == plan.Product || len(products(s, stage)) > 0 {
			continue
		}
		if page := s.Tree.BuiltPages(dir); page != "" {
			s.Notes.Remark("the pages in "+dir+" are kept in the tree as they were built, and embedded so", plan.Evidence{File: page}, e.evidence)
			continue
		}
		writers := s.Tree.Writers(dir)
		if len(writers) > 0 {
			if err := write(s, b, best(writers), stage, dir); err != nil {
				return err
			}
			continue
		}
		if s.Tree.Exists(dir) {
			continue
		}
		if n := around(s, stage); n != nil {
			s.Makes(n, plan.Output{At: stage}, e.evidence)
			continue
		}
		s.Notes.Ask(plan.Question{
			About: "components", Ask: "the program embeds " + dir + ", which neither the tree has nor anything that was followed makes; who makes it?",
			Looked: []plan.Evidence{e.evidence}, Main: true,
		})
	}
	return nil
}

// around is the build of a web project in a folder around a path, which may make anything there, nil if there is none or a command that nobody knows
// may be what does.
func around(s *plan.Stage, at string) *plan.Build {
	for _, n := range slices.Backward(s.AllBuilds()) {
		if n.Ecosystem == "node" && !n.Only && strings.HasPrefix(at, n.Dir+"/") && !s.AnyUnknown() {
			return n
		}
	}
	return nil
}

// best is the script that is made for it: one whose name says "release" or "build" before others.
func best(list []plan.Writer) plan.Writer {
	for _, name := range []string{"release", "build", "build:prod"} {
		for _, w := range list {
			if w.Script == name {
				return w
			}
		}
	}
	return list[0]
}

func products(s *plan.Stage, dir string) (list []plan.Placement) {
	for _, p := range s.Files.Inside(dir) {
		if p.Origin.Kind == plan.Product {
			list = append(list, p)
		}
	}
	return list
}

// write has a web project's script run where the tree stands in the stage, and lays what it writes where the program embeds it.
func write(s *plan.Stage, b *plan.Build, w plan.Writer, stage, dir string) error {
	top, ok := strings.CutSuffix(stage, "/"+dir)
	if !ok {
		return nil
	}
	project := path.Join("/", top, w.Project)
	s.Files.Place(project, plan.Origin{Kind: plan.Source, Path: w.Project}, w.Evidence)
	if err := s.Run(w.Manager+" install && "+w.Manager+" run "+w.Script, project, nil, w.Evidence); err != nil {
		return err
	}
	for _, n := range slices.Backward(s.AllBuilds()) {
		if n.Ecosystem == "node" && n.Dir == project {
			s.Makes(n, plan.Output{At: stage}, w.Evidence)
			return nil
		}
	}
	s.Notes.Ask(plan.Question{About: "components", Ask: "the program embeds " + dir + ", which the script " + w.Script + " of " + w.Project + " writes; nobody knows how to run it", Looked: []plan.Evidence{w.Evidence}, Main: true})
	return nil
}

// embedded is a folder or file that a program embeds.
type embedded struct {
	dir      string // from the module's folder
	evidence plan.Evidence
}
