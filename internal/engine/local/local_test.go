package local_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"headwater/internal/artifact"
	"headwater/internal/dag"
	"headwater/internal/engine"
	"headwater/internal/engine/enginetest"
	"headwater/internal/engine/local"
	"headwater/internal/event"
	"headwater/internal/nix"
	"headwater/internal/nix/drv"
	"headwater/internal/sandbox"
	"headwater/internal/store"
	"headwater/internal/store/storetest"
)

func TestMain(m *testing.M) {
	sandbox.RunInit()
	os.Exit(m.Run())
}

// lab is a store, an engine on it, and a graph under construction. Its one builder, testdata/builder, is the content-addressed
// object "tool".
type lab struct {
	t      testing.TB
	store  *store.Store
	maker  dag.Maker
	tool   *dag.Node
	config local.Config
}

func newLab(t testing.TB) *lab { return openLab(t, storetest.Dir(t)) }

func openLab(t testing.TB, dir string) *lab {
	t.Helper()
	program, err := enginetest.Builder()
	if err != nil {
		t.Fatal(err)
	}
	return openLabWith(t, dir, program)
}

func openLabWith(t testing.TB, dir, program string) *lab {
	t.Helper()
	s := storetest.Open(t, dir)
	l := &lab{t: t, store: s, config: local.Config{Store: s}}
	l.tool = l.tree("tool", program, 0o555)
	return l
}

// tree makes a content-addressed object of a file.
func (l *lab) tree(name, text string, mode os.FileMode) *dag.Node {
	l.t.Helper()
	return enginetest.Node(l.t, &l.maker, name, text, mode)
}

// drv makes a derivation whose builder is the tool. env names further variables; inputs are nodes that it may see.
func (l *lab) drv(name string, args []string, env map[string]string, inputs ...*dag.Node) *dag.Node {
	return l.outputs(name, []string{"out"}, args, env, inputs...)
}

func (l *lab) outputs(name string, outputs, args []string, env map[string]string, inputs ...*dag.Node) *dag.Node {
	l.t.Helper()
	d := &drv.Derivation{
		Name: name, System: "x86_64-linux", Builder: string(l.tool.Path()), Args: args, Env: map[string]string{"name": name},
		InputSrcs: []nix.StorePath{l.tool.Path()}, InputDrvs: map[nix.StorePath][]string{}, Outputs: map[string]drv.Output{},
	}
	for _, o := range outputs {
		d.Outputs[o] = drv.Output{}
	}
	for k, v := range env {
		d.Env[k] = v
	}
	n := dag.Node{Kind: dag.Build, Name: name, Drv: d, Inputs: append([]*dag.Node{l.tool}, inputs...)}
	for _, in := range inputs {
		if in.Drv != nil {
			d.InputDrvs[in.DrvPath] = in.Drv.OutputNames()
		} else {
			d.InputSrcs = append(d.InputSrcs, in.Path())
		}
	}
	made, err := l.maker.Derivation(n)
	if err != nil {
		l.t.Fatal(err)
	}
	return made
}

// fixed makes a fixed-output derivation.
func (l *lab) fixed(name string, ca nix.ContentAddress, args []string, env map[string]string) *dag.Node {
	l.t.Helper()
	d := &drv.Derivation{
		Name: name, System: "x86_64-linux", Builder: string(l.tool.Path()), Args: args, Env: map[string]string{"name": name},
		InputSrcs: []nix.StorePath{l.tool.Path()}, Outputs: map[string]drv.Output{"out": {CA: ca}},
	}
	for k, v := range env {
		d.Env[k] = v
	}
	n, err := l.maker.Derivation(dag.Node{Kind: dag.Build, Name: name, Drv: d, Inputs: []*dag.Node{l.tool}})
	if err != nil {
		l.t.Fatal(err)
	}
	return n
}

func (l *lab) realise(opts engine.Options, goals ...*dag.Node) (engine.Result, error) {
	return local.New(l.config).Realise(l.t.Context(), goals, opts)
}

// build realises the goals and returns what is in the first's output "out".
func (l *lab) build(goals ...*dag.Node) string {
	l.t.Helper()
	if _, err := l.realise(engine.Options{}, goals...); err != nil {
		l.t.Fatal(errorText(err))
	}
	b, err := os.ReadFile(l.store.RealPath(goals[0].Path()))
	if err != nil {
		l.t.Fatal(err)
	}
	return string(b)
}

func errorText(err error) string {
	text := fmt.Sprint(err)
	var f *engine.BuildFailed
	if errors.As(err, &f) {
		text += "\n" + f.Tail()
	}
	return text
}

// fails realises the goals and returns the builder's failure.
func (l *lab) fails(opts engine.Options, goals ...*dag.Node) *engine.BuildFailed {
	l.t.Helper()
	_, err := l.realise(opts, goals...)
	var f *engine.BuildFailed
	if !errors.As(err, &f) {
		l.t.Fatalf("want a failed build, have %v", err)
	}
	l.clean()
	for _, p := range f.Node.Outputs {
		if v, err := l.store.Valid(l.t.Context(), p); err != nil || len(v) > 0 {
			l.t.Errorf("output %s is valid although the build failed (%v)", p, err)
		}
	}
	return f
}

