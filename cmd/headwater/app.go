package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"golang.org/x/term"

	"headwater/internal/ecosystem/all"
	"headwater/internal/graph"
	"headwater/internal/lock"
	"headwater/internal/recipe"
	"headwater/internal/source"
	"headwater/internal/store"
	"headwater/internal/ui"
)

// The files of an operator's folder.
const (
	recipeFile = "headwater.yaml"
	lockFile   = "headwater.lock"
)

// app is what all commands share: global flags and the outside world.
type app struct {
	storeDir      string
	json, verbose bool

	stdout, stderr io.Writer
	getenv         func(string) string
	now            func() time.Time
}

func newApp() *app {
	return &app{stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv, now: time.Now}
}

func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}

// xdg is a folder of the user's, by the XDG Base Directory specification.
func (a *app) xdg(variable, fallback string) string {
	if dir := a.getenv(variable); filepath.IsAbs(dir) {
		return filepath.Join(dir, "headwater")
	}
	return filepath.Join(a.getenv("HOME"), fallback, "headwater")
}

func (a *app) defaultStore() string { return a.xdg("XDG_DATA_HOME", ".local/share") }

// renderer shows events until its Close.
func (a *app) renderer() ui.Renderer {
	if a.json {
		return ui.JSON(a.stderr)
	}
	t := ui.Terminal{Now: a.now, Logs: a.verbose}
	if f, ok := a.stderr.(*os.File); ok && term.IsTerminal(int(f.Fd())) && a.getenv("TERM") != "dumb" {
		t.Width = 80
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
			t.Width = w
		}
	}
	return ui.Text(a.stderr, t)
}

func (a *app) openStore(ctx context.Context) (*store.Store, error) {
	return store.Open(ctx, a.storeDir, store.Options{Now: a.now})
}

// project is an operator's folder, read.
type project struct {
	dir    string
	recipe *recipe.Recipe
	tree   *source.Tree
	lock   *lock.File // nil if there is none
}

func openProject(args []string) (*project, error) {
	p := &project{dir: "."}
	if len(args) > 0 {
		p.dir = args[0]
	}
	name := filepath.Join(p.dir, recipeFile)
	data, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &inputError{fmt.Errorf("read recipe: %w", err), "give the folder that holds " + recipeFile}
	}
	if err != nil {
		return nil, fmt.Errorf("read recipe: %w", err)
	}
	if p.recipe, err = recipe.Parse(data); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	src := filepath.Join(p.dir, filepath.FromSlash(p.recipe.Source))
	if p.tree, err = source.Open(src); err != nil {
		return nil, &inputError{err, "\"source\" in " + name + " is relative to that file's folder"}
	}
	name = filepath.Join(p.dir, lockFile)
	data, err = os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read lock: %w", err)
	}
	if p.lock, err = lock.Parse(data); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return p, nil
}

// openGraph reads an operator's folder and derives its build graph.
func openGraph(args []string) (*project, *graph.Graph, error) {
	p, err := openProject(args)
	if err != nil {
		return nil, nil, err
	}
	if p.lock == nil {
		return nil, nil, &inputError{fmt.Errorf("%s has no %s", p.dir, lockFile), "run headwater lock " + p.dir}
	}
	g, err := graph.New(graph.Input{Recipe: p.recipe, Lock: p.lock, Source: p.tree, Ecosystems: all.Ecosystems()})
	return p, g, err
}
