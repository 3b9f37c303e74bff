package main

import (
	"context"
	_ "embed" // pip.lock
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"headwater/internal/artifact"
	"headwater/internal/dag"
	"headwater/internal/ecosystem/all"
	"headwater/internal/graph"
	"headwater/internal/lock"
	"headwater/internal/nix"
	"headwater/internal/nix/nar"
	"headwater/internal/recipe"
	"headwater/internal/roottest"
	"headwater/internal/source"
	"headwater/internal/store"
)

// service is gatehouse and the store that has it built.
type service struct {
	source string // folder
	store  string
	lock   *lock.File
	graph  *graph.Graph
	infos  []store.PathInfo // of downloads, roots and toolchains, references first
	at     map[string]string
}

func load(ctx context.Context, o options) (s *service, err error) {
	data, err := os.ReadFile(filepath.Join(o.project, "headwater.yaml"))
	if err != nil {
		return nil, err
	}
	r, err := recipe.Parse(data)
	if err != nil {
		return nil, err
	}
	if data, err = os.ReadFile(filepath.Join(o.project, "headwater.lock")); err != nil {
		return nil, err
	}
	s = &service{source: filepath.Join(o.project, r.Source), at: map[string]string{}}
	if s.lock, err = lock.Parse(data); err != nil {
		return nil, err
	}
	tree, err := source.Open(s.source)
	if err != nil {
		return nil, err
	}
	s.graph, err = graph.New(graph.Input{Recipe: r, Lock: s.lock, Source: tree, Ecosystems: all.Ecosystems()})
	if err != nil {
		return nil, err
	}
	s.store = o.store
	if err := s.find(ctx); err != nil {
		return nil, err
	}
	return s, s.pip(ctx)
}

//go:embed pip.lock
var pipLock []byte

// pip finds the root of Python's that has pip too, which Headwater does without.
func (s *service) pip(ctx context.Context) error {
	locked, err := lock.Parse(pipLock)
	if err != nil {
		return err
	}
	s.at["root pip"], err = roottest.Unpacked(ctx, locked, "pip")
	return err
}

// find notes where everything is that comes from outside.
func (s *service) find(ctx context.Context) (err error) {
	st, err := store.Open(ctx, s.store, store.Options{Now: time.Now})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	for _, n := range s.graph.Nodes {
		if n.Kind != dag.Fetch && n.Kind != dag.Root && n.Kind != dag.Toolchain {
			continue
		}
		info, err := st.Query(ctx, n.Path())
		if err != nil {
			return fmt.Errorf("%s is not in the store; build gatehouse there: %w", n.Name, err)
		}
		if len(info.Refs) > 0 {
			return fmt.Errorf("%s refers to %v", n.Name, info.Refs)
		}
		info.Deriver = ""
		s.infos = append(s.infos, info)
		s.at[n.Name] = st.RealPath(n.Path())
	}
	return nil
}

// artifact is where a download is.
func (s *service) artifact(a artifact.Artifact) (string, error) {
	n, err := new(dag.Maker).Fetch(a)
	if err != nil {
		return "", err
	}
	return filepath.Join(s.store, string(n.Path())), nil
}

// cold times headwater build in a store at dir that has nothing but what comes from outside.
func (s *service) cold(ctx context.Context, program, project, dir string) (seconds float64, err error) {
	st, err := store.Open(ctx, dir, store.Options{Now: time.Now})
	if err != nil {
		return 0, err
	}
	for _, info := range s.infos {
		if err := s.copy(ctx, st, info); err != nil {
			return 0, errors.Join(err, st.Close())
		}
	}
	if err := st.Close(); err != nil {
		return 0, err
	}
	seconds, err = timed(exec.CommandContext(ctx, program, "--store", dir, "build", project))
	return seconds, errors.Join(err, removeAll(dir))
}

func (s *service) copy(ctx context.Context, to *store.Store, info store.PathInfo) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	dumped := make(chan error, 1)
	go func() { dumped <- errors.Join(nar.Dump(w, s.real(info.Path)), w.Close()) }()
	err = to.ImportNAR(ctx, r, info)
	return errors.Join(err, r.Close(), <-dumped)
}

func (s *service) real(p nix.StorePath) string { return filepath.Join(s.store, string(p)) }
