package local_test

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"headwater/internal/dag"
	"headwater/internal/engine"
	"headwater/internal/engine/enginetest"
	"headwater/internal/proctest"
)

var (
	kills = flag.Int("kills", 25, "how often TestKill9 kills")

	// What the tests tell the processes that they start, which are this test binary.
	childStore = flag.String("child-store", "", "realise a graph in this store")
	childTool  = flag.String("child-tool", "", "the builder")
	childSalt  = flag.String("child-salt", "", "makes the graph another one")
	childSlow  = flag.Bool("child-slow", false, "builders take a while")
)

// TestChild is not a test of its own but what other processes of TestKill9 and TestProcessesShareWork do.
func TestChild(t *testing.T) {
	if *childStore == "" {
		return
	}
	program, err := os.ReadFile(*childTool)
	if err != nil {
		t.Fatal(err)
	}
	l := openLabWith(t, *childStore, string(program))
	fmt.Println("begin")
	r, err := l.realise(engine.Options{Jobs: 3}, l.manySmall(*childSalt, *childSlow)...)
	if err != nil {
		t.Fatal(errorText(err))
	}
	fmt.Println("realised", names(r.Realised))
	fmt.Println("reused", names(r.Reused))
}

// manySmall is a graph of small derivations with one and several outputs, files and folders. It returns its goals.
func (l *lab) manySmall(salt string, slow bool) []*dag.Node {
	l.t.Helper()
	text, err := l.maker.Text("text-"+salt, salt)
	if err != nil {
		l.t.Fatal(err)
	}
	var goals []*dag.Node
	for i := range 4 {
		args := []string{"write", salt}
		if slow {
			args = []string{"sleep", "60ms"}
		}
		a := l.drv(fmt.Sprintf("a%d-%s", i, salt), args, nil, text)
		b := l.outputs(fmt.Sprintf("b%d-%s", i, salt), []string{"dev", "out"}, []string{"shell", "mkdir $dev/x/y", "write $dev/x/y/z $a", "mkdir $out",
			"write $out/f $dev", "link $out/l $a"}, map[string]string{"a": string(a.Path())}, a)
		goals = append(goals, l.drv(fmt.Sprintf("c%d-%s", i, salt), []string{"concat", string(b.Path()) + "/f", string(a.Path())}, nil, b, a))
	}
	return goals
}

type child struct {
	*exec.Cmd
	out bytes.Buffer
}

func startChild(t *testing.T, dir, tool, salt string, slow bool) *child {
	t.Helper()
	c := &child{Cmd: exec.Command("/proc/self/exe", "-test.run=^TestChild$", "-child-store="+dir, "-child-tool="+tool, "-child-salt="+salt,
		fmt.Sprintf("-child-slow=%t", slow))}
	c.Stdout, c.Stderr = &c.out, &c.out
	c.Env = append(os.Environ(), "TMPDIR="+t.TempDir()) // whoever is killed leaves what is there
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	return c
}

func toolFile(t *testing.T) string {
	t.Helper()
	program, err := enginetest.Builder()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "tool")
	if err := os.WriteFile(file, []byte(program), 0o755); err != nil {
		t.Fatal(err)
	}
	return file
}

// kill -9 at any moment leaves a sound store, and the next run finishes what was begun.
func TestKill9(t *testing.T) {
	l, tool := newLab(t), toolFile(t)
	began := time.Now()
	c := startChild(t, l.store.Dir(), tool, "whole", false)
	if err := c.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, &c.out)
	}
	whole := time.Since(began)
	for i := range *kills {
		salt := fmt.Sprint("round", i)
		c := startChild(t, l.store.Dir(), tool, salt, false)
		time.Sleep(time.Duration(rand.Int64N(int64(whole))))
		if err := c.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		c.Wait() // it was killed, or had finished
		l.sound()
		if i%10 == 0 {
			c := startChild(t, l.store.Dir(), tool, salt, false)
			if err := c.Wait(); err != nil {
				t.Fatalf("after the kill: %v\n%s", err, &c.out)
			}
		}
	}
	if _, err := l.realise(engine.Options{}, l.manySmall("round1", false)...); err != nil {
		t.Fatal(errorText(err))
	}
	if left := builders(t, "concat"); len(left) > 0 {
		t.Errorf("processes %v are left", left)
	}
}

// sound is clean's weaker form while leftovers may be there: all that is valid is there as it was registered.
func (l *lab) sound() {
	l.t.Helper()
	r, err := l.store.Verify(l.t.Context(), verifyContents)
	if err != nil || len(r.Problems) > 0 {
		l.t.Fatalf("problems %v, %v", r.Problems, err)
	}
}

// builders are the processes of tests' builders that run a command.
func builders(t *testing.T, command string) (pids []string) {
	t.Helper()
	// A killed process's builder dies a moment later.
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		var err error
		if pids, err = proctest.With("-tool\x00" + command); err != nil {
			t.Fatal(err)
		}
		if len(pids) == 0 || time.Now().After(end) {
			return pids
		}
	}
}

// Of two processes that want the same, each derivation is built by one, and the other takes it.
func TestProcessesShareWork(t *testing.T) {
	l, tool := newLab(t), toolFile(t)
	a, b := startChild(t, l.store.Dir(), tool, "s", true), startChild(t, l.store.Dir(), tool, "s", true)
	for _, c := range []*child{a, b} {
		if err := c.Wait(); err != nil {
			t.Fatalf("%v\n%s", err, &c.out)
		}
	}
	realised := append(list(a, "realised"), list(b, "realised")...)
	slices.Sort(realised)
	want := []string{"text-s", "tool"}
	for _, kind := range []string{"a", "b", "c"} {
		for i := range 4 {
			want = append(want, fmt.Sprintf("%s%d-s", kind, i))
		}
	}
	slices.Sort(want)
	if !slices.Equal(realised, want) {
		t.Errorf("realised %v\nwant %v", realised, want)
	}
	if len(list(a, "reused"))+len(list(b, "reused")) == 0 {
		t.Error("neither waited for the other")
	}
	l.clean()
}

func list(c *child, what string) []string {
	for line := range strings.Lines(c.out.String()) {
		if rest, ok := strings.CutPrefix(line, what+" "); ok {
			return strings.Fields(rest)
		}
	}
	return nil
}
