package export

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"headwater/internal/dag"
	"headwater/internal/nix"
)

// object is the expression that adds a content-addressed object to the store: a text by its content, all else by a copy in src.
func (w *writer) object(ctx context.Context, n *dag.Node) (string, error) {
	write := func(dst string) error {
		return n.Content.Write(ctx, dst, func(p nix.StorePath) string { return string(p) })
	}
	if n.Content.ContentAddress().Method == nix.Text {
		return w.text(n, write)
	}
	if len(n.Inputs) > 0 {
		return "", &InexpressibleError{n.Name, "is made from other paths by what is no derivation"}
	}
	return w.tree(n, "src/"+strings.TrimPrefix(w.names[n], string(n.Kind)+"-"), write)
}

// text is a call of builtins.toFile.
func (w *writer) text(n *dag.Node, write func(dst string) error) (string, error) {
	tmp := filepath.Join(w.dir, "text")
	if err := write(tmp); err != nil {
		return "", fmt.Errorf("export %s: %w", n.Name, err)
	}
	content, err := os.ReadFile(tmp)
	if err == nil {
		err = os.Remove(tmp)
	}
	if err != nil {
		return "", fmt.Errorf("export %s: %w", n.Name, err)
	}
	if strings.ContainsRune(string(content), 0) {
		return "", &InexpressibleError{n.Name, "has a NUL byte, which strings cannot have"}
	}
	refs, used := references{}, map[string]bool{}
	for _, in := range n.Inputs {
		if in.Drv != nil {
			return "", &InexpressibleError{n.Name, "is a text that refers to what is built, " + in.Name}
		}
		refs.add(in.Path(), w.names[in])
	}
	value := str(refs.split(string(content), used), 2)
	if more := refs.unsaid(used); more != "" {
		value = "(" + value + more + ")"
	}
	return "builtins.toFile " + literal(n.Path().Name()) + " " + value, nil
}

// tree makes a copy of n at a path in the folder; the expression adds it to the store if the store does not have it yet.
func (w *writer) tree(n *dag.Node, at string, write func(dst string) error) (string, error) {
	ca := n.Content.ContentAddress()
	if ca.Hash.Algo() != nix.SHA256 {
		return "", &InexpressibleError{n.Name, fmt.Sprintf("is known by its %s, not its sha256", ca.Hash.Algo())}
	}
	dst := filepath.Join(w.dir, filepath.FromSlash(at))
	if err := os.MkdirAll(filepath.Dir(dst), 0o755); err != nil {
		return "", fmt.Errorf("export %s: %w", n.Name, err)
	}
	if err := write(dst); err != nil {
		return "", fmt.Errorf("export %s: %w", n.Name, err)
	}
	return fmt.Sprintf("builtins.path {\n    path = ./%s;\n    name = %s;\n    recursive = %t;\n    sha256 = %s;\n  }",
		at, literal(n.Path().Name()), ca.Method == nix.NAR, literal(ca.Hash.SRI())), nil
}
