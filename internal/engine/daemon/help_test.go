package daemon_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mvdan.cc/sh/v3/shell"

	"headwater/internal/artifact"
	"headwater/internal/dag"
	"headwater/internal/engine"
	"headwater/internal/engine/daemon"
	"headwater/internal/engine/enginetest"
	"headwater/internal/engine/local"
	"headwater/internal/event"
	"headwater/internal/nix"
	"headwater/internal/nix/drv"
	"headwater/internal/nixtest"
	"headwater/internal/sandbox"
	"headwater/internal/store"
	"headwater/internal/store/storetest"
)

// By its name, this test binary is a program that the engine starts: nix-daemon (the tests' real Nix), or an ssh that has the
// one machine there is.
func TestMain(m *testing.M) {
	sandbox.RunInit()
	var err error
	name := filepath.Base(os.Args[0])
	size, small := strings.CutPrefix(name, smallPrefix)
	mountSize, mount := strings.CutPrefix(name, mountPrefix)
	switch {
	case small:
		err = beSmall(size, os.Args[1:])
	case mount:
		err = beMounted(mountSize, os.Args[1:])
	case name == "nix-daemon":
		err = beDaemon(os.Args[1:])
	case name == "ssh":
		err = beSSH(os.Args[1:])
	default:
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// program is how real Nix's daemon is started.
type program struct {
	Path      string
	Args, Env []string
}

const (
	programVariable = "HEADWATER_TEST_DAEMON"
	sshVariable     = "HEADWATER_TEST_SSH_LOG"
)

func beDaemon(args []string) error {
	var p program
	if err := json.Unmarshal([]byte(os.Getenv(programVariable)), &p); err != nil {
		return err
	}
	return syscall.Exec(p.Path, append(p.Args, args...), p.Env)
}

// beSSH notes its arguments and does what the other machine's shell would.
func beSSH(args []string) error {
	if err := os.WriteFile(os.Getenv(sshVariable), []byte(strings.Join(args, "\n")), 0o644); err != nil {
		return err
	}
	words, err := shell.Fields(args[len(args)-1], nil)
	if err != nil {
		return err
	}
	if words[0] != "nix-daemon" {
		return fmt.Errorf("%s: command not found", words[0])
	}
	return beDaemon(words[1:])
}

// graph is one under construction. It can be realised in any store.
type graph struct {
	t     testing.TB
	maker dag.Maker
	tool  *dag.Node
}

func newGraph(t testing.TB) *graph {
	t.Helper()
	text, err := enginetest.Builder()
	if err != nil {
		t.Fatal(err)
	}
	g := &graph{t: t}
	g.tool = g.source("tool", text, 0o555)
	return g
}

// source makes a content-addressed object of a file.
func (g *graph) source(name, text string, mode os.FileMode) *dag.Node {
	g.t.Helper()
	return enginetest.Node(g.t, &g.maker, name, text, mode)
}

// drv makes a derivation whose builder is the tool.
func (g *graph) drv(name string, args []string, inputs ...*dag.Node) *dag.Node {
	return g.outputs(name, []string{"out"}, args, inputs...)
}

func (g *graph) outputs(name string, outputs, args []string, inputs ...*dag.Node) *dag.Node {
	g.t.Helper()
	d := &drv.Derivation{
		Name: name, System: "x86_64-linux", Builder: string(g.tool.Path()), Args: args, Env: map[string]string{"name": name},
		InputSrcs: []nix.StorePath{g.tool.Path()}, InputDrvs: map[nix.StorePath][]string{}, Outputs: map[string]drv.Output{},
	}
	for _, o := range outputs {
		d.Outputs[o] = drv.Output{}
	}
	for _, in := range inputs {
		if in.Drv != nil {
			d.InputDrvs[in.DrvPath] = in.Drv.OutputNames()
		} else {
			d.InputSrcs = append(d.InputSrcs, in.Path())
		}
	}
	n, err := g.maker.Derivation(dag.Node{Kind: dag.Build, Name: name, Drv: d, Inputs: append([]*dag.Node{g.tool}, inputs...)})
	if err != nil {
		g.t.Fatal(err)
	}
	return n
}

// fetch makes a download of a text.
func (g *graph) fetch(name, text string) *dag.Node {
	g.t.Helper()
	n, err := g.maker.Fetch(artifact.Artifact{Ecosystem: artifact.URL, Name: name, Version: "1", File: name, Hash: nix.Sum(nix.SHA512, []byte(text))})
	if err != nil {
		g.t.Fatal(err)
	}
	return n
}

func (g *graph) text(name, content string, refs ...*dag.Node) *dag.Node {
	g.t.Helper()
	n, err := g.maker.Text(name, content, refs...)
	if err != nil {
		g.t.Fatal(err)
	}
	return n
}

// service is a small graph with a bit of everything, and what its downloads are.
func (g *graph) service() (goal *dag.Node, downloads map[string]string) {
	downloads = map[string]string{"one.tar": "first download", "two.tar": "second download"}
	one, two := g.fetch("one.tar", downloads["one.tar"]), g.fetch("two.tar", downloads["two.tar"])
	conf := g.text("service.conf", "source = "+string(g.tool.Path())+"\n", g.tool)
	src := g.source("src", "source\n", 0o444)
	deps := g.outputs("deps", []string{"out", "dev"}, []string{"shell", "write $out " + string(one.Path()), "mkdir $dev/lib", "write $dev/lib/self $dev and $out"}, one)
	lib := g.drv("lib", []string{"concat", string(one.Path()), string(two.Path()), string(src.Path())}, one, two, src)
	goal = g.outputs("service", []string{"out", "doc"}, []string{"shell", "mkdir $out/bin", "write $out/bin/service " + string(deps.Outputs["dev"]) + " " + string(lib.Path()),
		"link $out/conf " + string(conf.Path()), "write $doc for " + string(deps.Path())}, deps, lib, conf, src)
	return goal, downloads
}

// lab is a store with the local engine on it, and where a Nix daemon is.
type lab struct {
	t         testing.TB
	store     *store.Store
	downloads map[string]string                            // what can be downloaded, by name
	before    func(ctx context.Context, name string) error // a download begins; nil does nothing
	getenv    map[string]string
	environ   []string
	events    recorder
	nix       *nixtest.Nix
}

func newLab(t testing.TB, downloads map[string]string) *lab {
	t.Helper()
	s := storetest.Open(t, storeDir(t))
	return &lab{t: t, store: s, downloads: downloads, getenv: map[string]string{}}
}

// storeDir is a folder that can be deleted though what is in it cannot be written to.
func storeDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "hw") // not t.TempDir: a socket's path has to be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		storetest.Removable(dir)
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func (l *lab) fetch(ctx context.Context, a artifact.Artifact, dst string, progress func(done, total int64)) (int64, error) {
	if l.before != nil {
		if err := l.before(ctx, a.Name); err != nil {
			return 0, err
		}
	}
	text, ok := l.downloads[a.Name]
	if !ok {
		return 0, fmt.Errorf("%s cannot be had", a.Name)
	}
	progress(int64(len(text)), int64(len(text)))
	return int64(len(text)), os.WriteFile(dst, []byte(text), 0o644)
}

func (l *lab) local() *local.Engine { return local.New(local.Config{Store: l.store, Fetch: l.fetch}) }

// use makes a release of Nix the programs nix-daemon and ssh. It returns the folder that has them.
func (l *lab) use(n *nixtest.Nix, settings ...string) string {
	l.t.Helper()
	self, err := os.Executable()
	dir := l.t.TempDir()
	if err == nil {
		err = errors.Join(os.Symlink(self, filepath.Join(dir, "nix-daemon")), os.Symlink(self, filepath.Join(dir, "ssh")))
	}
	cmd := n.Command(l.t.Context(), "nix-daemon")
	for i, v := range cmd.Env {
		if strings.HasPrefix(v, "NIX_CONFIG=") {
			cmd.Env[i] += "\n" + strings.Join(settings, "\n")
		}
	}
	p, jsonErr := json.Marshal(program{cmd.Path, cmd.Args, cmd.Env})
	if err := errors.Join(err, jsonErr); err != nil {
		l.t.Fatal(err)
	}
	l.environ = []string{programVariable + "=" + string(p), sshVariable + "=" + filepath.Join(dir, "ssh.log")}
	l.getenv["PATH"], l.nix = dir, n
	return dir
}

// listen has the release of Nix that is in use listen at a socket, on the store in a folder.
func (l *lab) listen(storeDir string) (address string) {
	l.t.Helper()
	var p program
	if err := json.Unmarshal([]byte(strings.TrimPrefix(l.environ[0], programVariable+"=")), &p); err != nil {
		l.t.Fatal(err)
	}
	l.nix.Run(l.t, "nix-store", "--store", storeDir, "--init") // two connections at once would fail to make one
	socket := filepath.Join(storeDir, "socket")
	var said strings.Builder
	cmd := &exec.Cmd{Path: p.Path, Args: append(p.Args, "--daemon", "--store", storeDir), Env: append(p.Env, "NIX_DAEMON_SOCKET_PATH="+socket), Stderr: &said, WaitDelay: 5 * time.Second}
	if err := cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if l.t.Failed() {
			l.t.Log(said.String())
		}
	})
	for range 1000 {
		if c, err := net.Dial("unix", socket); err == nil {
			c.Close()
			return "unix://" + socket
		}
		time.Sleep(10 * time.Millisecond)
	}
	l.t.Fatalf("the daemon does not listen: %s", &said)
	return ""
}

