package main

import (
	"context"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"headwater/internal/dag"
	"headwater/internal/engine"
	"headwater/internal/event"
	"headwater/internal/missing"
	"headwater/internal/recipe"
	"headwater/internal/rootfs"
)

const (
	lookupTime = 2 * time.Minute // how long looking for a package may take: the build failed already
	logEnd     = 256 << 10       // bytes of a log that are read, at its end
)

// advisedError is an error and what to do about it, which only another look told.
type advisedError struct {
	error
	hint string
}

func (e *advisedError) Unwrap() error { return e.error }

// Hint says what to do.
func (e *advisedError) Hint() string { return e.hint }

// lack is what builds did not find in a root.
type lack struct {
	items []missing.Item
	root  missing.Root
}

// advise adds to the error of builds that did not find something in their root which package to add. date is the lock's: an
// index that was valid then will do. Only after such a failure are the distribution's lists of files fetched.
func (a *app) advise(ctx context.Context, b *builder, r *recipe.Recipe, date time.Time, err error) error {
	if err == nil || ctx.Err() != nil || hintOf(err) != "" {
		return err
	}
	lacks := map[string]lack{}
	for _, f := range buildFailures(err) {
		items := missingItems(f)
		root, ok := rootOf(f.Node, r)
		if !ok || len(items) == 0 {
			continue
		}
		known := lacks[root.Name].items
		for _, item := range items {
			if !slices.Contains(known, item) {
				known = append(known, item)
			}
		}
		lacks[root.Name] = lack{known, root}
	}
	var hints []string
	resolver := rootfs.NewResolver(rootfs.Options{Archive: b.network(), At: a.now(), AsOf: date})
	for _, name := range slices.Sorted(maps.Keys(lacks)) {
		hints = append(hints, lacks[name].advice(ctx, resolver, b.events))
	}
	if len(hints) == 0 {
		return err
	}
	return &advisedError{err, strings.Join(hints, "; ")}
}

func (l lack) advice(ctx context.Context, resolver *rootfs.Resolver, events event.Sink) string {
	finder := missing.NewFinder(l.items)
	if len(l.root.Suites) == 0 { // a root of store paths
		return finder.Advice(l.root, false)
	}
	events(event.Message{Text: "the build did not find " + l.items[0].String() + "; looking for the package that has it"})
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	err := resolver.Search(ctx, l.root.Suites, finder.Add, finder.Sure)
	if err != nil {
		events(event.Message{Level: event.Warning, Text: "not all lists of the distribution's files could be read: " + err.Error()})
	}
	return finder.Advice(l.root, err == nil)
}

// buildFailures lists the failed builds that an error tells of.
func buildFailures(err error) []*engine.BuildFailed {
	switch e := err.(type) {
	case *engine.BuildFailed:
		return []*engine.BuildFailed{e}
	case interface{ Unwrap() error }:
		return buildFailures(e.Unwrap())
	case interface{ Unwrap() []error }:
		var list []*engine.BuildFailed
		for _, err := range e.Unwrap() {
			list = append(list, buildFailures(err)...)
		}
		return list
	}
	return nil
}

// missingItems reads what a build did not find where it is told most likely: at the end of its log, else further up.
func missingItems(f *engine.BuildFailed) []missing.Item {
	if f.Reason != engine.Exited {
		return nil
	}
	items := missing.Read(f.Log)
	if len(items) > 0 || f.LogPath == "" {
		return items
	}
	log, err := os.Open(f.LogPath)
	if err != nil {
		return nil // the end of it is all there is
	}
	defer log.Close()
	if info, err := log.Stat(); err == nil && info.Size() > logEnd {
		if _, err := log.Seek(-logEnd, io.SeekEnd); err != nil {
			return nil
		}
	}
	text, err := io.ReadAll(io.LimitReader(log, logEnd))
	if err != nil {
		return nil
	}
	return missing.Read(strings.Split(string(text), "\n"))
}

// rootOf is the root that a node is built in, as the recipe names it. Roots of equal packages are one node, so the component's
// own word counts first.
func rootOf(n *dag.Node, r *recipe.Recipe) (missing.Root, bool) {
	for _, in := range n.Inputs {
		if in.Kind != dag.Root {
			continue
		}
		name := strings.TrimPrefix(in.Name, "root ")
		if c, ok := r.Components[n.Component]; ok {
			name = c.Root
		}
		root := missing.Root{Name: name, Suites: r.Roots[name].Suites}
		for _, deb := range in.Inputs {
			pkg, _, _ := strings.Cut(deb.Name, "_")
			root.Has = append(root.Has, pkg)
		}
		return root, true
	}
	return missing.Root{}, false
}
