package plan

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"

	"headwater/internal/recipe"
)

// checkoutDir is where the tree stands in a checkout.
const checkoutDir = recipe.SourceDir

// checkout is a machine that has the tree and nothing else: where scripts and pipelines work before an image is built.
func checkout(sh *shared) *Stage {
	s := &Stage{
		Name: "checkout", Env: map[string]string{}, args: map[string]string{}, Dir: checkoutDir, Files: &Files{tree: sh.Tree}, shared: sh,
		Config: Config{Labels: map[string]string{}, Evidence: map[string]Evidence{}},
	}
	s.Files.Place(checkoutDir, Origin{Kind: Source, Path: "."}, Evidence{Rule: "the tree"})
	return s
}

// snapshot is s as it is now; what is done to s later does not reach it.
func (s *Stage) snapshot() *Stage {
	c := *s
	c.Files, c.Builds = s.Files.Clone(), slices.Clone(s.Builds)
	return &c
}

// buildContext is what an image's making copies from: a folder of a checkout, without what .dockerignore names.
type buildContext struct {
	stage  *Stage
	dir    string // absolute, in stage
	ignore *ignoreRules
}

// ignoreRules are what an ignore file says. Several images of a tree ask the same of it.
type ignoreRules struct {
	matcher *patternmatcher.PatternMatcher
	mutex   sync.Mutex
	known   map[string]ignored // what it said before, by path
	leftOut map[string][]string
}

// ignored is what the rules say of a path; of a folder, what stands below it is asked with the details.
type ignored struct {
	out     bool
	details patternmatcher.MatchInfo
}

// isCheckout tells whether a stage is no image's, but where images are made from.
func (s *Stage) isCheckout() bool { return s.Parent == nil && s.Base == "" }

// of tells what the rules say of a path. The mutex is held.
func (r *ignoreRules) of(rel string) ignored {
	if rel == "." {
		return ignored{}
	}
	if known, ok := r.known[rel]; ok {
		return known
	}
	out, details, err := r.matcher.MatchesUsingParentResults(rel, r.of(path.Dir(rel)).details)
	r.known[rel] = ignored{out && err == nil, details}
	return r.known[rel]
}

// maxPattern is the longest pattern of an ignore file, in bytes; no path is longer.
const maxPattern = 4096

// readIgnore reads an ignore file, once for a tree.
func readIgnore(t *Tree, name string, data []byte) (*ignoreRules, error) {
	rules, err := t.Once("ignore file "+name, func() (any, error) {
		patterns, err := ignorefile.ReadAll(bytes.NewReader(data))
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(patterns, func(p string) bool { return len(p) > maxPattern }) {
			return nil, fmt.Errorf("read %s: a pattern has more than %d bytes", name, maxPattern)
		}
		m, err := patternmatcher.New(patterns)
		return &ignoreRules{matcher: m, known: map[string]ignored{}, leftOut: map[string][]string{}}, err
	})
	if err != nil {
		return nil, err
	}
	return rules.(*ignoreRules), nil
}

