package local_test

import (
	"fmt"
	"testing"

	"headwater/internal/dag"
	"headwater/internal/engine"
)

// 50 derivations that do next to nothing, none of which needs another.
func BenchmarkFiftyBuilds(b *testing.B) {
	l := newLab(b)
	if _, err := l.realise(engine.Options{}, l.tool); err != nil {
		b.Fatal(err)
	}
	round := 0
	for b.Loop() {
		b.StopTimer()
		round++
		var goals []*dag.Node
		for i := range 50 {
			goals = append(goals, l.drv(fmt.Sprintf("n%d-%d", round, i), []string{"write", "x"}, nil))
		}
		b.StartTimer()
		if _, err := l.realise(engine.Options{}, goals...); err != nil {
			b.Fatal(errorText(err))
		}
	}
	b.ReportMetric(b.Elapsed().Seconds()*1000/float64(b.N)/50, "ms/build")
}

// A graph of 2,000 nodes, all of which are there.
func BenchmarkNothingToDo(b *testing.B) {
	l := newLab(b)
	last, err := l.maker.Text("n0", "x")
	if err != nil {
		b.Fatal(err)
	}
	for i := range 2000 {
		if last, err = l.maker.Text(fmt.Sprintf("n%d", i+1), "x", last); err != nil {
			b.Fatal(err)
		}
	}
	if _, err := l.realise(engine.Options{}, last); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := l.realise(engine.Options{}, last); err != nil {
			b.Fatal(err)
		}
	}
}
