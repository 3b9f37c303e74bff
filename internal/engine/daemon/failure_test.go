package daemon_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/dag"
	"headwater/internal/engine"
	"headwater/internal/engine/daemon"
	"headwater/internal/event"
	"headwater/internal/nixtest"
)

// A builder's failure is told as the local engine tells it: whose, why, the end of its log, and where the log is.
func TestBuildsFail(t *testing.T) {
	const second = time.Second
	for _, n := range nixtest.All(t) {
		l := newLab(t, nil)
		l.use(n)
		address := folderOf(l, storeDir(t))
		for _, c := range []struct {
			name   string
			args   []string
			opts   engine.Options
			reason engine.Reason
			text   string
			log    []string
		}{
			{"exit", []string{"fail", "3", "one", "two", "three"}, engine.Options{LogTail: 2}, engine.Exited, "failed with exit code 3", []string{"two", "three"}},
			{"nothing", []string{"shell", "mkdir /build/x"}, engine.Options{}, engine.BadOutput, "failed to produce output path", nil},
			{"silent", []string{"hang"}, engine.Options{MaxSilent: second}, engine.Silent, "timed out", []string{"hanging"}},
			{"slow", []string{"hang"}, engine.Options{Timeout: second}, engine.TimedOut, "timed out", []string{"hanging"}},
			{"flood", []string{"flood"}, engine.Options{MaxLog: 100_000}, engine.LogFlood, "100000 bytes", nil},
		} {
			t.Run(string(n.Release)+"/"+c.name, func(t *testing.T) {
				g := newGraph(t)
				bad := g.drv("bad", c.args)
				top := g.drv("top", []string{"concat", string(bad.Path())}, bad)
				l.t = t
				l.events.take()
				r, err := l.realise(address, c.opts, top)
				var f *engine.BuildFailed
				if !errors.As(err, &f) {
					t.Fatalf("error %v", err)
				}
				if f.Node != bad || f.Reason != c.reason || !strings.Contains(f.Error(), c.text) || strings.ContainsAny(f.Error(), "\n\x1b") {
					t.Errorf("%s, %q", f.Reason, f)
				}
				if c.log != nil {
					if d := cmp.Diff(c.log, f.Log); d != "" {
						t.Error(d)
					}
					if text, err := os.ReadFile(f.LogPath); err != nil || !strings.HasSuffix(string(text), c.log[len(c.log)-1]+"\n") {
						t.Errorf("log %q, %v", text, err)
					}
				}
				if d := cmp.Diff([]string{"top"}, names(r.Skipped)); d != "" || len(r.Failed) != 1 {
					t.Error(d, r.Failed)
				}
				balanced(t, l.events.take())
				l.clean(bad, top)
			})
		}
	}
}

// balanced makes sure that what started has ended, once.
func balanced(t *testing.T, events []event.Event) {
	t.Helper()
	open := map[string]int{}
	for _, e := range events {
		switch e := e.(type) {
		case event.Started:
			open[e.Node.ID]++
		case event.Finished:
			open[e.Node.ID]--
		case event.Message:
			t.Logf("message: %s", e.Text)
		}
	}
	for id, n := range open {
		if n != 0 {
			t.Errorf("%s started %d times more than it ended", id, n)
		}
	}
}

// After a failure, what does not need the node that failed is built, if that is wanted, and brought back.
func TestKeepsGoing(t *testing.T) {
	for _, n := range nixtest.All(t) {
		t.Run(string(n.Release), func(t *testing.T) {
			g := newGraph(t)
			bad := g.drv("bad", []string{"fail", "1"})
			worse := g.drv("worse", []string{"fail", "2"})
			above := g.drv("above", []string{"concat", string(bad.Path()), string(worse.Path())}, bad, worse)
			good := g.drv("good", []string{"sleep", "300ms"})
			l := newLab(t, nil)
			l.use(n)
			r, err := l.realise(folderOf(l, storeDir(t)), engine.Options{KeepGoing: true}, above, good)
			if err == nil || !strings.Contains(err.Error(), "exit code 1") || !strings.Contains(err.Error(), "exit code 2") {
				t.Errorf("error %v", err)
			}
			if d := cmp.Diff([][]string{{"above"}, {"good", "tool"}}, [][]string{names(r.Skipped), sorted(names(r.Realised))}); d != "" || len(r.Failed) != 2 {
				t.Error(d, r.Failed)
			}
			balanced(t, l.events.take())
			l.closure(good)
			l.clean(bad, above)
		})
	}
}

// Options.Check builds once more on the daemon, and compares with what is there and what is here.
func TestChecks(t *testing.T) {
	for _, n := range nixtest.All(t) {
		t.Run(string(n.Release), func(t *testing.T) {
			g := newGraph(t)
			same := g.drv("same", []string{"write", "x"})
			differs := g.drv("differs", []string{"shell", "report $out"}, same) // tells NIX_BUILD_CORES
			l := newLab(t, nil)
			l.use(n)
			address := folderOf(l, storeDir(t))
			if _, err := l.realise(address, engine.Options{Cores: 2}, same, differs); err != nil {
				t.Fatal(errorText(err))
			}
			r, err := l.realise(address, engine.Options{Check: true, Cores: 3}, same)
			if err != nil || len(r.Realised) != 1 {
				t.Errorf("%+v, %v", r, err)
			}
			fails := func(address string) {
				t.Helper()
				r, err := l.realise(address, engine.Options{Check: true, Cores: 3}, differs)
				var f *engine.BuildFailed
				if !errors.As(err, &f) || f.Reason != engine.Differs || len(r.Failed) != 1 {
					t.Errorf("%+v, error %v", r, err)
				}
			}
			fails(address)
			fails(folderOf(l, storeDir(t))) // a daemon that builds it for the first time
			balanced(t, l.events.take())
			l.clean()
		})
	}
}

