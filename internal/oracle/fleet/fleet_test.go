// Package fleet shows that a fleet of unmodified Nix machines builds a graph of Headwater's as the local engine does.
// docs/fleet.md describes such a fleet; these tests set one up: a coordinator and two builders, each with a store of its own,
// that reach one another by ssh.
package fleet_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/dag"
	"headwater/internal/ecosystem/ecosystemtest"
	"headwater/internal/ecosystem/plain"
	"headwater/internal/engine"
	"headwater/internal/engine/local"
	"headwater/internal/hosttest"
	"headwater/internal/nix"
	"headwater/internal/nix/nar"
	"headwater/internal/store"
)

func TestMain(m *testing.M) { ecosystemtest.Main(m) }

// fleet is a coordinator, which builds nothing itself, and two builders, which build one derivation at a time each.
type fleet struct {
	t           *testing.T
	project     *ecosystemtest.Project
	here        *store.Store // in which the local engine builds the graph meanwhile
	built       chan error   // how that ended
	coordinator *hosttest.Host
	left, right *hosttest.Host
}

// releases are those of a fleet's machines.
type releases struct{ coordinator, left, right hosttest.Release }

// newFleet sets up a fleet. The command is all that the coordinator may run at the builders; the parameters are added to
// their addresses.
func newFleet(t *testing.T, r releases, parameters, command string) *fleet {
	f := &fleet{t: t, project: ecosystemtest.Open(t, "testdata/parts", plain.New()), built: make(chan error, 1)}
	f.project.Build(f.starts()...)
	f.here = f.newStore()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		e := local.New(local.Config{Store: f.here})
		_, err := e.Realise(ctx, []*dag.Node{f.goal()}, engine.Options{Jobs: 8})
		f.built <- errors.Join(err, e.Close())
	}()
	t.Cleanup(func() { cancel(); <-ended })
	// Nix asks again after five seconds, by default, whether a builder is free.
	f.coordinator = hosttest.New(t, "coordinator", r.coordinator, "max-jobs = 0", "build-poll-interval = 1",
		"builders = ssh-ng://left"+parameters+" x86_64-linux - 1 1 ; ssh-ng://right"+parameters+" x86_64-linux - 1 1")
	f.left, f.right = hosttest.New(t, "left", r.left), hosttest.New(t, "right", r.right)
	for _, h := range []*hosttest.Host{f.left, f.right} {
		h.ServeSSH(t, f.coordinator)
		restrict(t, h, command)
	}
	return f
}

// restrict lets those who may sign in to a machine run one command, and do nothing else.
func restrict(t *testing.T, h *hosttest.Host, command string) {
	t.Helper()
	const file = "home/.ssh/authorized_keys"
	keys, err := os.ReadFile(filepath.Join(h.Dir, file))
	if err != nil {
		t.Fatal(err)
	}
	h.Write(t, file, `restrict,command="`+command+`" `+string(keys))
}

func (f *fleet) goal() *dag.Node { return f.project.Graph.Package }

// parts are the components that need no other.
func (f *fleet) parts() []string { return []string{"a", "b", "c", "d", "e"} }

// starts are the nodes that builds start from: content-addressed objects.
func (f *fleet) starts() (names []string) {
	for _, n := range f.project.Graph.Nodes {
		if n.Content != nil {
			names = append(names, n.Name)
		}
	}
	return names
}

// newStore opens a store that has what builds start from.
func (f *fleet) newStore() *store.Store {
	f.t.Helper()
	dir := f.t.TempDir()
	s, err := store.Open(f.t.Context(), dir, store.Options{Now: time.Now})
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() {
		err := errors.Join(s.Close(), filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
			if err == nil && e.IsDir() {
				err = os.Chmod(p, 0o700) // so that it can be deleted
			}
			return err
		}))
		if err != nil {
			f.t.Error(err)
		}
	})
	if err := f.seed(f.t.Context(), s); err != nil {
		f.t.Fatal(err)
	}
	return s
}

