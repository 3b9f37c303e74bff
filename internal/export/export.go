// Package export writes a build graph as Nix code: a folder whose default.nix evaluates, without nixpkgs and without the
// network, to the very derivations that the graph has.
//
// What is in the folder:
//
//	default.nix   one binding for each node, inputs first; its value is the package's derivation
//	flake.nix     the same as a flake
//	src/          the trees and files that evaluating adds to the store, each checked by its hash
//	roots.txt     paths of the store that default.nix refers to by name: they must be valid, or in a binary cache, to evaluate
//	fetches.txt   paths that only a download makes; a machine that has them builds without the network
//	roots/        the trees of roots.txt, if they were asked for: then roots.txt is not written
//
// What always holds: the derivations are equal to the graph's or Write fails, since a node that the Nix language cannot say is
// an error. The same graph gives the same bytes. No output path stands in default.nix: inputs are named by their bindings, whose
// string context makes them inputs. No derivation is built to evaluate it.
//
//	err := export.Write(ctx, "out", export.Request{Name: "hello", Goal: graph.Package})
package export

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"headwater/internal/dag"
	"headwater/internal/nix"
)

// Request says what to write.
type Request struct {
	Name       string               // of the package's main program
	Version    string               // "" if it has none
	Goal       *dag.Node            // what default.nix evaluates to; a derivation
	Components map[string]*dag.Node // the goal's attributes "components", by name; may be nil
	// CopyRoot makes dst, which does not exist, a copy of a root. nil: roots are referred to by their paths.
	CopyRoot func(ctx context.Context, root *dag.Node, dst string) error
}

// InexpressibleError says that the Nix language has no words for a node.
type InexpressibleError struct {
	Node string
	Why  string
}

func (e *InexpressibleError) Error() string { return "export " + e.Node + ": " + e.Why }

// Write makes the folder dst, or renews one that it made before; what else is there stays. It fails with an *OccupiedError
// where dst is something else. A process that is killed leaves at worst a folder beside dst, or some entries renewed and others
// not, which evaluating notices by their hashes.
func Write(ctx context.Context, dst string, r Request) error {
	return place(dst, func(tmp string) error {
		w := &writer{Request: r, dir: tmp, names: map[*dag.Node]string{}, taken: map[string]bool{}}
		return w.write(ctx)
	})
}

// writer makes one export in dir.
type writer struct {
	Request
	dir            string
	order          []*dag.Node // inputs first
	names          map[*dag.Node]string
	taken          map[string]bool
	body           strings.Builder
	roots, fetches []nix.StorePath
}

func (w *writer) write(ctx context.Context) error {
	if w.Goal.Drv == nil {
		return &InexpressibleError{w.Goal.Name, "is not a derivation"}
	}
	w.visit(w.Goal)
	for _, name := range sortedKeys(w.Components) {
		w.visit(w.Components[name])
	}
	for _, n := range w.order {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := w.node(ctx, n); err != nil {
			return err
		}
	}
	return errors.Join(
		w.list("roots.txt", w.roots),
		w.list("fetches.txt", w.fetches),
		os.WriteFile(filepath.Join(w.dir, "flake.nix"), []byte(marker+"\n"+flake), 0o644),
		os.WriteFile(filepath.Join(w.dir, "default.nix"), []byte(w.expression()), 0o644),
	)
}

// visit puts n into the order, after its inputs. What a referred object is made of is no business of Nix's.
func (w *writer) visit(n *dag.Node) {
	if _, seen := w.names[n]; seen {
		return
	}
	w.names[n] = "" // until it has one
	if !referred(n) {
		for _, in := range n.Inputs {
			w.visit(in)
		}
	}
	w.names[n] = w.name(n)
	w.order = append(w.order, n)
}

// referred tells whether n is a path that has to be in the store already: a tree of packages, or what exists anyway.
func referred(n *dag.Node) bool {
	return n.Drv == nil && (n.Kind == dag.Path || n.Kind == dag.Root && !dag.OfPaths(n))
}

func (w *writer) node(ctx context.Context, n *dag.Node) error {
	var text string
	var err error
	switch {
	case n.Drv != nil:
		if n.Kind == dag.Fetch {
			w.fetches = append(w.fetches, n.Path())
		}
		text, err = w.derivation(n)
	case !referred(n):
		text, err = w.object(ctx, n)
	case w.CopyRoot != nil && n.Kind == dag.Root:
		at := "roots/" + strings.TrimPrefix(w.names[n], "root-")
		text, err = w.tree(n, at, func(dst string) error { return w.CopyRoot(ctx, n, dst) })
	default:
		w.roots = append(w.roots, n.Path())
		text = "existing " + quoted([]part{{text: string(n.Path())}})
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(&w.body, "\n  # %s\n  %s = %s;\n", comment(n.Name), w.names[n], text)
	return nil
}

// expression is default.nix.
func (w *writer) expression() string {
	var s strings.Builder
	fmt.Fprintf(&s, "%s: %s %s\n%slet\n%s%s", marker, comment(w.Name), comment(w.Version), about, helpers, w.body.String())
	s.WriteString("in\n" + w.names[w.Goal] + " // {\n")
	if w.Version != "" {
		fmt.Fprintf(&s, "  version = %s;\n", literal(w.Version))
	}
	fmt.Fprintf(&s, "  pname = %s;\n  meta.mainProgram = %s;\n", literal(w.Name), literal(w.Name))
	s.WriteString("  components = {\n")
	for _, name := range sortedKeys(w.Components) {
		fmt.Fprintf(&s, "    %s = %s;\n", attribute(name), w.names[w.Components[name]])
	}
	s.WriteString("  };\n}\n")
	return s.String()
}

// list writes a path a line, sorted; nothing where there is none.
func (w *writer) list(name string, paths []nix.StorePath) error {
	if len(paths) == 0 {
		return nil
	}
	slices.Sort(paths)
	var s strings.Builder
	for _, p := range slices.Compact(paths) {
		s.WriteString(string(p) + "\n")
	}
	return os.WriteFile(filepath.Join(w.dir, name), []byte(s.String()), 0o644)
}

// comment makes s fit on a comment's line.
func comment(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, s)
}