// Cancelling ends the builders, and leaves nothing.
func TestStopsWhenCancelled(t *testing.T) {
	for _, n := range nixtest.All(t) {
		for _, w := range ways() {
			t.Run(string(n.Release)+"/"+w.name, func(t *testing.T) {
				g := newGraph(t)
				// It goes on talking: Nix that is about to wait for a builder as its client leaves notices only when it says something.
				hang := g.drv("hang", []string{"sleep", "40s", "still here, " + t.TempDir()})
				l, dir := newLab(t, nil), storeDir(t)
				l.use(n, w.settings)
				ctx, cancel := context.WithCancelCause(t.Context())
				why := errors.New("enough")
				var events recorder
				r, err := l.engine(w.address(l, dir)).Realise(ctx, []*dag.Node{hang}, engine.Options{Events: func(e event.Event) {
					events.sink(e)
					if _, ok := e.(event.Log); ok {
						cancel(why)
					}
				}})
				if !errors.Is(err, why) || len(r.Skipped) != 1 {
					t.Errorf("%+v, error %v", r, err)
				}
				balanced(t, events.take())
				l.clean(hang)
				gone(t, string(hang.Path()))
			})
		}
	}
}

// gone waits until no process has a word in its environment: a builder has its output's path there.
func gone(t *testing.T, word string) {
	t.Helper()
	for range 500 {
		if !anyProcess(word) {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Error("the builder still runs")
}

func anyProcess(word string) bool {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return true
	}
	for _, e := range entries {
		if env, err := os.ReadFile("/proc/" + e.Name() + "/environ"); err == nil && strings.Contains(string(env), "out="+word) {
			return true
		}
	}
	return false
}

// Where there is no daemon, the error says what to do.
func TestNoDaemon(t *testing.T) {
	for _, c := range []struct{ address, text, hint string }{
		{"unix:///nonexistent", "no such file", "no Nix daemon listens there"},
		{"daemon", "/nonexistent/socket", "no Nix daemon listens there"},
		{"local?root=/tmp/x", "there is no program nix-daemon in PATH", "daemon=PROGRAM"},
		{"local?root=/tmp/x&daemon=/nonexistent", "no such file", "daemon=PROGRAM"},
		{"ssh-ng://host.example", "there is no program ssh in PATH", "install ssh"},
	} {
		l := newLab(t, nil)
		_, err := l.realise(c.address, engine.Options{}, newGraph(t).drv("a", []string{"write"}))
		var e *daemon.ConnectError
		if !errors.As(err, &e) || !strings.Contains(err.Error(), c.text) || !strings.Contains(e.Hint(), c.hint) {
			t.Errorf("%s: error %v", c.address, err)
		}
	}
}

// What an ssh that fails says is part of the error.
func TestProgramThatFails(t *testing.T) {
	l := newLab(t, nil)
	l.use(nixtest.New(t, nixtest.Current))
	_, err := l.realise("ssh-ng://host.example?remote-program=nonexistent", engine.Options{}, newGraph(t).drv("a", []string{"write"}))
	var e *daemon.Error
	if !errors.As(err, &e) || !strings.Contains(err.Error(), "hung up") || !strings.Contains(err.Error(), "nonexistent: command not found") {
		t.Errorf("error %v", err)
	}
}

func TestParseAddress(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"unix://relative", "no absolute path"},
		{"local", "no folder"},
		{"local?root=/a&x=y", `unknown parameter "x"`},
		{"local?root=/a%3fb", "has one of the characters"},
		{"/a?root=/b", "two folders"},
		{"ssh-ng://", "no host"},
		{"ssh-ng://-oProxyCommand=x", "no name of a host"},
		{"ssh-ng://-x@host", "no name of a host or user"},
		{"ssh-ng://a:b@host", "password"},
		{"ssh-ng://host/path", "after the host"},
		{"ssh-ng://host?max-jobs=-1", "max-jobs"},
		{"ssh-ng://host?substitute=1", "substitute"},
		{"https://cache.example", "unknown kind"},
		{"ssh://host", "unknown kind"},
		{"daemon?%zz", "invalid URL escape"},
	} {
		_, err := daemon.ParseAddress(c.in, "/s")
		var e *daemon.AddressError
		if !errors.As(err, &e) || !strings.Contains(err.Error(), c.want) || e.Hint() == "" {
			t.Errorf("%s: error %v, want %q", c.in, err, c.want)
		}
	}
	for _, in := range []string{"", "auto", "daemon", "unix:///s", "local?root=/a&max-jobs=0", "/a", "ssh-ng://u@[::1]:22?remote-store=/s&substitute=false"} {
		if a, err := daemon.ParseAddress(in, "/s"); err != nil || a.String() != in {
			t.Errorf("%s: %v, %v", in, a, err)
		}
	}
}