// seed puts into a store what builds start from.
func (f *fleet) seed(ctx context.Context, to *store.Store) error {
	for _, name := range f.starts() {
		p := f.project.Node(name).Path()
		info, err := f.project.Store.Query(ctx, p)
		if err != nil {
			return err
		}
		r, w := io.Pipe()
		go func() { w.CloseWithError(nar.Dump(w, f.project.Store.RealPath(p))) }()
		err = to.ImportNAR(ctx, r, info)
		r.Close() // ends the goroutine where the object was there already
		if err != nil {
			return err
		}
	}
	return nil
}

// instantiate puts the derivations into a store.
func (f *fleet) instantiate(ctx context.Context, to *store.Store) error {
	var texts []store.Text
	for _, n := range dag.Closure(f.goal()) {
		if n.Drv == nil {
			continue
		}
		text := store.Text{Name: n.DrvPath.Name(), Content: string(n.Drv.Marshal()), Refs: slices.Clone(n.Drv.InputSrcs)}
		for p := range n.Drv.InputDrvs {
			text.Refs = append(text.Refs, p)
		}
		slices.Sort(text.Refs)
		texts = append(texts, text)
	}
	_, err := to.AddTexts(ctx, texts)
	return err
}

// holds lists the components whose outputs a machine has; with own, those that it built itself.
func (f *fleet) holds(h *hosttest.Host, own bool) (names []string) {
	f.t.Helper()
	h.Store(f.t, func(s *store.Store) error {
		for name, n := range f.project.Graph.Components {
			info, err := s.Query(f.t.Context(), n.Path())
			if errors.Is(err, store.ErrInvalid) {
				continue
			}
			if err != nil {
				return err
			}
			if !own || info.Ultimate {
				names = append(names, name)
			}
		}
		return nil
	})
	slices.Sort(names)
	return names
}

// hashes are the NAR hashes of all that the graph's builds make.
func (f *fleet) hashes(s *store.Store) (map[nix.StorePath]string, error) {
	hashes := map[nix.StorePath]string{}
	for _, n := range f.project.Graph.Nodes {
		if n.Kind != dag.Build && n.Kind != dag.Package {
			continue
		}
		info, err := s.Query(f.t.Context(), n.Path())
		if err != nil {
			return nil, err
		}
		hashes[n.Path()] = info.NARHash.SRI()
	}
	return hashes, nil
}

// check makes sure that the coordinator has got what the local engine makes, and that no store was damaged.
func (f *fleet) check() {
	f.t.Helper()
	if err := <-f.built; err != nil {
		f.t.Fatal(err)
	}
	want, err := f.hashes(f.here)
	if err != nil {
		f.t.Fatal(err)
	}
	f.coordinator.Store(f.t, func(s *store.Store) error {
		got, err := f.hashes(s)
		if err != nil {
			return err
		}
		if diff := cmp.Diff(want, got); diff != "" {
			f.t.Error(diff)
		}
		return nil
	})
	for _, h := range []*hosttest.Host{f.coordinator, f.left, f.right} {
		h.Run(f.t, "nix-store", "--verify", "--check-contents")
	}
}

// distrust has the builders run daemons that take from the coordinator only what needs no signature, or has a builder's.
func (f *fleet) distrust() {
	f.t.Helper()
	lines := "trusted-users = root\nsecret-key-files = /home/build/key\ntrusted-public-keys ="
	for _, h := range []*hosttest.Host{f.left, f.right} {
		h.Run(f.t, "nix-store", "--generate-binary-cache-key", h.Name, "/home/build/key", "/home/build/key.pub")
		lines += " " + h.Run(f.t, "cat", "/home/build/key.pub")
	}
	for _, h := range []*hosttest.Host{f.left, f.right} {
		h.Append(f.t, "home/nix.conf", lines+"\n")
		h.ServeNix(f.t)
	}
}