var verifyContents = store.VerifyOptions{Contents: true}

// clean makes sure that nothing is left of work: no lock, no temporary folder, no output that is not valid.
func (l *lab) clean() {
	l.t.Helper()
	r, err := l.store.Verify(l.t.Context(), verifyContents)
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
}

func names(nodes []*dag.Node) string {
	var out []string
	for _, n := range nodes {
		out = append(out, n.Name)
	}
	slices.Sort(out)
	return strings.Join(out, " ")
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

func (r *recorder) lines() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var lines []string
	for _, e := range r.events {
		if l, ok := e.(event.Log); ok {
			lines = append(lines, l.Line)
		}
	}
	return lines
}

func TestBuildsAChainAndThenNothing(t *testing.T) {
	l := newLab(t)
	a := l.drv("a", []string{"write", "A"}, nil)
	b := l.drv("b", []string{"concat", string(a.Path()), string(a.Path())}, nil, a)
	c := l.drv("c", []string{"concat", string(b.Path()), string(a.Path())}, nil, b, a)
	r, err := l.realise(engine.Options{}, c)
	if err != nil {
		t.Fatal(errorText(err))
	}
	if got := names(r.Realised); got != "a b c tool" {
		t.Errorf("realised %s", got)
	}
	if got := l.build(c); got != "AAA" {
		t.Errorf("content %q", got)
	}
	l.clean()
	r, err = l.realise(engine.Options{}, c)
	if err != nil || len(r.Realised)+len(r.Reused) > 0 {
		t.Errorf("the second time: %+v, %v", r, err)
	}
	info, err := l.store.Query(t.Context(), c.Path())
	if err != nil || info.Deriver != c.DrvPath || !info.Ultimate {
		t.Errorf("%+v, %v", info, err)
	}
	if v, err := l.store.Valid(t.Context(), a.DrvPath, b.DrvPath, c.DrvPath); err != nil || len(v) != 3 {
		t.Errorf("valid derivations: %v, %v", v, err)
	}
}

func TestFetches(t *testing.T) {
	l := newLab(t)
	content := "downloaded\n"
	a := artifact.Artifact{Ecosystem: artifact.URL, Name: "thing", Version: "1", File: "thing-1.tar", Hash: nix.Sum(nix.SHA256, []byte(content))}
	n, err := l.maker.Fetch(a)
	if err != nil {
		t.Fatal(err)
	}
	var asked []string
	serve := content
	l.config.Fetch = func(_ context.Context, a artifact.Artifact, dst string, progress func(int64, int64)) (int64, error) {
		asked = append(asked, a.Ref()+" "+a.Hash.SRI())
		progress(3, int64(len(serve)))
		return int64(len(serve)), os.WriteFile(dst, []byte(serve), 0o600)
	}
	serve = "something else"
	if f := l.fails(engine.Options{}, n); f.Reason != engine.BadOutput {
		t.Error(f)
	}
	serve = content
	if got := l.build(n); got != content {
		t.Errorf("content %q", got)
	}
	want := a.Ref() + " " + a.Hash.SRI()
	if !slices.Equal(asked, []string{want, want}) {
		t.Errorf("asked for %q", asked)
	}
	info, err := l.store.Query(t.Context(), n.Path())
	if err != nil || info.CA.Hash != a.Hash {
		t.Errorf("%+v, %v", info, err)
	}
	l.clean()
}

func TestFailedFetches(t *testing.T) {
	l := newLab(t)
	n, err := l.maker.Fetch(artifact.Artifact{Ecosystem: artifact.URL, Name: "x", File: "x", Hash: nix.Sum(nix.SHA256, []byte("x"))})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.realise(engine.Options{}, n); err == nil || !strings.Contains(err.Error(), "switched off") {
		t.Error(err)
	}
	gone := errors.New("gone")
	l.config.Fetch = func(_ context.Context, _ artifact.Artifact, dst string, _ func(int64, int64)) (int64, error) {
		return 0, errors.Join(gone, os.WriteFile(dst, []byte("half"), 0o600))
	}
	_, err = l.realise(engine.Options{}, n)
	var failed *engine.BuildFailed
	if !errors.Is(err, gone) || errors.As(err, &failed) {
		t.Error(err)
	}
	l.clean()
}

// What Write makes must be what the node's path says.
func TestRefusesContentThatIsNotWhatItsPathSays(t *testing.T) {
	l := newLab(t)
	n := l.tree("liar", "x", 0o444)
	c := n.Content.(enginetest.File)
	c.Mode = 0o555
	n.Content = c
	_, err := l.realise(engine.Options{}, n)
	var wrong *engine.ContentError
	if !errors.As(err, &wrong) || wrong.Node != n || wrong.Want != c.ContentAddress().Hash && wrong.Have == wrong.Want {
		t.Error(err)
	}
	l.clean()
}
