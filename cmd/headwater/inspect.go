package main

import (
	"context"

	"headwater/internal/ecosystem"
	"headwater/internal/ecosystem/all"
	"headwater/internal/event"
	"headwater/internal/lock"
)

// inspect warns of what the ecosystems see in what was locked. A lock does not hang on it: what could not be looked at is told. The error
// is the context's.
func (a *app) inspect(ctx context.Context, b *builder, p *project, f *lock.File) error {
	for _, e := range all.Ecosystems() {
		inspector, ok := e.(ecosystem.Inspector)
		if !ok {
			continue
		}
		texts, err := inspector.Inspect(ctx, ecosystem.InspectRequest{
			Recipe: p.recipe, Source: p.tree.FS(), Files: p.tree.Paths(), Lock: f, Network: b.network(),
		})
		for _, text := range texts {
			b.events(event.Message{Level: event.Warning, Text: text})
		}
		if err != nil {
			b.events(event.Message{Text: err.Error()})
		}
	}
	return ctx.Err()
}
