package daemon_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/dag"
	"headwater/internal/engine"
	"headwater/internal/engine/daemon"
	"headwater/internal/event"
	"headwater/internal/nixtest"
	"headwater/internal/store/storetest"
)

// way is one to reach a daemon.
type way struct {
	name     string
	settings string
	address  func(l *lab, dir string) string
}

func folderOf(l *lab, dir string) string {
	return "local?root=" + dir + "&daemon=" + filepath.Join(l.getenv["PATH"], "nix-daemon")
}

func ways() []way {
	return []way{
		{"folder", "", folderOf},
		{"trusting socket", "trusted-users = *", func(l *lab, dir string) string { return l.listen(dir) }},
		{"distrusting socket", "trusted-users =", func(l *lab, dir string) string { return l.listen(dir) }},
		{"ssh", "", func(_ *lab, dir string) string { return "ssh-ng://me@host.example:2222?remote-store=" + dir }},
	}
}

// Every release of Nix, reached in every way, gives what the local engine gives: the same paths with the same contents and
// references. Its own store is sound afterwards, and no path was uploaded that has to be trusted.
func TestBuildsWhatTheLocalEngineBuilds(t *testing.T) {
	g := newGraph(t)
	goal, downloads := g.service()
	here := newLab(t, downloads)
	if _, err := here.local().Realise(t.Context(), []*dag.Node{goal}, engine.Options{}); err != nil {
		t.Fatal(errorText(err))
	}
	want := here.closure(goal)
	for _, n := range nixtest.All(t) {
		for _, w := range ways() {
			t.Run(string(n.Release)+"/"+w.name, func(t *testing.T) {
				l, dir := newLab(t, downloads), storeDir(t)
				l.use(n, w.settings)
				address := w.address(l, dir)
				r := l.build(address, goal)
				if d := cmp.Diff(want, l.closure(goal)); d != "" {
					t.Error(d)
				}
				if d := cmp.Diff([]string{"deps", "lib", "one.tar", "service", "service.conf", "src", "tool", "two.tar"}, sorted(names(r.Realised))); d != "" {
					t.Error(d)
				}
				l.clean()
				n.Verify(t, dir)
				// Once more: nobody is asked.
				if r := l.build("unix:///nonexistent", goal); len(r.Realised)+len(r.Reused) > 0 {
					t.Errorf("%+v", r)
				}
				// The daemon has all of it already: nothing is made, nothing is uploaded.
				again := newLab(t, nil)
				again.environ, again.getenv = l.environ, l.getenv
				if r := again.build(address, goal); len(r.Realised) > 0 {
					t.Errorf("realised again: %v", names(r.Realised))
				}
				if d := cmp.Diff(want, again.closure(goal)); d != "" {
					t.Error(d)
				}
			})
		}
	}
}

func sorted(s []string) []string { slices.Sort(s); return s }

// What ssh is started with is what Nix starts it with.
func TestStartsSSH(t *testing.T) {
	l := newLab(t, nil)
	dir := l.use(nixtest.New(t, nixtest.Current))
	l.getenv["NIX_SSHOPTS"] = `-o "UserKnownHostsFile=/dev/null" -v`
	l.build("ssh-ng://me@host.example:2222?ssh-key=/k&remote-program=nix-daemon&remote-store="+storeDir(t), newGraph(t).drv("a", []string{"write", "A"}))
	got, err := os.ReadFile(filepath.Join(dir, "ssh.log"))
	if err != nil {
		t.Fatal(err)
	}
	args := strings.Split(string(got), "\n")
	want := []string{"-x", "-T", "-p", "2222", "-i", "/k", "-o", "UserKnownHostsFile=/dev/null", "-v", "--", "me@host.example"}
	if d := cmp.Diff(want, args[:len(args)-1]); d != "" {
		t.Error(d)
	}
	if !strings.HasPrefix(args[len(args)-1], "nix-daemon --stdio --store '/") {
		t.Errorf("remote command %q", args[len(args)-1])
	}
}

