package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"headwater/internal/dag"
	"headwater/internal/engine"
	"headwater/internal/event"
	"headwater/internal/graph"
	"headwater/internal/image"
	"headwater/internal/sbom"
)

func (a *app) sbomCommand() *cobra.Command {
	var o imageOptions
	var format string
	cmd := &cobra.Command{
		Use:   "sbom [DIR]",
		Short: "Print what the package is made of: its bill of materials, as CycloneDX or SPDX",
		Long: `Build the package and print what it is made of: each artifact of the lock that went into it, with package URL, hash, licence and the
components that it went into, and these themselves. The same recipe, lock and source make the same bytes. Its date is SOURCE_DATE_EPOCH if
that is set.`,
		Args: maxArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if format != "cyclonedx" && format != "spdx" {
				return &usageError{fmt.Errorf("--format %q: %w", format, sbom.ErrFormat)}
			}
			return a.sbom(cmd.Context(), args, o, format)
		},
	}
	o.buildOptions.flags(cmd)
	cmd.Flags().StringVar(&format, "format", "cyclonedx", "cyclonedx (1.6) or spdx (2.3), in JSON")
	return cmd
}

func (a *app) sbom(ctx context.Context, args []string, o imageOptions, format string) error {
	p, g, err := openGraph(args)
	if err != nil {
		return err
	}
	spec, err := a.imageSpec(p, g, o)
	if err != nil {
		return err
	}
	var data []byte
	err = a.withPackage(ctx, p, g, o.buildOptions, nil, func(b *builder) error {
		doc, err := b.materials(ctx, p, g, spec, o.engine)
		if err != nil {
			return err
		}
		data, err = doc.Write(format)
		return err
	})
	if err != nil {
		return err
	}
	_, err = a.stdout.Write(data)
	return err
}

// materials tells what a built package is made of. The packages of a root of which files are shipped are fetched if they are not there
// any more: which file is whose stands in them.
func (b *builder) materials(ctx context.Context, p *project, g *graph.Graph, spec image.Spec, o engine.Options) (*sbom.Document, error) {
	files, err := image.Files(ctx, spec, b.store)
	if err != nil {
		return nil, err
	}
	var packages []*dag.Node
	for _, root := range g.Roots {
		if slices.ContainsFunc(files, func(f image.File) bool { return f.Path == root.Path() }) {
			for _, n := range root.Inputs {
				if n.Kind == dag.Fetch {
					packages = append(packages, n)
				}
			}
		}
	}
	if err := b.realise(ctx, o, packages...); err != nil {
		return nil, err
	}
	doc, err := sbom.New(ctx, sbom.Input{Recipe: p.recipe, Lock: p.lock, Graph: g, Files: files, Store: b.store, Created: spec.Created})
	if err != nil {
		return nil, err
	}
	if n := len(doc.Leftovers); n > 0 {
		b.events(event.Message{Level: event.Warning, Text: fmt.Sprintf("bill of materials: it cannot be told where %d files of the image are from, such as %s", n, doc.Leftovers[0])})
	}
	return doc, nil
}
