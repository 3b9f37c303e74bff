// Command cold measures a cold build of examples/gatehouse against the bare tools that do the same by hand, in the same roots,
// with the same files, both sides in turn in one run.
//
//	go run ./bench/cold -store STORE [-n ROUNDS] [-dir FOLDER]
//
// STORE has gatehouse built. Both sides start from what comes from outside: downloads, unpacked roots and toolchains. Headwater's
// side is a whole process of headwater build. The bare side is what a person would type into a shell in each root:
// openapi-generator, npm ci and npm run build, go build, pip install of the lock; first one after the other, then the chains that do
// not need one another at the same time. pip.lock pins the Python root with pip beside it, as headwater lock writes it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	o := options{}
	flag.IntVar(&o.rounds, "n", 3, "rounds")
	flag.StringVar(&o.dir, "dir", os.TempDir(), "folder for stores and builds")
	flag.StringVar(&o.project, "project", "examples/homelab/gatehouse", "gatehouse's folder")
	flag.StringVar(&o.store, "store", "", "store that has gatehouse built")
	flag.Parse()
	if err := bench(ctx, o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "cold:", err)
		os.Exit(1)
	}
}

type options struct {
	rounds              int
	dir, project, store string
}

func bench(ctx context.Context, o options, w io.Writer) (err error) {
	if o.store == "" {
		return errors.New("-store is missing")
	}
	tmp, err := os.MkdirTemp(o.dir, "headwater-cold-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, removeAll(tmp)) }()
	program := filepath.Join(tmp, "headwater")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", program, "./cmd/headwater")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build headwater: %w: %s", err, out)
	}
	service, err := load(ctx, o)
	if err != nil {
		return err
	}
	tools, err := service.tools(filepath.Join(tmp, "tools"))
	if err != nil {
		return err
	}
	var ours, sum, together []float64
	steps := map[string][]float64{}
	for round := range o.rounds {
		s, err := service.cold(ctx, program, o.project, filepath.Join(tmp, fmt.Sprint("store-", round)))
		if err != nil {
			return fmt.Errorf("headwater build: %w", err)
		}
		ours = append(ours, s)
		one, each, err := tools.oneByOne(ctx, filepath.Join(tmp, "work"))
		if err != nil {
			return err
		}
		sum = append(sum, one)
		for name, s := range each {
			steps[name] = append(steps[name], s)
		}
		if s, err = tools.together(ctx, filepath.Join(tmp, "work")); err != nil {
			return err
		}
		together = append(together, s)
		fmt.Fprintf(os.Stderr, "round %d: headwater %.1f s, bare %.1f s, bare together %.1f s\n", round+1, ours[round], sum[round], s)
	}
	fmt.Fprint(w, "| what | seconds (median) | Headwater is (median of rounds) |\n|---|---|---|\n")
	fmt.Fprintf(w, "| headwater build, cold | %.1f | |\n", median(ours))
	for _, name := range tools.names() {
		fmt.Fprintf(w, "| bare: %s | %.1f | |\n", name, median(steps[name]))
	}
	fmt.Fprintf(w, "| bare tools, one after the other | %.1f | %.2f |\n", median(sum), median(ratios(ours, sum)))
	fmt.Fprintf(w, "| bare tools, independent ones together | %.1f | %.2f |\n", median(together), median(ratios(ours, together)))
	return nil
}

func ratios(a, b []float64) []float64 {
	out := make([]float64, len(a))
	for i := range a {
		out[i] = a[i] / b[i]
	}
	return out
}

func median(list []float64) float64 {
	sorted := slices.Sorted(slices.Values(list))
	return sorted[len(sorted)/2]
}

// timed runs a command and tells how long it took, in seconds.
func timed(cmd *exec.Cmd) (float64, error) {
	began := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("%w: %s", err, out[max(0, len(out)-4000):])
	}
	return time.Since(began).Seconds(), nil
}

// removeAll removes read-only folders too.
func removeAll(dir string) error {
	err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			err = os.Chmod(p, 0o700)
		}
		return err
	})
	return errors.Join(err, os.RemoveAll(dir))
}
