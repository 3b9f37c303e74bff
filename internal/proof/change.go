package proof

import (
	"fmt"
	"time"
)

// Change is one thing that differs between two proofs.
type Change struct{ Name, Old, New string } // Old or New is "" where it was not there

// What counts as a change of a measured value: both are noise below.
const (
	muchMore    = 1.5 // times
	littleTime  = 5 * time.Second
	littleBytes = 32 << 20
)

// Since lists what differs from an older proof of the same service: what was verified, checks that came, went or turned, and times and memory
// that are much more or much less.
func (r *Record) Since(old *Record) []Change {
	var list []Change
	add := func(name, a, b string) {
		if a != b {
			list = append(list, Change{name, a, b})
		}
	}
	add("release", old.Release, r.Release)
	add("package", old.Package, r.Package)
	add("lock", old.Lock, r.Lock)
	add("recipe", old.Recipe, r.Recipe)
	add("verdict", verdict(old.Passed), verdict(r.Passed))
	before, after := old.byName(), r.byName()
	for _, c := range r.Checks {
		name := c.title()
		was, ok := before[name]
		switch {
		case !ok:
			add(name, "", verdict(c.OK))
		case was.OK != c.OK:
			add(name, verdict(was.OK), verdict(c.OK))
		case differs(float64(was.Took), float64(c.Took), float64(littleTime)):
			add(name, seconds(was.Took), seconds(c.Took))
		}
		for _, f := range c.Findings {
			for _, g := range was.Findings {
				if f.Name == g.Name {
					add(name+": "+f.Name, verdict(g.OK), verdict(f.OK))
				}
			}
		}
	}
	for _, c := range old.Checks {
		if _, ok := after[c.title()]; !ok {
			add(c.title(), verdict(c.OK), "")
		}
	}
	for _, p := range r.Processes {
		for _, q := range old.Processes {
			if p.Name == q.Name && differs(float64(q.PeakMemory), float64(p.PeakMemory), littleBytes) {
				add("memory of "+p.Name, mebibytes(q.PeakMemory), mebibytes(p.PeakMemory))
			}
		}
	}
	return list
}

func (r *Record) byName() map[string]Check {
	m := map[string]Check{}
	for _, c := range r.Checks {
		m[c.title()] = c
	}
	return m
}

// title tells a check from the same one at another stage.
func (c Check) title() string { return string(c.Stage) + ": " + c.Name }

func differs(a, b, little float64) bool {
	return max(a, b)-min(a, b) > little && max(a, b) > muchMore*min(a, b)
}

func verdict(ok bool) string {
	if ok {
		return "passed"
	}
	return "failed"
}

// seconds is a time span for people.
func seconds(m Millis) string {
	d := time.Duration(m)
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	d = d.Round(time.Second)
	return fmt.Sprintf("%d min %02d s", int(d.Minutes()), int(d.Seconds())%60)
}

func mebibytes(n int64) string { return fmt.Sprintf("%d MiB", (n+1<<19)>>20) }
