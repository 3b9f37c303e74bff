// Package source reads a pinned tree: which files a component sees, and what cannot be built from.
package source

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/bmatcuk/doublestar/v4"
)

// Entry is one file or link of a selection. Folders are implied by their files.
type Entry struct {
	Path       string // slash-separated, relative to the tree
	Executable bool
	Link       string // target, "" for a file
}

// BadTreeError lists all that keeps a tree from being used.
type BadTreeError struct {
	Dir      string
	Problems []string // "run/sock: is a socket"
}

func (e *BadTreeError) Error() string {
	return fmt.Sprintf("read source %s: %d entries cannot be part of a build; exclude them in the component's src or remove them:\n  %s",
		e.Dir, len(e.Problems), strings.Join(e.Problems, "\n  "))
}

// Select takes the files that patterns name. Patterns are doublestar globs, applied in order; one
// that starts with "!" takes out what it names, and a pattern that names a folder names all in it. Links are not followed. A
// version control folder (.git) is never part. Only what is selected is judged: sockets, pipes, devices, unreadable files, names that
// are not UTF-8 and links that are absolute or lead out of the tree are problems, told all at once.
func (t *Tree) Select(patterns []string) (*Selection, error) {
	rules, err := parseRules(patterns)
	if err != nil {
		return nil, fmt.Errorf("read source %s: %w", t.dir, err)
	}
	s := &Selection{dir: t.dir}
	var bad []string
	for _, l := range t.listed {
		if l.err != nil {
			// What a folder that cannot be listed holds is not known, so only excluding all of it settles the matter.
			if !excluded(rules, l.path) {
				bad = append(bad, fmt.Sprintf("%q: %v", l.path, l.err))
			}
			continue
		}
		if !selected(rules, l.path) {
			continue
		}
		e, err := entry(filepath.Join(t.dir, filepath.FromSlash(l.path)), l.path, l.d)
		if err != nil {
			bad = append(bad, fmt.Sprintf("%q: %v", l.path, err))
			continue
		}
		s.entries = append(s.entries, e)
	}
	if len(bad) > 0 {
		return nil, &BadTreeError{Dir: t.dir, Problems: bad}
	}
	return s, nil
}

// Select takes of the selection what patterns name.
func (s *Selection) Select(patterns []string) (*Selection, error) {
	rules, err := parseRules(patterns)
	if err != nil {
		return nil, fmt.Errorf("read source %s: %w", s.dir, err)
	}
	out := &Selection{dir: s.dir}
	for _, e := range s.entries {
		if selected(rules, e.Path) {
			out.entries = append(out.entries, e)
		}
	}
	return out, nil
}

// Matcher tells of a path whether patterns select it, as Select does.
func Matcher(patterns []string) (func(path string) bool, error) {
	rules, err := parseRules(patterns)
	return func(path string) bool { return selected(rules, path) }, err
}

func parseRules(patterns []string) ([]rule, error) {
	rules := make([]rule, len(patterns))
	for i, p := range patterns {
		glob, exclude := strings.CutPrefix(p, "!")
		if glob == "" || !doublestar.ValidatePattern(glob) {
			return nil, fmt.Errorf("pattern %q is not a valid glob", p)
		}
		rules[i] = rule{glob: glob, below: strings.TrimSuffix(glob, "/") + "/**", exclude: exclude}
	}
	return rules, nil
}

type rule struct {
	glob    string
	below   string // what is in the folder that glob names
	exclude bool
}

// selected tells whether the last rule that names path, or a folder above it, includes it.
func selected(rules []rule, path string) bool {
	for _, r := range slices.Backward(rules) {
		if r.names(path) {
			return !r.exclude
		}
	}
	return false
}

// excluded tells whether the last rule that names path, or a folder above it, takes it out.
func excluded(rules []rule, path string) bool {
	for _, r := range slices.Backward(rules) {
		if r.names(path) {
			return r.exclude
		}
	}
	return false
}

func (r rule) names(path string) bool {
	return doublestar.MatchUnvalidated(r.glob, path) || doublestar.MatchUnvalidated(r.below, path)
}

// entry judges one selected file or link.
func entry(name, rel string, d fs.DirEntry) (Entry, error) {
	if !utf8.ValidString(rel) {
		return Entry{}, fmt.Errorf("the name is not UTF-8")
	}
	info, err := d.Info()
	if err != nil {
		return Entry{}, err
	}
	switch mode := info.Mode(); {
	case mode.IsRegular():
		f, err := os.Open(name) // the mode bits alone do not tell what may be read
		if err != nil {
			return Entry{}, err
		}
		return Entry{Path: rel, Executable: mode&0o100 != 0}, f.Close()
	case mode&fs.ModeSymlink != 0:
		target, err := os.Readlink(name)
		if err != nil {
			return Entry{}, err
		}
		if !utf8.ValidString(target) {
			return Entry{}, fmt.Errorf("the link's target is not UTF-8")
		}
		if filepath.IsAbs(target) || !filepath.IsLocal(filepath.Join(filepath.Dir(filepath.FromSlash(rel)), target)) {
			return Entry{}, fmt.Errorf("is a link out of the tree, to %q", target)
		}
		return Entry{Path: rel, Link: target}, nil
	case mode&fs.ModeSocket != 0:
		return Entry{}, fmt.Errorf("is a socket")
	case mode&fs.ModeNamedPipe != 0:
		return Entry{}, fmt.Errorf("is a named pipe")
	default:
		return Entry{}, fmt.Errorf("is neither file, folder nor link (%s)", mode.Type())
	}
}
