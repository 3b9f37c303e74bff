package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"headwater/internal/atomicfile"
	"headwater/internal/ecosystem/all"
	"headwater/internal/pin"
	"headwater/internal/rootfs"
)

func (a *app) lockCommand() *cobra.Command {
	var update bool
	var asOf string
	cmd := &cobra.Command{
		Use:   "lock [DIR]",
		Short: "Pin every input by hash in headwater.lock",
		Long: `Pin every input by hash in headwater.lock: packages of roots, toolchains, and what the upstream's own lock files name.
What the lock holds and what still fits the recipe and the source is kept; --update resolves roots anew.

A mirror's package indices are signed, and most are valid for a week. Where your mirror keeps an earlier state on purpose,
--as-of says the day as of which you take it: indices that have expired since are accepted. Signatures are checked as always.`,
		Args: maxArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			date, err := a.parseAsOf(asOf)
			if err != nil {
				return err
			}
			return a.lock(cmd.Context(), args, update, date)
		},
	}
	cmd.Flags().BoolVarP(&update, "update", "u", false, "take the newest packages that the suites have")
	cmd.Flags().StringVar(&asOf, "as-of", "", "accept package indices that were valid on this day (2026-01-31)")
	return cmd
}

// parseAsOf reads a day, now if it is left out.
func (a *app) parseAsOf(text string) (time.Time, error) {
	now := a.now()
	if text == "" {
		return now, nil
	}
	date, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return now, &usageError{fmt.Errorf("--as-of %s: is no day, such as 2026-01-31", text)}
	}
	if date.After(now) {
		return now, &usageError{fmt.Errorf("--as-of %s: is yet to come", text)}
	}
	return date, nil
}

// lock pins as of a date: that is when indices have to have been valid, and the lock's own, by which packages that have left
// the mirrors are found.
func (a *app) lock(ctx context.Context, args []string, update bool, date time.Time) error {
	p, err := openProject(args)
	if err != nil {
		return err
	}
	b, err := a.openBuilder(ctx, date)
	if err != nil {
		return err
	}
	b.place = p.placed
	b.resolver = rootfs.NewResolver(rootfs.Options{Archive: b.network(), At: a.now(), AsOf: date})
	f, err := pin.Lock(ctx, pin.Config{
		Recipe: p.recipe, Dir: p.dir, Source: p.tree.FS(), Previous: p.lock, Update: update, Ecosystems: all.Ecosystems(),
		Network: b.network(), Roots: b.roots(), Realise: b.realiseOne, Now: date, Events: b.events,
	})
	if err == nil {
		err = a.inspect(ctx, b, p, f)
	}
	if err := errors.Join(a.advise(ctx, b, p.recipe, date, err), b.Close()); err != nil {
		return err
	}
	data, err := f.Marshal()
	if err != nil {
		return err
	}
	name := filepath.Join(p.dir, lockFile)
	if err := atomicfile.WriteSynced(name, data, 0o644); err != nil {
		return fmt.Errorf("write lock: %w", err)
	}
	return a.result("lock", name)
}
