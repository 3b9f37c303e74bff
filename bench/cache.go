package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"headwater/internal/nix"
	"headwater/internal/nix/narinfo"
	"headwater/internal/nixtest"
	"headwater/internal/store"
)

// cacheBench is a store with a closure, a cache that has it, and a server for that and for what is put.
type cacheBench struct {
	program string // headwater
	nix     *nixtest.Nix
	store   string
	top     nix.StorePath
	secret  string // file
	public  string
	full    string // cache, in a folder
	url     string // of the folder that holds caches
	root    string // that folder
}

// cachePairs push and pull a closure of n paths, over HTTP on loopback and in folders, zstd on both sides. Nix is told not to
// remember across processes what a cache has, since Headwater does not. stop ends the server.
func cachePairs(ctx context.Context, n int, oracle *nixtest.Nix, tmp string) (list []pair, stop func(), err error) {
	b := &cacheBench{nix: oracle, program: filepath.Join(tmp, "headwater-cache"), store: filepath.Join(tmp, "closure"), secret: filepath.Join(tmp, "secret"), full: filepath.Join(tmp, "full"), root: tmp}
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", b.program, "./cmd/headwater")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, nil, fmt.Errorf("build headwater: %w\n%s", err, out)
	}
	key, err := narinfo.GenerateKey("bench.example-1", rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	b.public = key.Public().String()
	if err := os.WriteFile(b.secret, []byte(key.Text()), 0o600); err != nil {
		return nil, nil, err
	}
	err = withStore(ctx, b.store, func(s *store.Store) (err error) {
		b.top, err = makeClosure(ctx, s, n)
		return err
	})
	if err != nil {
		return nil, nil, fmt.Errorf("prepare a closure of %d paths: %w", n, err)
	}
	if out, err := b.push(ctx, "file://"+b.full).CombinedOutput(); err != nil {
		return nil, nil, fmt.Errorf("fill a cache: %w\n%s", err, out)
	}
	l, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		return nil, nil, err
	}
	b.url = "http://" + l.Addr().String()
	server := &http.Server{Handler: http.HandlerFunc(b.serve), ReadHeaderTimeout: time.Minute}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	return b.pairs(ctx, n), func() { server.Close(); <-ended }, nil
}

func (b *cacheBench) pairs(ctx context.Context, n int) []pair {
	folder := func(dir string) string { return "file://" + filepath.Join(dir, "cache") }
	web := func(dir string) string { return b.url + "/" + filepath.Base(dir) + "/cache" }
	full := func(string) string { return b.url + "/full" }
	push := func(name string, to func(string) string) pair {
		return pair{name: fmt.Sprintf(name, n), aim: "≤ 1",
			ours:   func(dir string) *exec.Cmd { return b.push(ctx, to(dir)) },
			theirs: func(dir string) *exec.Cmd { return b.nixPush(ctx, to(dir)) }}
	}
	pull := func(name, from string) pair {
		return pair{name: fmt.Sprintf(name, n), aim: "≤ 1",
			ours: func(dir string) *exec.Cmd {
				return exec.CommandContext(ctx, b.program, "--store", filepath.Join(dir, "store"), "cache", "pull", from, string(b.top), "--trusted-key", b.public)
			},
			theirs: func(dir string) *exec.Cmd {
				return b.nix.Command(ctx, "nix", append(b.options(), "copy", "--from", from, "--to", filepath.Join(dir, "store"), string(b.top))...)
			}}
	}
	return []pair{
		push("push of %d paths that a web server has", full),
		push("push of %d paths to an empty folder", folder),
		push("push of %d paths to an empty web server", web),
		pull("pull of %d paths from a folder", "file://"+b.full),
		pull("pull of %d paths from a web server", b.url+"/full"),
	}
}

func (b *cacheBench) push(ctx context.Context, to string) *exec.Cmd {
	return exec.CommandContext(ctx, b.program, "--store", b.store, "cache", "push", to, "--key-file", b.secret, string(b.top))
}

func (b *cacheBench) nixPush(ctx context.Context, to string) *exec.Cmd {
	return b.nix.Command(ctx, "nix", append(b.options(), "copy", "--store", b.store, "--to", to+"?compression=zstd&secret-key="+b.secret, string(b.top))...)
}

func (b *cacheBench) options() []string {
	return []string{"--option", "narinfo-cache-positive-ttl", "0", "--option", "narinfo-cache-negative-ttl", "0", "--option", "trusted-public-keys", b.public}
}

// serve reads and writes files below the root, as a plain web server that takes what is put.
func (b *cacheBench) serve(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/")
	if !fs.ValidPath(name) {
		http.NotFound(w, r)
		return
	}
	at := filepath.Join(b.root, name)
	if r.Method == http.MethodPut {
		if err := write(at, r); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
		return
	}
	http.ServeFile(w, r, at)
}

func write(at string, r *http.Request) error {
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		return err
	}
	f, err := os.Create(at)
	if err != nil {
		return err
	}
	_, err = f.ReadFrom(r.Body)
	return errors.Join(err, f.Close())
}

// makeClosure makes n paths of Go's source text that refer to one another, about ten deep: mostly small, some of 200 kB, few of
// 2 MB.
func makeClosure(ctx context.Context, s *store.Store, n int) (top nix.StorePath, err error) {
	text, err := sourceText(ctx, 4<<20)
	if err != nil {
		return "", err
	}
	dir, remove, err := s.TempDir(ctx)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, remove()) }()
	var paths []nix.StorePath
	var items []store.Install
	for i := range n {
		size := 20_000
		switch {
		case i%50 == 49:
			size = 2_000_000
		case i%5 == 4:
			size = 200_000
		}
		from := i * 104_729 % (len(text) - size)
		content := bytes.NewBuffer(bytes.Clone(text[from : from+size]))
		refs := []int{i / 2, i * 3 / 4}
		for r := n / 2; i == n-1 && r < i; r++ { // the last needs all
			refs = append(refs, r)
		}
		for _, r := range refs {
			if r >= 0 && r < i {
				fmt.Fprintln(content, paths[r])
			}
		}
		p, err := nix.OutputPath(nix.Sum(nix.SHA256, fmt.Append(nil, i)), "out", fmt.Sprintf("p%d", i))
		if err != nil {
			return "", err
		}
		at := filepath.Join(dir, p.Base())
		if err := os.WriteFile(at, content.Bytes(), 0o644); err != nil {
			return "", err
		}
		e, err := store.Examine(ctx, at, paths)
		if err != nil {
			return "", err
		}
		paths = append(paths, p)
		items = append(items, store.Install{From: at, Info: store.PathInfo{Path: p, NARHash: e.NARHash, NARSize: e.NARSize, Refs: e.Refs, Ultimate: true}})
	}
	return paths[n-1], s.Install(ctx, items) // nobody else uses the store: no locks
}

// sourceText is some of the source of Go.
func sourceText(ctx context.Context, least int) ([]byte, error) {
	root, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return nil, err
	}
	names, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(root)), "src/*/*.go"))
	if err != nil {
		return nil, err
	}
	var text []byte
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		if text = append(text, data...); len(text) >= least {
			return text, nil
		}
	}
	return nil, fmt.Errorf("only %d bytes of source text", len(text))
}