// engine is the daemon at an address.
func (l *lab) engine(address string) *daemon.Engine {
	l.t.Helper()
	a, err := daemon.ParseAddress(address, "/nonexistent/socket")
	if err != nil {
		l.t.Fatal(err)
	}
	return daemon.New(daemon.Config{Address: a, Store: l.store, Local: l.local(), Getenv: func(k string) string { return l.getenv[k] }, Environ: l.environ})
}

func (l *lab) realise(address string, opts engine.Options, goals ...*dag.Node) (engine.Result, error) {
	l.t.Helper()
	opts.Events = l.events.sink
	return l.engine(address).Realise(l.t.Context(), goals, opts)
}

func (l *lab) build(address string, goals ...*dag.Node) engine.Result {
	l.t.Helper()
	r, err := l.realise(address, engine.Options{}, goals...)
	if err != nil {
		l.t.Fatal(errorText(err))
	}
	return r
}

func errorText(err error) string {
	text := fmt.Sprint(err)
	var f *engine.BuildFailed
	if errors.As(err, &f) {
		text += "\n" + f.Tail()
	}
	return text
}

// closure is the NAR hash of each path that the goals' outputs need.
func (l *lab) closure(goals ...*dag.Node) map[nix.StorePath]string {
	l.t.Helper()
	var outputs []nix.StorePath
	for _, g := range goals {
		for _, p := range g.Outputs {
			outputs = append(outputs, p)
		}
	}
	paths, err := l.store.Closure(l.t.Context(), outputs, false)
	if err != nil {
		l.t.Fatal(err)
	}
	hashes := map[nix.StorePath]string{}
	for _, p := range paths {
		info, err := l.store.Query(l.t.Context(), p)
		if err != nil {
			l.t.Fatal(err)
		}
		hashes[p] = info.NARHash.SRI() + fmt.Sprint(info.Refs)
	}
	return hashes
}

