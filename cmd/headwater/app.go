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
	lock   *lock.File // nil if there is none, or it was not asked for

	recipeText, lockText []byte // lockText is nil if there is no lock
}

// readProject reads an operator's folder, all but what its lock says.
func readProject(args []string) (*project, error) {
	p := &project{dir: "."}
	if len(args) > 0 {
		p.dir = args[0]
	}
	name := filepath.Join(p.dir, recipeFile)
	var err error
	p.recipeText, err = os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &inputError{fmt.Errorf("read recipe: %w", err), "give the folder that holds " + recipeFile}
	}
	if err != nil {
		return nil, fmt.Errorf("read recipe: %w", err)
	}
	if p.recipe, err = recipe.Parse(p.recipeText); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	src := filepath.Join(p.dir, filepath.FromSlash(p.recipe.Source))
	if p.tree, err = source.Open(src); err != nil {
		return nil, &inputError{err, "\"source\" in " + name + " is relative to that file's folder"}
	}
	p.lockText, err = os.ReadFile(filepath.Join(p.dir, lockFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read lock: %w", err)
	}
	return p, nil
}

// openProject reads an operator's folder.
func openProject(args []string) (*project, error) {
	p, err := readProject(args)
	if err != nil {
		return nil, err
	}
	return p, p.parseLock()
}

func (p *project) parseLock() (err error) {
	if p.lockText == nil {
		return nil
	}
	if p.lock, err = lock.Parse(p.lockText); err != nil {
		return fmt.Errorf("%s: %w", filepath.Join(p.dir, lockFile), err)
	}
	return nil
}

// openGraph reads an operator's folder and derives its build graph.
func openGraph(args []string) (*project, *graph.Graph, error) {
	p, err := openProject(args)
	if err != nil {
		return nil, nil, err
	}
	g, err := p.graph()
	return p, g, err
}

// graph derives the build graph.
func (p *project) graph() (*graph.Graph, error) {
	if p.lock == nil {
		return nil, &inputError{fmt.Errorf("%s has no %s", p.dir, lockFile), "run headwater lock " + p.dir}
	}
	return graph.New(graph.Input{Recipe: p.recipe, Lock: p.lock, Source: p.tree, Ecosystems: all.Ecosystems()})
}
