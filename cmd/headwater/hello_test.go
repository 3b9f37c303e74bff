package main

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// hello builds the smallest example and returns its launcher.
func hello(t *testing.T) string {
	t.Helper()
	store := sharedStore(t)
	out, progress := output(t, "build", "--store", store, "../../examples/hello")
	if strings.ContainsAny(out, "\n ") || !strings.HasPrefix(out, "/nix/store/") {
		t.Fatalf("build printed %q on standard output; on standard error:\n%s", out, progress)
	}
	return filepath.Join(store, out, "bin", "hello")
}

func TestPackageRuns(t *testing.T) {
	packageRuns(t, hello(t))
}

// In a root of bookworm, whose bubblewrap lays no overlays, the package is the same.
func TestPackageRunsInBookworm(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "hello")
	if err := os.CopyFS(dir, os.DirFS("../../examples/hello")); err != nil {
		t.Fatal(err)
	}
	edit := func(file, old, new string) {
		b, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, file), []byte(strings.Replace(string(b), old, new, 1)), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	edit(recipeFile, "[trixie]", "[bookworm]")
	// What is added to a folder of the root's leaves what the root has in it and in those around it.
	edit(recipeFile, "  links:\n", "    /usr/share/base-files/hello: hello:greetings\n  links:\n    /usr/bin/greets: /app/hello.sh\n    /etc/greets: /app\n")
	edit("hello.sh", "serve) exec", `see) shift
  for d; do
    if : 2>/dev/null >"$d/x"; then echo "$d is writable"; fi
    for f in "$d"/*; do if [ -L "$f" ]; then echo "$f -> $(readlink "$f")"; else echo "$f"; fi; done
  done ;;
serve) exec`)
	store := sharedStore(t)
	output(t, "lock", "--store", store, dir)
	out, _ := output(t, "build", "--store", store, dir)
	packageRuns(t, filepath.Join(store, out, "bin", "hello"))
	cmd := exec.CommandContext(t.Context(), filepath.Join(store, out, "bin", "hello"), "see", "/usr", "/usr/bin", "/usr/local", "/usr/local/lib", "/usr/share/base-files", "/etc")
	cmd.Env = append(os.Environ(), "HEADWATER_STATE="+t.TempDir())
	seen, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, seen)
	}
	for _, want := range []string{"/usr/bin/greets -> /app/hello.sh", "/etc/greets -> /app", "/usr/share/base-files/hello", "/usr/share/base-files/motd", "/usr/bin/bash", "/usr/local/lib/hello", "/usr/share", "/etc/passwd", "/etc/alternatives"} {
		if !strings.Contains(string(seen), want+"\n") {
			t.Errorf("it does not see %s", want)
		}
	}
	if strings.Contains(string(seen), "is writable") {
		t.Errorf("a folder of the root can be written to:\n%s", seen)
	}
}

func packageRuns(t *testing.T, launcher string) {
	t.Helper()
	state := t.TempDir()
	for _, c := range []struct{ args, want string }{
		{"", "hello from release 1, in /app, as 1000:1000\n"},
		{"count", "started 1 times\n"},
		{"count", "started 2 times\n"},
		{"look", "good day\ngood day\ngood day\nprocesses: /proc/1/\n"},
	} {
		cmd := exec.CommandContext(t.Context(), launcher, strings.Fields(c.args)...)
		cmd.Env = []string{"HEADWATER_STATE=" + state, "PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "LD_PRELOAD=/nonexistent.so"}
		out, err := cmd.Output()
		if err != nil {
			t.Errorf("%q: %v", c.args, err)
		}
		if diff := cmp.Diff(c.want, string(out)); diff != "" {
			t.Errorf("%q: %s", c.args, diff)
		}
	}
}

// The command's exit status is the launcher's, also where a signal asked the command to end.
func TestPackageEndsAsItsCommandDoes(t *testing.T) {
	launcher := hello(t)
	status := func(err error) int {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			t.Fatalf("%v", err)
		}
		return exit.ExitCode()
	}
	cmd := exec.CommandContext(t.Context(), launcher, "5")
	cmd.Env = append(os.Environ(), "HEADWATER_STATE="+t.TempDir())
	if got := status(cmd.Run()); got != 5 {
		t.Errorf("exit status %d, want 5", got)
	}
	cmd = exec.CommandContext(t.Context(), launcher, "wait")
	cmd.Env = append(os.Environ(), "HEADWATER_STATE="+t.TempDir())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != "waiting" {
		t.Fatalf("it said %q", lines.Text())
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if !lines.Scan() || lines.Text() != "asked to end" {
		t.Errorf("it said %q after SIGTERM", lines.Text())
	}
	if got := status(cmd.Wait()); got != 7 {
		t.Errorf("exit status %d after SIGTERM, want 7", got)
	}
}

// graph lists what build makes, and log shows what a build printed.
func TestGraphAndLog(t *testing.T) {
	hello(t)
	out, _ := output(t, "graph", "../../examples/hello")
	for _, want := range []string{"root      /nix/store/", "src       /nix/store/", "build     /nix/store/", "package   /nix/store/"} {
		if !strings.Contains(out, want) {
			t.Errorf("graph has no %q in\n%s", want, out)
		}
	}
	drv, _ := output(t, "build", "--drv", "../../examples/hello")
	if !strings.HasSuffix(drv, "-hello-1.drv") {
		t.Errorf("build --drv printed %q", drv)
	}
	names, _ := output(t, "log", "-C", "../../examples/hello")
	if !strings.Contains(names, "build     hello\n") {
		t.Errorf("log lists\n%s", names)
	}
	output(t, "log", "-C", "../../examples/hello", "--store", sharedStore(t), "hello 1")
}

// A build of what was built already needs no graph; whatever is changed, it does.
func TestBuildKnowsWhatIsUnchanged(t *testing.T) {
	t.Parallel()
	store := sharedStore(t)
	dir := filepath.Join(t.TempDir(), "hello")
	if err := os.CopyFS(dir, os.DirFS("../../examples/hello")); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2100 * time.Millisecond) // a tree that changed just now is not remembered
	derived := func(args ...string) (string, bool) {
		out, progress := output(t, append([]string{"build", "--json", "--store", store, dir}, args...)...)
		return out, strings.Contains(progress, `"planned"`)
	}
	first, again := derived()
	if !again {
		t.Error("a first build was taken for a second one")
	}
	link := filepath.Join(t.TempDir(), "result")
	second, again := derived("--out-link", link)
	if again || second != first {
		t.Errorf("a second build derived the graph: %t; it printed %q, the first %q", again, second, first)
	}
	if target, err := os.Readlink(link); err != nil || !strings.Contains(first, target) {
		t.Errorf("--out-link made a link to %q: %v", target, err)
	}
	for _, name := range []string{recipeFile, lockFile, "README.md"} {
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString("\n"); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if out, again := derived(); !again || out != first {
			t.Errorf("after a change of %s: derived %t, printed %q, before %q", name, again, out, first)
		}
		time.Sleep(2100 * time.Millisecond)
		derived()
		if _, again := derived(); again {
			t.Errorf("%s is as it was in the build before, and yet the graph was derived", name)
		}
	}
}
