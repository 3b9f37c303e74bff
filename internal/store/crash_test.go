package store_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"headwater/internal/nix"
	"headwater/internal/nix/nar"
	"headwater/internal/store"
	"headwater/internal/store/storetest"
)

// go test -run TestKill ./internal/store -kills 1000 -timeout 30m
var kills = flag.Int("kills", 50, "how many times TestKill kills processes that use a store")

// TestKill kills processes at random moments while they add to a store, share files in it and collect it. Whatever the
// moment, all that is valid must be whole, nothing that was promised lost, and the next process must get on.
func TestKill(t *testing.T) {
	dir, r := storetest.Dir(t), rand.New(rand.NewPCG(1, uint64(*kills)))
	promised := map[string]string{} // root link → path
	said := 0
	// On a busy machine a child may die before it has begun: more rounds see to it that enough is at stake.
	for round := 0; round < *kills || said < *kills/2 && round < 10**kills; round++ {
		children := []*process{startChild(t, nil, "churn", dir, strconv.Itoa(round*2))}
		if round%3 == 0 {
			children = append(children, startChild(t, nil, "churn", dir, strconv.Itoa(round*2+1)))
		}
		time.Sleep(time.Duration(r.IntN(200_000)) * time.Microsecond)
		for _, c := range children {
			c.cmd.Process.Kill()
		}
		for _, c := range children {
			said += c.collectPromises(t, promised)
		}
		survey(t, dir, promised)
		if t.Failed() {
			t.Fatalf("after kill %d", round+1)
		}
	}
	if said < *kills/2 {
		t.Errorf("%d promises in %d rounds: the processes got nothing done", said, *kills)
	}
	t.Logf("%d kills asked for, %d paths promised, %d kept at the end", *kills, said, len(promised))
	nixVerify(t, dir)
	if s := open(t, dir); gc(t, s, store.GCOptions{}).Live == 0 {
		t.Error("nothing is left")
	} else if r := clean(t, s); len(r.Leftovers) > 0 {
		t.Errorf("collected, but left %v", r.Leftovers)
	}
	nixVerify(t, dir)
}

// collectPromises reads what a dead child had said: "+ link path" of a root that keeps a valid path, "- link" before it
// lets go.
func (p *process) collectPromises(t *testing.T, promised map[string]string) (n int) {
	for p.lines.Scan() {
		f := strings.Fields(p.lines.Text())
		switch {
		case len(f) == 3 && f[0] == "+":
			promised[f[1]] = f[2]
			n++
		case len(f) == 2 && f[0] == "-":
			delete(promised, f[1])
		default: // cut off by its death, or not a promise
			t.Logf("child said %q", p.lines.Text())
		}
	}
	p.cmd.Wait()
	if p.errs.Len() > 0 {
		t.Errorf("child: %s", p.errs)
	}
	return n
}

