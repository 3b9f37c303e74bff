// Command plan scores the planner: it plans small trees that each have one trap of real upstreams in them, compares what comes out with
// what a careful reader of the files writes down (truth.yaml in each archive of testdata), and prints F1 by class of fact.
//
//	go run ./bench/plan [-v] [-files N] [-n ROUNDS]
//
// The headline is the rate of plans that are silently wrong: they claim success, but the main product is not the upstream's. Evidence is
// precise where it names a line of the tree that is there and says something. The time is that of a generated tree of N files.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"headwater/internal/plan"
	"headwater/internal/source"
)

func main() {
	o := options{}
	flag.StringVar(&o.dir, "testdata", "bench/plan/testdata", "folder with the archives")
	flag.StringVar(&o.gatehouse, "gatehouse", "examples/gatehouse", "the example's folder")
	flag.BoolVar(&o.verbose, "v", false, "print each fact that is missing or wrong")
	flag.IntVar(&o.files, "files", 5700, "files of the generated tree")
	flag.IntVar(&o.rounds, "n", 7, "how often it is planned")
	flag.Parse()
	if err := run(o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

type options struct {
	dir, gatehouse string
	verbose        bool
	files, rounds  int
}

func run(o options, w io.Writer) error {
	archives, err := filepath.Glob(filepath.Join(o.dir, "*.txtar"))
	if err != nil {
		return err
	}
	if len(archives) == 0 {
		return fmt.Errorf("no archive in %s: run it from the repository's top", o.dir)
	}
	total := score{}
	for _, file := range archives {
		c, err := readCase(file, o.gatehouse)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		s, err := c.judge()
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		total.add(s)
		fmt.Fprintf(w, "%-26s %-8s F1 %.2f  %s\n", c.name, s.verdict(), s.f1(), c.Trap)
		if o.verbose {
			for _, d := range s.details {
				fmt.Fprintf(w, "    %s\n", d)
			}
		}
	}
	fmt.Fprintf(w, "\nsilently wrong: %d of %d (%.0f %%)\n", total.silent, total.cases, 100*ratio(total.silent, total.cases))
	fmt.Fprintf(w, "\n| class | precision | recall | F1 |\n|---|---|---|---|\n")
	for _, class := range classes() {
		t := total.tally[class]
		fmt.Fprintf(w, "| %s | %.3f | %.3f | %.3f |\n", class, t.precision(), t.recall(), t.f1())
	}
	fmt.Fprintf(w, "\nevidence: %d of %d lines are there and say something, %d of %d that the truth names are cited\n", total.evidence.right, total.evidence.all, total.cited.right, total.cited.all)
	return measure(o, w)
}

// measure times plans of a generated tree on disk, listing it included.
func measure(o options, w io.Writer) error {
	dir, err := os.MkdirTemp("", "headwater-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	files, size := generated(o.files)
	if err := write(dir, files); err != nil {
		return err
	}
	var times []time.Duration
	for range o.rounds {
		start := time.Now()
		if err := openAndPlan(dir); err != nil {
			return err
		}
		times = append(times, time.Since(start))
	}
	slices.Sort(times)
	if len(times) > 0 {
		fmt.Fprintf(w, "time: %d files, %.1f MB, planned in %.3f s (median of %d, best %.3f s)\n", o.files, float64(size)/1e6, times[len(times)/2].Seconds(), len(times), times[0].Seconds())
	}
	return nil
}

func openAndPlan(dir string) error {
	t, err := source.Open(dir)
	if err != nil {
		return err
	}
	_, err = planTree(plan.NewTree(t.FS(), t.Paths()), "")
	return err
}

func ratio(a, b int) float64 {
	if b == 0 {
		return 1
	}
	return float64(a) / float64(b)
}

func words(s ...string) string { return strings.TrimSpace(strings.Join(s, " ")) }
