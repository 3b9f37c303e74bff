package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"headwater/internal/dag"
	"headwater/internal/engine"
	"headwater/internal/export"
	"headwater/internal/nix/nar"
)

func (a *app) exportCommand() *cobra.Command {
	var roots bool
	cmd := &cobra.Command{
		Use:   "export DIR OUT",
		Short: "Write the build as Nix code that evaluates to the same derivations",
		Long: `Write the build as Nix code: OUT/default.nix evaluates, without nixpkgs and without the network, to the derivation that
headwater build --drv prints. Roots are referred to by their store paths, listed in OUT/roots.txt, unless --with-roots
copies them into OUT. A folder that an earlier export made is renewed.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 2 {
				return &usageError{fmt.Errorf("%s takes 2 arguments, DIR and OUT, got %d", cmd.Name(), len(args))}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return a.export(cmd.Context(), args[0], args[1], roots) },
	}
	cmd.Flags().BoolVar(&roots, "with-roots", false, "copy the roots' trees too, so that evaluating needs nothing but OUT")
	return cmd
}

func (a *app) export(ctx context.Context, dir, out string, withRoots bool) error {
	p, g, err := openGraph([]string{dir})
	if err != nil {
		return err
	}
	r := export.Request{Name: p.recipe.Name, Version: p.recipe.Release, Goal: g.Package, Components: g.Components}
	if !withRoots {
		err = export.Write(ctx, out, r)
	} else {
		err = a.withBuilder(ctx, p, func(b *builder) error {
			r.CopyRoot = b.copyRoot
			return export.Write(ctx, out, r)
		})
	}
	if err != nil {
		return err
	}
	return a.result("path", out)
}

// withBuilder opens a project's builder, runs f and closes the builder.
func (a *app) withBuilder(ctx context.Context, p *project, f func(*builder) error) error {
	b, err := a.openBuilder(ctx, p.lock.Date)
	if err != nil {
		return err
	}
	b.locate(p)
	return errors.Join(f(b), b.Close())
}

// copyRoot makes a copy of a root, which is unpacked if the store does not have it, in folders that can be removed.
func (b *builder) copyRoot(ctx context.Context, root *dag.Node, dst string) error {
	if err := b.realise(ctx, engine.Options{}, root); err != nil {
		return err
	}
	r, w := io.Pipe()
	go func() { w.CloseWithError(nar.DumpTo(ctx, b.store.RealPath(root.Path()), w)) }()
	err := nar.Unpack(ctx, r, dst)
	r.CloseWithError(err)
	if err != nil {
		return err
	}
	return filepath.WalkDir(dst, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		return os.Chmod(name, 0o755)
	})
}
