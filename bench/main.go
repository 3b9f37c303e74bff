// Command bench measures Headwater against real Nix, both sides in turn in one run, and prints a table of ratios. Machines are
// shared and noisy: read the medians, and ratios more than seconds.
//
//	go run ./bench [-n ROUNDS] [-dir FOLDER] [-project DIR -store DIR] [-derivations N,…]
//
// FOLDER is where stores are made; on a tmpfs the file system's own noise stays out. With -project, which must be built in
// -store, the build with nothing to do is measured too. Nix comes out of pinned Debian packages (package nixtest).
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"headwater/internal/nixtest"
	"headwater/internal/sandbox"
)

func main() {
	sandbox.RunInit()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if len(os.Args) > 1 && os.Args[1] == "side" {
		exit(side(ctx, os.Args[2:]))
	}
	n := flag.Int("n", 7, "counted rounds; one more goes before them")
	dir := flag.String("dir", os.TempDir(), "folder for stores")
	project := flag.String("project", "", "folder with a headwater.yaml")
	store := flag.String("store", "", "store that has the project built")
	closure := flag.Int("closure", 0, "measure pushing and pulling a closure of so many paths: 1000")
	derivations := flag.String("derivations", "", "measure instantiating graphs of so many fetches, with commas: 3000,100000")
	flag.Parse()
	exit(bench(ctx, options{rounds: *n, dir: *dir, project: *project, store: *store, derivations: *derivations, closure: *closure}, os.Stdout))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

type options struct {
	rounds, closure     int
	dir, project, store string
	derivations         string
}

// pair is two ways to do the same thing.
type pair struct {
	name         string
	before       func(dir string) error // makes an empty folder ready, for each side of each round; not timed. nil: nothing
	ours, theirs func(dir string) *exec.Cmd
	aim          string
}

func bench(ctx context.Context, o options, w io.Writer) error {
	tmp, err := os.MkdirTemp(o.dir, "headwater-bench-")
	if err != nil {
		return err
	}
	defer removeAll(tmp)
	home := filepath.Join(tmp, "home")
	if err := os.Mkdir(home, 0o755); err != nil {
		return err
	}
	nix, err := nixtest.Open(ctx, nixtest.Current, home)
	if err != nil {
		return err
	}
	pairs, err := pairs(ctx, o, nix, tmp)
	if err != nil {
		return err
	}
	if o.closure > 0 {
		caches, stop, err := cachePairs(ctx, o.closure, nix, tmp)
		if err != nil {
			return err
		}
		defer stop()
		pairs = append(pairs, caches...)
	}
	fmt.Fprintf(w, "| what | Headwater (median) | Nix (median) | ratio (median of pairs) | aim |\n|---|---|---|---|---|\n")
	for _, p := range pairs {
		ours, theirs, ratios, err := measure(o, p, tmp)
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		fmt.Fprintf(w, "| %s | %.3f s | %.3f s | %.2f | %s |\n", p.name, median(ours), median(theirs), median(ratios), p.aim)
	}
	return instantiate(ctx, o, nix, tmp, w)
}

// measure runs the sides in turn.
func measure(o options, p pair, tmp string) (ours, theirs, ratios []float64, err error) {
	for round := range o.rounds + 1 {
		a, err := once(p, p.ours, tmp)
		if err != nil {
			return nil, nil, nil, err
		}
		b, err := once(p, p.theirs, tmp)
		if err != nil {
			return nil, nil, nil, err
		}
		if round > 0 { // the first warms the caches
			ours, theirs, ratios = append(ours, a), append(theirs, b), append(ratios, a/b)
		}
	}
	return ours, theirs, ratios, nil
}

// once times one side as a whole process, in seconds.
func once(p pair, side func(string) *exec.Cmd, tmp string) (float64, error) {
	dir, err := os.MkdirTemp(tmp, "round-")
	if err != nil {
		return 0, err
	}
	defer removeAll(dir)
	if p.before != nil {
		if err := p.before(dir); err != nil {
			return 0, err
		}
	}
	cmd := side(dir)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	began := time.Now()
	if err := cmd.Run(); err != nil {
		return 0, fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out.String())
	}
	return time.Since(began).Seconds(), nil
}

func median(list []float64) float64 {
	s := slices.Sorted(slices.Values(list))
	return s[len(s)/2]
}

// removeAll deletes a folder that has store objects, whose folders are read-only.
func removeAll(dir string) {
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			return os.Chmod(path, 0o755)
		}
		return err
	})
	if err := errors.Join(err, os.RemoveAll(dir)); err != nil {
		fmt.Fprintln(os.Stderr, "bench: clean up:", err)
	}
}

func pairs(ctx context.Context, o options, nix *nixtest.Nix, tmp string) ([]pair, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	ours := func(args ...string) *exec.Cmd {
		return exec.CommandContext(ctx, self, append([]string{"side"}, args...)...)
	}
	tree := runtime.GOROOT()
	if out, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output(); err == nil {
		tree = strings.TrimSpace(string(out))
	}
	template, err := fiftyBuilds(ctx, filepath.Join(tmp, "template"))
	if err != nil {
		return nil, fmt.Errorf("prepare 50 builds: %w", err)
	}
	copyTemplate := func(dir string) error {
		out, err := exec.CommandContext(ctx, "cp", "-a", filepath.Join(tmp, "template")+"/.", dir).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	}
	list := []pair{
		{name: "NAR hash of the Go tree", aim: "≤ 1",
			ours:   func(string) *exec.Cmd { return ours("hash", tree) },
			theirs: func(string) *exec.Cmd { return nix.Command(ctx, "nix", "hash", "path", tree) }},
		{name: "import of the Go tree", aim: "≤ 1",
			ours:   func(dir string) *exec.Cmd { return ours("add", dir, tree) },
			theirs: func(dir string) *exec.Cmd { return nix.Command(ctx, "nix-store", "--store", dir, "--add", tree) }},
		{name: "50 trivial builds", aim: "≤ 1", before: copyTemplate,
			ours: func(dir string) *exec.Cmd { return ours(append([]string{"build", dir}, template...)...) },
			theirs: func(dir string) *exec.Cmd {
				return nix.Command(ctx, "nix-store", append([]string{"--store", dir, "--max-jobs", fmt.Sprint(runtime.NumCPU()), "--realise"}, template...)...)
			}},
	}
	if o.project == "" {
		return list, nil
	}
	headwater := filepath.Join(tmp, "headwater")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", headwater, "./cmd/headwater")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build headwater: %w\n%s", err, out)
	}
	drv, err := exec.CommandContext(ctx, headwater, "build", "--drv", o.project).Output()
	if err != nil {
		return nil, fmt.Errorf("headwater build --drv: %w", err)
	}
	return append(list, pair{name: "build with nothing to do", aim: "< 50 ms",
		ours: func(string) *exec.Cmd {
			return exec.CommandContext(ctx, headwater, "--store", o.store, "build", o.project)
		},
		theirs: func(string) *exec.Cmd {
			return nix.Command(ctx, "nix-store", "--store", o.store, "--realise", strings.TrimSpace(string(drv)))
		}}), nil
}
