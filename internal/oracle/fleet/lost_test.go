package fleet_test

import (
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/engine"
	"headwater/internal/engine/daemon"
	"headwater/internal/engine/local"
	"headwater/internal/hosttest"
	"headwater/internal/store"
)

// attempt is one try to build the goal.
type attempt interface {
	Log() string
	Await(ok func(log string) bool) bool // whether the log came to satisfy ok
	Wait() error
}

// A builder that loses its power in the middle of a build costs what it was building, and nothing else: Nix goes on with the
// other one, fails in the end, and has the rest built when it is asked once more. Here the builders do not trust
// the coordinator, only one another's signatures.
func TestNixLosesABuilder(t *testing.T) {
	t.Parallel()
	f := newFleet(t, releases{hosttest.Current, hosttest.Current, hosttest.Current}, "?remote-store=daemon", "nix-daemon --stdio --store daemon")
	f.distrust()
	f.coordinator.Store(t, func(s *store.Store) error {
		if err := f.seed(t.Context(), s); err != nil {
			return err
		}
		return f.instantiate(t.Context(), s)
	})
	f.loseRight(regexp.MustCompile(`building '/nix/store/\w+-parts-(\w+)-1\.drv' on 'ssh-ng://(\w+)`), func() attempt {
		return f.coordinator.Start(t, "nix-store", "--realise", string(f.goal().DrvPath), "--keep-going")
	})
}

// The same where Headwater asks the coordinator's daemon, as build --engine nix does, and the builders trust the coordinator.
func TestHeadwaterLosesABuilder(t *testing.T) {
	t.Parallel()
	f := newFleet(t, releases{hosttest.Current, hosttest.Current, hosttest.Old}, "", "nix-daemon --stdio")
	socket := f.coordinator.ServeNix(t)
	address, err := daemon.ParseAddress("unix://"+socket+"?max-jobs=0", "")
	if err != nil {
		t.Fatal(err)
	}
	s := f.newStore()
	e := daemon.New(daemon.Config{Address: address, Store: s, Local: local.New(local.Config{Store: s}), Getenv: os.Getenv, Environ: os.Environ()})
	lost, err := f.loseRight(regexp.MustCompile(`(\w+): is built on ssh-ng://(\w+)`), func() attempt { return f.realise(e) })
	var failed *engine.BuildFailed
	if !errors.As(err, &failed) || failed.Node.Name != lost || !slices.Contains(failed.Log, "begin "+lost) {
		t.Errorf("the loss of %s is told as %v", lost, err)
	}
	want, err := f.hashes(f.here)
	if err != nil {
		t.Fatal(err)
	}
	info, err := s.Query(t.Context(), f.goal().Path())
	if err != nil || info.NARHash.SRI() != want[f.goal().Path()] {
		t.Errorf("brought back: %+v, %v", info, err)
	}
}

// loseRight builds the goal, and kills the right builder when it has built one derivation and begun another.
// assigned finds in an attempt's log what was given to whom. It returns what was lost, and how the attempt ended that lost it.
func (f *fleet) loseRight(assigned *regexp.Regexp, try func() attempt) (lost string, err error) {
	f.t.Helper()
	first := try()
	if !first.Await(func(log string) bool { lost = second(log, assigned, f.right.Name); return lost != "" }) {
		f.t.Fatalf("%s got no second build: %v\n%s", f.right.Name, first.Wait(), first.Log())
	}
	f.right.Kill(f.t)
	if err = first.Wait(); err == nil {
		f.t.Errorf("the build lost %s and succeeded\n%s", lost, first.Log())
	}
	rest := slices.DeleteFunc(f.parts(), func(p string) bool { return p == lost })
	if diff := cmp.Diff(rest, f.holds(f.coordinator, false)); diff != "" {
		f.t.Errorf("without %s there should be all others: %s\n%s", lost, diff, first.Log())
	}
	again := try()
	if err := again.Wait(); err != nil {
		f.t.Errorf("once more: %v\n%s", err, again.Log())
	}
	f.check()
	left, right := f.holds(f.left, true), f.holds(f.right, true)
	f.t.Logf("left built %v, right %v and not %s", left, right, lost)
	if len(right) == 0 || !slices.Contains(left, lost) {
		f.t.Errorf("%s was lost: left built %v, right %v", lost, left, right)
	}
	if all := slices.Compact(slices.Sorted(slices.Values(slices.Concat(left, right)))); len(all) != len(f.project.Graph.Components) {
		f.t.Errorf("the builders built %v: some was built elsewhere", all)
	}
	return lost, err
}

// second is the second part that a builder was given, once it is being built; before, it is "".
func second(log string, assigned *regexp.Regexp, builder string) string {
	var parts []string
	for _, m := range assigned.FindAllStringSubmatch(log, -1) {
		if m[2] == builder {
			parts = append(parts, m[1])
		}
	}
	if len(parts) < 2 || !strings.Contains(log, "begin "+parts[1]+"\n") {
		return ""
	}
	return parts[1]
}