// Only what the daemon lacks and the goal needs is made here and uploaded.
func TestUploadsWhatIsLacking(t *testing.T) {
	g := newGraph(t)
	fetched := g.fetch("one.tar", "one")
	unused := g.fetch("two.tar", "two")
	base := g.drv("base", []string{"concat", string(fetched.Path())}, fetched)
	side := g.drv("side", []string{"concat", string(unused.Path())}, unused)
	top := g.drv("top", []string{"concat", string(base.Path())}, base)
	l := newLab(t, map[string]string{"one.tar": "one"}) // the other cannot be had
	l.use(nixtest.New(t, nixtest.Current))
	address := folderOf(l, storeDir(t))
	l.build(address, base)
	l.events.take()
	// Of top, only its own .drv is new.
	l.build(address, top)
	var got []string
	for _, e := range l.events.take() {
		switch e := e.(type) {
		case event.Planned:
			got = append(got, "planned")
			if e.Total != 4 || e.Todo != 1 {
				t.Errorf("%+v", e)
			}
		case event.Started:
			got = append(got, e.Node.Kind+" "+e.Node.Name)
		case event.Finished:
			if e.Err != nil {
				t.Error(e.Err)
			}
		}
	}
	want := []string{"planned", "upload 1 paths to the Nix daemon", "build top", "download 1 paths from the Nix daemon"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	// A download that fails stops only what needs it, where the run is to go on.
	other := g.drv("other", []string{"write", "x"})
	r, err := l.realise(address, engine.Options{KeepGoing: true}, side, other)
	if err == nil || !strings.Contains(err.Error(), "two.tar cannot be had") {
		t.Errorf("error %v", err)
	}
	if d := cmp.Diff([][]string{{"other"}, {"side"}}, [][]string{names(r.Realised), names(r.Skipped)}); d != "" {
		t.Error(d)
	}
	l.closure(other)
	l.clean(side)
}

// Texts may refer to outputs: those are built before the text is uploaded.
func TestBuildsWhatTextsReferTo(t *testing.T) {
	g := newGraph(t)
	first := g.drv("first", []string{"write", "1"})
	conf := g.text("conf", string(first.Path()), first)
	goal := g.drv("goal", []string{"concat", string(conf.Path())}, conf)
	l := newLab(t, nil)
	l.use(nixtest.New(t, nixtest.Current))
	r := l.build(folderOf(l, storeDir(t)), goal)
	if d := cmp.Diff([]string{"conf", "first", "goal", "tool"}, sorted(names(r.Realised))); d != "" {
		t.Error(d)
	}
	paths := l.closure(goal)
	if _, ok := paths[first.Path()]; !ok {
		t.Errorf("closure is %v", paths)
	}
}

// Sources and downloads as goals need no daemon.
func TestMakesContentHere(t *testing.T) {
	g := newGraph(t)
	l := newLab(t, map[string]string{"one.tar": "one"})
	r := l.build("unix:///nonexistent", g.tool, g.fetch("one.tar", "one"))
	if d := cmp.Diff([]string{"one.tar", "tool"}, sorted(names(r.Realised))); d != "" {
		t.Error(d)
	}
}

// Builders' lines and the ends of builds come as events, while the daemon builds.
func TestTellsWhatHappens(t *testing.T) {
	for _, n := range nixtest.All(t) {
		t.Run(string(n.Release), func(t *testing.T) {
			g := newGraph(t)
			a := g.drv("a", []string{"sleep", "40ms", "tick"})
			b := g.drv("b", []string{"concat", string(a.Path())}, a)
			l := newLab(t, nil)
			l.use(n)
			l.build(folderOf(l, storeDir(t)), b)
			var got []string
			for _, e := range l.events.take() {
				switch e := e.(type) {
				case event.Started:
					got = append(got, "started "+e.Node.Name)
				case event.Log:
					got = append(got, e.Node.Name+"> "+e.Line)
				case event.Finished:
					got = append(got, "finished "+e.Node.Name)
					if e.Err != nil || (e.LogPath != "") != (e.Node.Name == "a") {
						t.Errorf("%+v", e)
					}
				case event.Message:
					t.Errorf("message %q", e.Text)
				}
			}
			got = slices.Compact(got)
			want := []string{"started tool", "finished tool", "started 3 paths to the Nix daemon", "finished 3 paths to the Nix daemon",
				"started a", "a> tick", "finished a", "started b", "finished b", "started 1 paths from the Nix daemon", "finished 1 paths from the Nix daemon"}
			if d := cmp.Diff(want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

// What has come is uploaded while other downloads go on, and what refers to it after it.
func TestUploadsWhileDownloading(t *testing.T) {
	g := newGraph(t)
	downloads := map[string]string{"first.tar": strings.Repeat("first", 1<<20), "last.tar": "last"}
	first, last := g.fetch("first.tar", downloads["first.tar"]), g.fetch("last.tar", downloads["last.tar"])
	text := g.text("text", "see "+string(g.tool.Path())+"\n", g.tool)
	goal := g.drv("goal", []string{"concat", string(first.Path()), string(last.Path()), string(text.Path())}, first, last, text)
	l, dir := newLab(t, downloads), storeDir(t)
	l.use(nixtest.New(t, nixtest.Current))
	address := l.listen(dir)
	theirs := storetest.Open(t, dir)
	l.before = func(ctx context.Context, name string) error {
		if name != "last.tar" {
			return nil
		}
		for range 6000 {
			valid, err := theirs.Valid(ctx, first.Path())
			if err != nil || len(valid) > 0 {
				return err
			}
			time.Sleep(10 * time.Millisecond)
		}
		return errors.New("the first download was not uploaded before the last one")
	}
	l.build(address, goal)
	balanced(t, l.events.take())
	l.clean()
}

// Where the daemon ends while things are uploaded and made, both end.
func TestDaemonEndsWhileDownloading(t *testing.T) {
	g := newGraph(t)
	downloads := map[string]string{"first.tar": strings.Repeat("first", 1<<20), "last.tar": "last"}
	first, last := g.fetch("first.tar", downloads["first.tar"]), g.fetch("last.tar", downloads["last.tar"])
	goal := g.drv("goal", []string{"concat", string(first.Path()), string(last.Path())}, first, last)
	l := newLab(t, downloads)
	l.use(nixtest.New(t, nixtest.Current))
	real := strings.TrimPrefix(l.listen(storeDir(t)), "unix://")
	proxy := serve(t, func(c *net.UnixConn) { // until something large comes
		d, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: real, Net: "unix"})
		if err != nil {
			t.Error(err)
			return
		}
		go io.Copy(c, d)
		io.CopyN(d, c, 1<<20)
		d.Close()
	})
	l.before = func(ctx context.Context, name string) error {
		if name != "last.tar" {
			return nil
		}
		<-ctx.Done()
		return context.Cause(ctx)
	}
	_, err := l.realise(proxy, engine.Options{}, goal)
	var failed *daemon.Error
	if !errors.As(err, &failed) || !strings.Contains(err.Error(), "hung up") || strings.Count(err.Error(), "hung up") > 1 {
		t.Errorf("error %v", err)
	}
	balanced(t, l.events.take())
	l.clean(goal, last)
}

// Store paths that exist already go to a daemon that trusts its client, with all that they refer to.
func TestUploadsWhatExists(t *testing.T) {
	for _, w := range ways() {
		t.Run(w.name, func(t *testing.T) {
			g := newGraph(t)
			low := g.drv("low", []string{"write", "low"})
			base := g.drv("base", []string{"shell", "write $out " + string(low.Path())}, low)
			l, dir := newLab(t, nil), storeDir(t)
			if _, err := l.local().Realise(t.Context(), []*dag.Node{base}, engine.Options{}); err != nil {
				t.Fatal(errorText(err))
			}
			goal := g.drv("goal", []string{"concat", string(base.Path())}, g.maker.Existing(base.Path()))
			l.use(nixtest.New(t, nixtest.Current), w.settings)
			_, err := l.realise(w.address(l, dir), engine.Options{}, goal)
			if w.name != "distrusting socket" {
				if err != nil {
					t.Fatal(errorText(err))
				}
				l.closure(goal)
				l.nix.Verify(t, dir)
				return
			}
			var hint interface{ Hint() string }
			if !errors.As(err, &hint) || !strings.Contains(hint.Hint(), "does not trust this user") {
				t.Errorf("error %v", err)
			}
			l.clean(goal)
		})
	}
}

// A build's end is told when it ends, though others go on.
func TestTellsEndsInTime(t *testing.T) {
	for _, n := range nixtest.All(t) {
		t.Run(string(n.Release), func(t *testing.T) {
			g := newGraph(t)
			quick, slow := g.drv("quick", []string{"write", "x"}), g.drv("slow", []string{"sleep", "2s", "tick"})
			l := newLab(t, nil)
			l.use(n)
			if _, err := l.realise(folderOf(l, storeDir(t)), engine.Options{Jobs: 2}, slow, quick); err != nil {
				t.Fatal(errorText(err))
			}
			ended, ticks := false, 0
			for _, e := range l.events.take() {
				switch e := e.(type) {
				case event.Finished:
					ended = ended || e.Node.Name == "quick"
				case event.Log:
					if ended {
						ticks++
					}
				case event.Message:
					t.Errorf("message %q", e.Text)
				}
			}
			if ticks == 0 {
				t.Error("the quick build's end was told only when the slow one had said its last")
			}
		})
	}
}
