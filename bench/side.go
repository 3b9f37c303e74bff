package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"headwater/internal/dag"
	"headwater/internal/engine"
	"headwater/internal/engine/local"
	"headwater/internal/nix"
	"headwater/internal/nix/drv"
	"headwater/internal/nix/nar"
	"headwater/internal/store"
)

// side does Headwater's part of a pair, in a process of its own.
func side(ctx context.Context, args []string) error {
	switch {
	case len(args) == 2 && args[0] == "hash":
		h, _, err := nar.HashPath(args[1])
		if err != nil {
			return err
		}
		_, err = fmt.Println(h)
		return err
	case len(args) == 3 && args[0] == "add":
		return withStore(ctx, args[1], func(s *store.Store) error { return add(ctx, s, args[2]) })
	case len(args) > 2 && args[0] == "build":
		return withStore(ctx, args[1], func(s *store.Store) error { return realise(ctx, s, args[2:]) })
	case len(args) == 3 && args[0] == "instantiate":
		n, err := strconv.Atoi(args[2])
		if err != nil {
			return err
		}
		return instantiateSide(ctx, args[1], n)
	}
	return fmt.Errorf("unknown side %q", args)
}

func withStore(ctx context.Context, dir string, f func(*store.Store) error) error {
	s, err := store.Open(ctx, dir, store.Options{Now: time.Now})
	if err != nil {
		return err
	}
	return errors.Join(f(s), s.Close())
}

// add imports a tree as nix-store --add does: it is hashed for its path and copied.
func add(ctx context.Context, s *store.Store, tree string) error {
	hash, size, err := nar.HashPath(tree)
	if err != nil {
		return err
	}
	ca := nix.ContentAddress{Method: nix.NAR, Hash: hash}
	p, err := nix.FixedPath(filepath.Base(tree), ca, nil, false)
	if err != nil {
		return err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	dumped := make(chan error, 1)
	go func() { dumped <- errors.Join(nar.Dump(w, tree), w.Close()) }()
	err = s.ImportNAR(ctx, r, store.PathInfo{Path: p, NARHash: hash, NARSize: size, CA: ca})
	return errors.Join(err, r.Close(), <-dumped)
}

func realise(ctx context.Context, s *store.Store, paths []string) error {
	drvs := make([]nix.StorePath, len(paths))
	for i, p := range paths {
		var err error
		if drvs[i], err = nix.ParseStorePath(p); err != nil {
			return err
		}
	}
	goals, err := local.Load(ctx, s, drvs...)
	if err != nil {
		return err
	}
	_, err = local.New(local.Config{Store: s}).Realise(ctx, goals, engine.Options{})
	return err
}

// builderSource is a builder that does next to nothing, so that what is measured is the engine.
const builderSource = `package main
import "os"
func main() { if err := os.WriteFile(os.Getenv("out"), []byte(os.Getenv("name")), 0o644); err != nil { os.Exit(1) } }
`

// fiftyBuilds makes a store that has 50 derivations which need nothing but a static builder, and tells their paths.
func fiftyBuilds(ctx context.Context, dir string) ([]string, error) {
	src := dir + "-src"
	if err := os.MkdirAll(filepath.Join(src, "out"), 0o755); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(src, "main.go"), []byte(builderSource), 0o644); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", filepath.Join(src, "out", "builder"), filepath.Join(src, "main.go"))
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GO111MODULE=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	var paths []string
	err := withStore(ctx, dir, func(s *store.Store) error {
		var err error
		paths, err = writeBuilds(ctx, s, filepath.Join(src, "out"))
		return err
	})
	return paths, err
}

func writeBuilds(ctx context.Context, s *store.Store, tool string) ([]string, error) {
	hash, _, err := nar.HashPath(tool)
	if err != nil {
		return nil, err
	}
	p, err := nix.FixedPath("out", nix.ContentAddress{Method: nix.NAR, Hash: hash}, nil, false)
	if err != nil {
		return nil, err
	}
	if err := add(ctx, s, tool); err != nil {
		return nil, err
	}
	m := new(dag.Maker)
	var texts []store.Text
	for i := range 50 {
		name := fmt.Sprintf("trivial-%d", i)
		n, err := m.Derivation(dag.Node{Name: name, Drv: &drv.Derivation{
			Name: name, System: "x86_64-linux", Builder: string(p) + "/builder", InputSrcs: []nix.StorePath{p},
			Outputs: map[string]drv.Output{"out": {}}, Env: map[string]string{"name": name},
		}})
		if err != nil {
			return nil, err
		}
		texts = append(texts, store.Text{Name: name + ".drv", Content: string(n.Drv.Marshal()), Refs: []nix.StorePath{p}})
	}
	added, err := s.AddTexts(ctx, texts)
	if err != nil {
		return nil, err
	}
	paths := make([]string, len(added))
	for i, a := range added {
		paths[i] = string(a)
	}
	return paths, nil
}
