package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"headwater/internal/nix"
	"headwater/internal/store"
)

func (a *app) storeDiffCommand() *cobra.Command {
	var o store.DiffOptions
	cmd := &cobra.Command{
		Use:   "diff OTHER",
		Short: "Compare the store with another one",
		Long: `Compare the store with the one in the folder OTHER, Headwater's or Nix's: how many paths both have, how many of these are equal
by registered NAR hash and references, which are not, and by which derivation those were made. The exit code is 1 if any
differ. Paths that only one store has are counted; they are no difference.

With --json one object is printed: {"v": 1, "common", "derivations", "equal", "different": [{path, what, here, there, drv}, …],
"onlyHere", "onlyThere"}, the last two being lists of paths.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return &usageError{fmt.Errorf("diff takes the folder of one other store, got %d arguments", len(args))}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return a.storeDiff(cmd.Context(), args[0], o) },
	}
	cmd.Flags().BoolVar(&o.Contents, "contents", false, "read and hash what both stores have, too")
	return cmd
}

func (a *app) storeDiff(ctx context.Context, other string, o store.DiffOptions) error {
	for _, dir := range []string{a.storeDir, other} {
		there, err := store.Exists(dir)
		if err != nil {
			return fmt.Errorf("compare stores: %w", err)
		}
		if !there {
			return &inputError{fmt.Errorf("compare stores: %s: there is no store", dir), "give the folder that has nix/store and nix/var in it"}
		}
	}
	there, err := store.Open(ctx, other, store.Options{Now: a.now})
	if err != nil {
		return err
	}
	var r store.DiffResult
	err = a.withStore(ctx, func(here *store.Store) (err error) {
		r, err = store.Diff(ctx, here, there, o)
		return err
	})
	if err := errors.Join(err, there.Close()); err != nil {
		return err
	}
	if err := a.showDiff(r); err != nil {
		return err
	}
	if n := len(r.Different); n > 0 {
		return &failedCheck{fmt.Errorf("compare stores: %d of %d paths differ", n, r.Common)}
	}
	return nil
}

// diffLine is a path that differs, as --json has it.
type diffLine struct {
	Path  nix.StorePath `json:"path"`
	What  string        `json:"what"`
	Here  string        `json:"here"`
	There string        `json:"there"`
	Drv   nix.StorePath `json:"drv,omitempty"`
}

func (a *app) showDiff(r store.DiffResult) error {
	if a.json {
		lines := make([]diffLine, len(r.Different))
		for i, d := range r.Different {
			lines[i] = diffLine(d)
		}
		return json.NewEncoder(a.stdout).Encode(map[string]any{
			"v": 1, "common": r.Common, "derivations": r.Derivations, "equal": r.Equal(), "different": lines,
			"onlyHere": append([]nix.StorePath{}, r.OnlyHere...), "onlyThere": append([]nix.StorePath{}, r.OnlyThere...),
		})
	}
	for _, d := range r.Different {
		fmt.Fprintf(a.stdout, "%s: %s differs\n  here:  %s\n  there: %s\n", d.Path, d.What, d.Here, d.There)
		if d.Drv != "" {
			fmt.Fprintf(a.stdout, "  made by %s\n", d.Drv)
		}
	}
	_, err := fmt.Fprintf(a.stdout, "in both: %d (%d derivations), equal: %d, different: %d, only here: %d, only there: %d\n",
		r.Common, r.Derivations, r.Equal(), len(r.Different), len(r.OnlyHere), len(r.OnlyThere))
	return err
}
