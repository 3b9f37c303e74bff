package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"headwater/internal/engine/local"
	"headwater/internal/nix"
)

func (a *app) logCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "log [NAME | DRV]",
		Short: "Show the log of a build",
		Long: `Show the log of a build, of this machine or of any that wrote to the store. NAME is a node's name as the progress shows it
("web", "wheel lxml 6.0.2"), or a part of it that only one has. Without an argument, list what has a log.`,
		Args: maxArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			drv, err := a.drvOf(dir, args)
			if err != nil || drv == "" {
				return err
			}
			log, err := os.Open(local.LogPath(a.storeDir, drv))
			if err != nil {
				return &inputError{err, "a build that was never run here has no log; headwater build makes one"}
			}
			defer log.Close()
			_, err = io.Copy(a.stdout, log)
			return err
		},
	}
	cmd.Flags().StringVarP(&dir, "dir", "C", ".", "folder that holds headwater.yaml, to look up NAME in")
	return cmd
}

// drvOf finds the derivation that the argument means; it lists all where there is no argument.
func (a *app) drvOf(dir string, args []string) (nix.StorePath, error) {
	if len(args) == 1 && strings.HasPrefix(args[0], nix.StoreDir+"/") {
		p, err := nix.ParseStorePath(args[0])
		if err != nil {
			return "", &usageError{err}
		}
		return p, nil
	}
	_, g, err := openGraph([]string{dir})
	if err != nil {
		return "", err
	}
	nodes := slices.DeleteFunc(ordered(g.Package), func(n graphNode) bool { return n.Drv == "" || n.Kind == "fetch" })
	if len(args) == 0 {
		for _, n := range nodes {
			fmt.Fprintf(a.stdout, "%-9s %s\n", n.Kind, n.Name)
		}
		return "", nil
	}
	var found []graphNode
	for _, n := range nodes {
		if n.Name == args[0] {
			return n.Drv, nil
		}
		if strings.Contains(n.Name, args[0]) {
			found = append(found, n)
		}
	}
	if len(found) == 1 {
		return found[0].Drv, nil
	}
	return "", &inputError{fmt.Errorf("%d builds have %q in their name", len(found), args[0]), "headwater log lists the names"}
}
