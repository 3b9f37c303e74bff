package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"headwater/internal/pin"
)

func (a *app) lockCommand() *cobra.Command {
	var update bool
	cmd := &cobra.Command{
		Use:   "lock [DIR]",
		Short: "Pin every input by hash in headwater.lock",
		Long: `Pin every input by hash in headwater.lock: packages of roots, toolchains, and what the upstream's own lock files name.
What the lock holds and what still fits the recipe and the source is kept; --update resolves roots anew.`,
		Args: maxArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.lock(cmd.Context(), args, update) },
	}
	cmd.Flags().BoolVarP(&update, "update", "u", false, "take the newest packages that the suites have")
	return cmd
}

func (a *app) lock(ctx context.Context, args []string, update bool) error {
	p, err := openProject(args)
	if err != nil {
		return err
	}
	now := a.now()
	b, err := a.openBuilder(ctx, now)
	if err != nil {
		return err
	}
	f, err := pin.Lock(ctx, pin.Config{
		Recipe: p.recipe, Source: p.tree.FS(), Previous: p.lock, Update: update, Ecosystems: ecosystems(),
		Network: b.network(), Roots: b.roots(), Realise: b.realiseOne, Now: now, Events: b.events,
	})
	if err := errors.Join(err, b.Close()); err != nil {
		return err
	}
	data, err := f.Marshal()
	if err != nil {
		return err
	}
	name := filepath.Join(p.dir, lockFile)
	if err := replaceFile(name, data); err != nil {
		return fmt.Errorf("write lock: %w", err)
	}
	return a.result("lock", name)
}

// replaceFile writes a file so that readers see the old bytes or the new, whatever happens.
func replaceFile(name string, data []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".tmp-*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(data)
	err = errors.Join(err, tmp.Chmod(0o644), tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	return nil
}