// survey opens the store as the next process would.
func survey(t *testing.T, dir string, promised map[string]string) {
	t.Helper()
	ctx := context.Background()
	s, err := store.Open(ctx, dir, store.Options{Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	clean(t, s)
	for _, p := range promised {
		if !isValid(t, s, nix.StorePath(p)) {
			t.Errorf("%s was promised and is not valid", p)
		}
	}
	_, remove, err := s.TempDir(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := remove(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(filepath.Join(dir, "nix/var/headwater/tmp")); err != nil || len(left) != 2 {
		t.Errorf("temporary folders of dead processes: %v %v", left, err)
	}
}

// churn uses a store without end.
func churn(dir, seed string) error {
	n, err := strconv.ParseUint(seed, 10, 64)
	if err != nil {
		return err
	}
	ctx := context.Background()
	s, err := store.Open(ctx, dir, store.Options{Now: clock, Optimise: n%2 == 0})
	if err != nil {
		return err
	}
	c := &churner{s: s, r: rand.New(rand.NewPCG(n, n)), id: seed}
	for i := 0; ; i++ {
		if err := c.step(ctx, i); err != nil {
			return fmt.Errorf("step %d: %w", i, err)
		}
	}
}

type churner struct {
	s     *store.Store
	r     *rand.Rand
	id    string
	made  []nix.StorePath // by this process, so its temporary roots keep them
	links []string
}

func (c *churner) step(ctx context.Context, i int) error {
	switch k := c.r.IntN(10); {
	case k < 4:
		return c.tree(ctx, i)
	case k < 6:
		return c.texts(ctx, i)
	case k < 7:
		return c.nar(ctx, i)
	case k < 8 && len(c.links) > 0:
		link := c.links[0]
		c.links = c.links[1:]
		fmt.Println("-", link)
		return os.Remove(link)
	case k < 9:
		_, err := c.s.GC(ctx, store.GCOptions{})
		return err
	}
	_, err := c.s.Optimise(ctx)
	return err
}

// promise makes a permanent root and says so.
func (c *churner) promise(ctx context.Context, p nix.StorePath) error {
	c.made = append(c.made, p)
	link := filepath.Join(c.s.Dir(), "nix/var/nix/gcroots/test", c.id+"-"+strconv.Itoa(len(c.made)))
	if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
		return err
	}
	if err := c.s.AddRoot(ctx, link, p); err != nil {
		return err
	}
	c.links = append(c.links, link)
	fmt.Println("+", link, p)
	return nil
}

// write makes a small tree, of which some files are like others', that refers to some of what was made.
func (c *churner) write(at string, i int) (refs []nix.StorePath, err error) {
	for range min(len(c.made), c.r.IntN(3)) {
		refs = append(refs, c.made[c.r.IntN(len(c.made))])
	}
	slices.Sort(refs)
	refs = slices.Compact(refs)
	for k := range 1 + c.r.IntN(6) {
		d := filepath.Join(at, "d"+strconv.Itoa(k%2))
		shared := bytes.Repeat([]byte{byte(c.r.IntN(5))}, 20_000)
		err := errors.Join(os.MkdirAll(d, 0o755), os.WriteFile(filepath.Join(d, "shared"+strconv.Itoa(k)), shared, 0o644),
			os.WriteFile(filepath.Join(d, "own"), fmt.Appendf(nil, "%s %d %d %v", c.id, i, k, refs), 0o755))
		if err != nil {
			return nil, err
		}
	}
	return refs, nil
}

func (c *churner) tree(ctx context.Context, i int) (err error) {
	tmp, remove, err := c.s.TempDir(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	from := filepath.Join(tmp, "x")
	if _, err := c.write(from, i); err != nil {
		return err
	}
	p, err := nix.OutputPath(nix.Sum(nix.SHA256, []byte(c.id+strconv.Itoa(i))), "out", "tree")
	if err != nil {
		return err
	}
	unlock, err := c.s.Lock(ctx, p)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	e, err := store.Examine(ctx, from, append(slices.Clone(c.made), p))
	if err != nil {
		return err
	}
	info := store.PathInfo{Path: p, NARHash: e.NARHash, NARSize: e.NARSize, Refs: e.Refs, Ultimate: true}
	if err := c.s.Install(ctx, []store.Install{{From: from, Info: info}}); err != nil {
		return err
	}
	return c.promise(ctx, p)
}

func (c *churner) texts(ctx context.Context, i int) error {
	texts := make([]store.Text, 1+c.r.IntN(20))
	for k := range texts {
		texts[k] = store.Text{Name: "text", Content: fmt.Sprint(c.id, i, k)}
	}
	texts[0].Content = strconv.Itoa(i % 7) // others make the same
	paths, err := c.s.AddTexts(ctx, texts)
	if err != nil {
		return err
	}
	return c.promise(ctx, paths[c.r.IntN(len(paths))])
}

func (c *churner) nar(ctx context.Context, i int) (err error) {
	tmp, remove, err := c.s.TempDir(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	refs, err := c.write(filepath.Join(tmp, "x"), i)
	if err != nil {
		return err
	}
	var buf bytes.Buffer
	if err := nar.Dump(&buf, filepath.Join(tmp, "x")); err != nil {
		return err
	}
	h := nix.Sum(nix.SHA256, buf.Bytes())
	info := store.PathInfo{NARHash: h, NARSize: int64(buf.Len()), Refs: refs, CA: nix.ContentAddress{Method: nix.NAR, Hash: h}}
	if info.Path, err = nix.FixedPath("nar", info.CA, refs, false); err != nil {
		return err
	}
	if err := c.s.ImportNAR(ctx, io.MultiReader(&buf), info); err != nil {
		return err
	}
	return c.promise(ctx, info.Path)
}
