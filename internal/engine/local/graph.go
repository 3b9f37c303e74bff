package local

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"headwater/internal/nix"
	"headwater/internal/nix/drv"
	"headwater/internal/store"
)

// referenceGraphs describes parts of a builder's input closure to it (exportReferencesGraph).
type referenceGraphs struct {
	store   *store.Store
	closure []nix.StorePath // sorted
}

// graphFault is an error of the store, not of what the derivation asks.
type graphFault struct{ err error }

func (f *graphFault) Error() string { return f.err.Error() }

// paths are the closure of the given ones, and of the outputs of all derivations among them; sorted.
func (g referenceGraphs) paths(ctx context.Context, of []nix.StorePath) ([]nix.StorePath, error) {
	for _, p := range of {
		if _, ok := slices.BinarySearch(g.closure, p); !ok {
			return nil, fmt.Errorf("exportReferencesGraph: %s is not in the input closure", p)
		}
	}
	all, err := g.store.Closure(ctx, of, false)
	if err != nil {
		return nil, &graphFault{err}
	}
	var outputs []nix.StorePath
	for _, p := range all {
		if !p.IsDerivation() {
			continue
		}
		text, err := os.ReadFile(g.store.RealPath(p))
		if err != nil {
			return nil, &graphFault{err}
		}
		d, err := drv.Parse(strings.TrimSuffix(p.Name(), ".drv"), text)
		if err != nil {
			return nil, &graphFault{err}
		}
		for _, o := range d.Outputs {
			outputs = append(outputs, o.Path)
		}
	}
	if len(outputs) > 0 {
		slices.Sort(outputs) // a map has no order
		more, err := g.store.Closure(ctx, outputs, false)
		if err != nil {
			return nil, &graphFault{err}
		}
		all = append(all, more...)
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// text is the form that nix-store --register-validity reads, without derivers and hashes.
func (g referenceGraphs) text(ctx context.Context, of nix.StorePath) (string, error) {
	paths, err := g.paths(ctx, []nix.StorePath{of})
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, p := range paths {
		info, err := g.store.Query(ctx, p)
		if err != nil {
			return "", &graphFault{err}
		}
		fmt.Fprintf(&b, "%s\n\n%d\n", p, len(info.Refs))
		for _, r := range slices.Sorted(slices.Values(info.Refs)) {
			b.WriteString(string(r) + "\n")
		}
	}
	return b.String(), nil
}

// json is the form of structured attributes: one object for each path.
func (g referenceGraphs) json(ctx context.Context, of []nix.StorePath) ([]any, error) {
	paths, err := g.paths(ctx, of)
	if err != nil {
		return nil, err
	}
	list := make([]any, 0, len(paths))
	for _, p := range paths {
		info, err := g.store.Query(ctx, p)
		if err != nil {
			return nil, &graphFault{err}
		}
		size, err := g.closureSize(ctx, p)
		if err != nil {
			return nil, &graphFault{err}
		}
		refs := []any{}
		for _, r := range slices.Sorted(slices.Values(info.Refs)) {
			refs = append(refs, string(r))
		}
		object := map[string]any{
			"path": string(p), "narHash": info.NARHash.String(), "narSize": number(info.NARSize), "references": refs,
			"closureSize": number(size), "valid": true, // which Nix 2.8 did not say yet
		}
		if !info.CA.IsZero() {
			object["ca"] = info.CA.String()
		}
		list = append(list, object)
	}
	return list, nil
}

func number(n int64) json.Number { return json.Number(strconv.FormatInt(n, 10)) }

func (g referenceGraphs) closureSize(ctx context.Context, p nix.StorePath) (int64, error) {
	closure, err := g.store.Closure(ctx, []nix.StorePath{p}, false)
	if err != nil {
		return 0, err
	}
	var size int64
	for _, q := range closure {
		info, err := g.store.Query(ctx, q)
		if err != nil {
			return 0, err
		}
		size += info.NARSize
	}
	return size, nil
}