// clean makes sure that nothing is left of work, that what is valid is whole, and that the outputs of nodes are not valid.
func (l *lab) clean(invalid ...*dag.Node) {
	l.t.Helper()
	r, err := l.store.Verify(l.t.Context(), store.VerifyOptions{Contents: true})
	if err != nil {
		l.t.Fatal(err)
	}
	if len(r.Problems) > 0 || len(r.Leftovers) > 0 {
		l.t.Errorf("problems %v, leftovers %v", r.Problems, r.Leftovers)
	}
	dirs, err := filepath.Glob(filepath.Join(l.store.Dir(), "nix/var/headwater/tmp/*/*"))
	if err != nil || len(dirs) > 0 {
		l.t.Errorf("temporary folders are left: %v (%v)", dirs, err)
	}
	for _, n := range invalid {
		for _, p := range n.Outputs {
			if v, err := l.store.Valid(l.t.Context(), p); err != nil || len(v) > 0 {
				l.t.Errorf("%s is valid (%v)", p, err)
			}
		}
	}
}

func names(nodes []*dag.Node) []string {
	out := []string{}
	for _, n := range nodes {
		out = append(out, n.Name)
	}
	return out
}

// recorder keeps events.
type recorder struct {
	mu     sync.Mutex
	events []event.Event
}

func (r *recorder) sink(e event.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

func (r *recorder) take() []event.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	events := r.events
	r.events = nil
	return events
}
