package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"headwater/internal/dag"
	"headwater/internal/nix"
)

// graphNode is a line of "graph --json".
type graphNode struct {
	ID        nix.StorePath            `json:"id"` // the .drv's path, or the object's own
	Kind      dag.Kind                 `json:"kind"`
	Name      string                   `json:"name"`
	Component string                   `json:"component,omitempty"`
	Drv       nix.StorePath            `json:"drv,omitempty"`
	Outputs   map[string]nix.StorePath `json:"outputs"`
	Inputs    []nix.StorePath          `json:"inputs"` // IDs
}

func (a *app) graphCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "graph [DIR]",
		Short: "List every derivation with its kind, inputs and output paths",
		Long:  "List every derivation with its kind, inputs and output paths, inputs first. With --json one object is printed:\n{\"v\": 1, \"package\": ID, \"nodes\": [{id, kind, name, component, drv, outputs, inputs}, …]}.",
		Args:  maxArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			_, g, err := openGraph(args)
			if err != nil {
				return err
			}
			nodes := ordered(g.Package)
			if a.json {
				return json.NewEncoder(a.stdout).Encode(map[string]any{"v": 1, "package": g.Package.ID(), "nodes": nodes})
			}
			for _, n := range nodes {
				for _, out := range slices.Sorted(maps.Keys(n.Outputs)) {
					if _, err := fmt.Fprintf(a.stdout, "%-9s %s  %s\n", n.Kind, n.Outputs[out], n.Name); err != nil {
						return err
					}
				}
			}
			return nil
		},
	}
}

// ordered lists what goal needs, inputs before what uses them, each once.
func ordered(goal *dag.Node) []graphNode {
	var list []graphNode
	for _, n := range dag.Closure(goal) {
		inputs := make([]nix.StorePath, len(n.Inputs))
		for i, in := range n.Inputs {
			inputs[i] = in.ID()
		}
		list = append(list, graphNode{ID: n.ID(), Kind: n.Kind, Name: n.Name, Component: n.Component, Drv: n.DrvPath, Outputs: n.Outputs, Inputs: inputs})
	}
	return list
}
