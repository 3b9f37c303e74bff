package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"headwater/internal/image"
	"headwater/internal/store"
)

func (a *app) storeCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "store", Short: "Look after the store"}
	cmd.AddCommand(a.gcCommand(), a.verifyStoreCommand(), a.optimiseCommand(), a.storeDiffCommand())
	return cmd
}

// withStore opens the store, runs f and closes the store.
func (a *app) withStore(ctx context.Context, f func(*store.Store) error) error {
	s, err := a.openStore(ctx)
	if err != nil {
		return err
	}
	return errors.Join(f(s), s.Close())
}

func (a *app) gcCommand() *cobra.Command {
	var o store.GCOptions
	cmd := &cobra.Command{
		Use:   "gc",
		Short: "Delete what no root needs",
		Long:  "Delete what no root needs. Roots are the last build of every folder, links made by build --out-link, what Nix knows as\nroots in the same store, and what running commands use.",
		Args:  maxArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withStore(cmd.Context(), func(s *store.Store) error {
				r, err := s.GC(cmd.Context(), o)
				if err != nil {
					return err
				}
				if !o.DryRun {
					freed, err := image.Collect(cmd.Context(), s) // layers are of use as long as what they are made of
					if err != nil {
						return err
					}
					r.Freed += freed
				}
				if a.json {
					return json.NewEncoder(a.stdout).Encode(map[string]any{"v": 1, "paths": r.Dead, "bytes": r.Freed, "dryRun": o.DryRun})
				}
				did := "deleted"
				if o.DryRun {
					did = "would delete"
					for _, p := range r.Dead {
						fmt.Fprintln(a.stdout, p)
					}
				}
				_, err = fmt.Fprintf(a.stderr, "%s %d paths, %.1f MB\n", did, len(r.Dead), float64(r.Freed)/1e6)
				return err
			})
		},
	}
	cmd.Flags().BoolVarP(&o.DryRun, "dry-run", "n", false, "list what would be deleted")
	cmd.Flags().Int64Var(&o.MaxFreed, "max-bytes", 0, "stop once this many bytes are freed (0: no limit)")
	return cmd
}

func (a *app) verifyStoreCommand() *cobra.Command {
	o := store.VerifyOptions{Contents: true}
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Check every path of the store against what is registered",
		Args:  maxArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withStore(cmd.Context(), func(s *store.Store) error {
				r, err := s.Verify(cmd.Context(), o)
				if err != nil {
					return err
				}
				if a.json {
					if err := json.NewEncoder(a.stdout).Encode(map[string]any{"v": 1, "checked": r.Paths, "problems": r.Problems}); err != nil {
						return err
					}
				} else {
					for _, p := range r.Problems {
						fmt.Fprintln(a.stdout, p)
						if p.Hint != "" {
							fmt.Fprintln(a.stdout, "  "+p.Hint)
						}
					}
					fmt.Fprintf(a.stderr, "checked %d paths, %d problems\n", r.Paths, len(r.Problems))
				}
				if len(r.Problems) > 0 {
					return &failedCheck{fmt.Errorf("verify store %s: %d problems", s.Dir(), len(r.Problems))}
				}
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&o.Repair, "repair", false, "make invalid what is gone or damaged, so that the next build makes it again")
	cmd.Flags().BoolVar(&o.Contents, "check-contents", true, "read and hash every path")
	return cmd
}

func (a *app) optimiseCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "optimise",
		Short: "Keep files that several paths share once",
		Args:  maxArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withStore(cmd.Context(), func(s *store.Store) error {
				r, err := s.Optimise(cmd.Context())
				if err != nil {
					return err
				}
				if a.json {
					return json.NewEncoder(a.stdout).Encode(map[string]any{"v": 1, "files": r.Files, "bytes": r.Freed})
				}
				_, err = fmt.Fprintf(a.stderr, "shared %d files, %.1f MB freed\n", r.Files, float64(r.Freed)/1e6)
				return err
			})
		},
	}
}