// newContext reads the ignore file that holds for a Dockerfile: the one beside it, else the context's.
func newContext(stage *Stage, dir, dockerfile string) (*buildContext, error) {
	c := &buildContext{stage: stage, dir: path.Clean(dir)}
	var data []byte
	ignore := ""
	names := []string{dockerfile + ".dockerignore"}
	if top, ok := stage.SourceOf(c.dir); ok {
		names = append(names, path.Join(top, ".dockerignore"))
	}
	for _, name := range names {
		var err error
		if data, err = stage.Tree.Read(name); err == nil {
			ignore = name
			break
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	var err error
	if c.ignore, err = readIgnore(stage.Tree, ignore, data); err != nil {
		return nil, fmt.Errorf("read %s: %w", ignore, err)
	}
	return c, nil
}

// ignores tells whether a path of the context is left out.
func (c *buildContext) ignores(rel string) bool {
	if rel == "." || len(c.ignore.matcher.Patterns()) == 0 {
		return false
	}
	c.ignore.mutex.Lock()
	defer c.ignore.mutex.Unlock()
	return c.ignore.of(rel).out
}

// match lists what a pattern of COPY selects, relative to the context, sorted.
func (c *buildContext) match(pattern string) []string {
	var inside []string
	if root, ok := c.stage.SourceOf(c.dir); ok {
		for _, m := range c.stage.Tree.match(path.Join(root, pattern)) {
			inside = append(inside, relativeTo(root, m))
		}
	}
	for _, p := range c.stage.Files.Inside(c.dir) {
		rel := relative(c.dir, p.At)
		if ok, err := path.Match(pattern, rel); ok && err == nil && !slices.Contains(inside, rel) {
			inside = append(inside, rel)
		}
	}
	slices.Sort(inside)
	return slices.DeleteFunc(inside, c.ignores)
}

// leftOut lists the paths below a folder of the tree that are not copied with it, relative to that folder: as few as say it.
func leftOut(t *Tree, dir string, ignored func(file string) bool) []string {
	type count struct{ all, out int }
	folders := map[string]*count{}
	var out []string
	for _, f := range t.Below(dir) {
		rel, gone := relativeTo(dir, f), ignored(f)
		if gone {
			out = append(out, rel)
		}
		for d := path.Dir(rel); ; d = path.Dir(d) {
			if folders[d] == nil {
				folders[d] = &count{}
			}
			folders[d].all++
			if gone {
				folders[d].out++
			}
			if d == "." {
				break
			}
		}
	}
	var few []string
	told := map[string]bool{}
	for _, rel := range out {
		top := rel
		for d := path.Dir(rel); d != "."; d = path.Dir(d) {
			if folders[d].all == folders[d].out {
				top = d
			}
		}
		if !told[top] {
			told[top] = true
			few = append(few, top)
		}
	}
	if len(out) > 0 && len(out) == folders["."].all {
		return []string{"."}
	}
	return few
}

// copySource copies out of the build context.
func (f *image) copySource(s *Stage, src, dst string, into bool, except []string, e Evidence) {
	rel := strings.TrimPrefix(path.Clean("/"+src), "/")
	if rel == "" {
		rel = "."
	}
	if (rel == ".git" || strings.HasPrefix(rel, ".git/")) && !f.context.stage.Tree.Exists(rel) {
		s.Notes.Remark("the image takes git's own folder, which no release's source has; what asks git which version this is gets the release's", e)
		return
	}
	matches := []string{rel}
	if strings.ContainsAny(src, "*?[") {
		matches, into = f.context.match(rel), true
	}
	for _, m := range matches {
		if !f.copyOne(s, m, dst, into, except, e) {
			s.Missing = append(s.Missing, Missing{m, "", e})
		}
	}
	if len(matches) == 0 {
		s.Missing = append(s.Missing, Missing{src, "", e})
	}
}

// copyOne copies one path of the context, and reports whether it is there.
func (f *image) copyOne(s *Stage, rel, dst string, into bool, except []string, e Evidence) bool {
	c, t := f.context, s.Tree
	abs := path.Join(c.dir, rel)
	o, _ := c.stage.Lookup(abs)
	source := o.Kind == Source
	if source && t.Has(o.Path) && c.ignores(rel) {
		return false
	}
	at := dst
	if file := source && t.Has(o.Path) || c.stage.isFile(o); file && (into || s.isFolder(dst)) {
		at = path.Join(dst, path.Base(rel)) // a file goes into the folder; of a folder what is in it
	}
	if source && t.HasDir(o.Path) && len(c.stage.AllBuilds()) > 0 {
		s.contexts = append(slices.Clip(s.contexts), fromContext{c, rel, at})
	}
	count := len(s.Files.placed)
	if !s.Files.CopyFrom(c.stage.Files, abs, at, e) {
		if o.Kind == Unknown {
			return false
		}
		s.Files.Place(at, o, e)
	}
	placed := slices.Clone(s.Files.placed[count:])
	s.Files.placed = s.Files.placed[:count]
	for _, p := range placed {
		here := path.Join(rel, relative(at, p.At)) // where it stands in the context
		switch {
		case p.Origin.Kind != Source:
			if c.ignores(here) {
				continue
			}
		case t.HasDir(p.Origin.Path):
			out := c.leftOut(t, p.Origin.Path, here, rel, except)
			if slices.Equal(out, []string{"."}) {
				continue
			}
			p.Except = append(slices.Clone(p.Except), out...)
		}
		s.Files.placed = append(s.Files.placed, p)
	}
	return len(s.Files.placed) > count
}

// leftOut lists what is not copied with a folder of the tree, which stands at here in the context, when rel is copied: what is
// ignored, and what the instruction itself excludes.
func (c *buildContext) leftOut(t *Tree, dir, here, rel string, except []string) []string {
	if len(except) == 0 {
		key := dir + "\x00" + here
		c.ignore.mutex.Lock()
		known, ok := c.ignore.leftOut[key]
		c.ignore.mutex.Unlock()
		if ok {
			return known
		}
		out := leftOut(t, dir, func(file string) bool { return c.ignores(path.Join(here, relativeTo(dir, file))) })
		c.ignore.mutex.Lock()
		c.ignore.leftOut[key] = out
		c.ignore.mutex.Unlock()
		return out
	}
	excluded, err := patternmatcher.New(except)
	return leftOut(t, dir, func(file string) bool {
		inside := path.Join(here, relativeTo(dir, file))
		if c.ignores(inside) || err != nil {
			return c.ignores(inside)
		}
		out, failed := excluded.MatchesOrParentMatches(relativeTo(rel, inside))
		return failed == nil && out
	})
}
