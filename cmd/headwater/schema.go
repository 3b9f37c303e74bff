package main

import (
	"github.com/spf13/cobra"

	"headwater/internal/recipe"
)

func (a *app) schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of headwater.yaml, for editors",
		Args:  maxArgs(0),
		RunE: func(*cobra.Command, []string) error {
			_, err := a.stdout.Write(recipe.Schema())
			return err
		},
	}
}
