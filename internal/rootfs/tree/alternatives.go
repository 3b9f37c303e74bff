package tree

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"headwater/internal/rootfs/deb"
)

// diversion is where a package has the file of others moved to. (dpkg-divert(1).)
type diversion struct {
	by *unpacked
	to string
}

// diversions reads the packages' preinst for the files that they divert.
func diversions(ctx context.Context, packages []*unpacked) (map[string]diversion, error) {
	list := map[string]diversion{}
	for _, p := range packages {
		s := &script{pkg: p.name, record: []string{"dpkg-divert"}}
		calls, err := s.run(ctx, p.scripts["preinst"], "install")
		if err != nil {
			return nil, fmt.Errorf("package %s: preinst: %w", p, err)
		}
		for _, c := range calls {
			from, to, ok := parseDivert(c[1:])
			if !ok {
				continue
			}
			if old, twice := list[from]; twice && old.by != p {
				return nil, fmt.Errorf("packages %s and %s both divert %q", old.by, p, from)
			}
			list[from] = diversion{p, to}
		}
	}
	return list, nil
}

// parseDivert reads the arguments of a call that adds a diversion.
func parseDivert(args []string) (from, to string, ok bool) {
	for i := 0; i < len(args); i++ {
		switch a := args[i]; {
		case a == "--divert" && i+1 < len(args):
			i++
			to = args[i]
		case a == "--package" && i+1 < len(args):
			i++
		case a == "--add" || a == "--rename" || a == "--no-rename" || a == "--quiet" || a == "--local":
		case strings.HasPrefix(a, "-"):
			return "", "", false // removes, lists or asks
		default:
			from = a
		}
	}
	if to == "" {
		to = from + ".distrib"
	}
	f, okFrom := treePath(from)
	t, okTo := treePath(to)
	return f, t, okFrom && okTo
}

// treePath turns an absolute path of a script into one below the tree's top.
func treePath(name string) (string, bool) {
	if !path.IsAbs(name) || strings.IndexByte(name, 0) >= 0 {
		return "", false
	}
	name = strings.TrimPrefix(path.Clean(name), "/")
	return merge(name, deb.File), name != ""
}

// alternative is a program, or another file, that can be had under a common name. (update-alternatives(1).)
type alternative struct {
	name     string // of the group: "awk"
	link     string // the common name's path: "usr/bin/awk"
	file     string // what it stands for: "usr/bin/mawk"
	priority int
	slaves   []alternative // what is chosen along with it
}

// alternatives makes the links that the packages' scripts ask for. Of each group the file with the highest priority is
// chosen, as update-alternatives does by itself; between equals, that of the package whose name comes first.
func alternatives(ctx context.Context, r root, packages []*unpacked) error {
	chosen := map[string]alternative{}
	var groups []string
	for _, p := range packages {
		s := &script{tree: &r, pkg: p.name, record: []string{"update-alternatives"}}
		calls, err := s.run(ctx, p.scripts["postinst"], "configure", "")
		if err != nil {
			return fmt.Errorf("package %s: postinst: %w", p, err)
		}
		for _, c := range calls {
			a, err := parseAlternative(c[1:])
			if err != nil || !r.exists(a.file) {
				continue // not about installing one, or of no use
			}
			old, there := chosen[a.name]
			if !there {
				groups = append(groups, a.name)
			}
			if !there || a.priority > old.priority {
				chosen[a.name] = a
			}
		}
	}
	slices.Sort(groups)
	for _, g := range groups {
		if err := choose(r, chosen[g]); err != nil {
			return fmt.Errorf("alternative %s: %w", g, err)
		}
	}
	return nil
}

// choose makes the links of an alternative: the common name's to /etc/alternatives, and from there to the file.
func choose(r root, a alternative) error {
	for _, one := range append([]alternative{a}, a.slaves...) {
		middle := "etc/alternatives/" + one.name
		if !r.exists(one.file) || r.taken(one.link) || r.taken(middle) {
			continue // a file that a package has at the common name is kept
		}
		if err := r.link(middle, one.file); err != nil {
			return err
		}
		if err := r.link(one.link, middle); err != nil {
			return err
		}
	}
	return nil
}

var errNoAlternative = errors.New("does not install an alternative")

// parseAlternative reads the arguments of update-alternatives --install.
func parseAlternative(args []string) (alternative, error) {
	var a alternative
	for len(args) > 0 {
		switch {
		case args[0] == "--install" && len(args) >= 5:
			one, err := newAlternative(args[1:4])
			if err != nil {
				return a, err
			}
			if one.priority, err = strconv.Atoi(args[4]); err != nil {
				return a, err
			}
			one.slaves = a.slaves
			a, args = one, args[5:]
		case args[0] == "--slave" && len(args) >= 4:
			one, err := newAlternative(args[1:4])
			if err != nil {
				return a, err
			}
			a.slaves, args = append(a.slaves, one), args[4:]
		case args[0] == "--force" || args[0] == "--quiet" || args[0] == "--verbose" || args[0] == "--skip-auto":
			args = args[1:]
		default:
			return a, errNoAlternative
		}
	}
	if a.name == "" {
		return a, errNoAlternative
	}
	return a, nil
}

func newAlternative(args []string) (alternative, error) {
	link, okLink := treePath(args[0])
	file, okFile := treePath(args[2])
	name := args[1]
	if !okLink || !okFile || name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
		return alternative{}, errNoAlternative
	}
	return alternative{name: name, link: link, file: file}, nil
}
