package proof

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"headwater/internal/event"
)

// Build is how a package came to be, for its page.
type Build struct {
	Nodes []Node // the goal last
}

// Node is one thing that the package is made of or by.
type Node struct {
	ID    string
	Kind  string // "fetch", "root", "toolchain", "src", "deps", "build", "package"
	Name  string
	Needs []string // IDs
	Start Millis   // since the build's beginning, of what was made by it
	Took  Millis   // 0 of what was there already
	Made  bool     // else it was there already
}

// Timeline notes when a build's nodes were made. Its zero value is ready.
type Timeline struct {
	mu    sync.Mutex
	began time.Time
	made  map[string]Node
}

// Sink is a sink that notes the times and hands all events on.
func (t *Timeline) Sink(now func() time.Time, next event.Sink) event.Sink {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.began, t.made = now(), map[string]Node{}
	return func(e event.Event) {
		if f, ok := e.(event.Finished); ok && f.Err == nil {
			t.mu.Lock()
			start := max(0, now().Sub(t.began)-f.Duration)
			t.made[f.Node.ID] = Node{ID: f.Node.ID, Kind: f.Node.Kind, Name: f.Node.Name, Start: Millis(start), Took: Millis(f.Duration), Made: true}
			t.mu.Unlock()
		}
		next(e)
	}
}

// Build joins a graph's nodes, of which only ID, Kind, Name and Needs count, with the times.
func (t *Timeline) Build(nodes []Node) *Build {
	t.mu.Lock()
	defer t.mu.Unlock()
	b := &Build{}
	for _, n := range nodes {
		if m, ok := t.made[n.ID]; ok {
			n.Start, n.Took, n.Made = m.Start, m.Took, true
		}
		b.Nodes = append(b.Nodes, n)
	}
	return b
}

// fetches tells of nodes that there are too many of to show one by one.
func (n Node) fetches() bool { return n.Kind == "fetch" }

// plain is the name without what the kind says.
func (n Node) plain() string {
	return strings.TrimPrefix(strings.TrimPrefix(n.Name, n.Kind+" "), "source of ")
}

// critical is the chain of nodes that the build's time is made of: from the last in the list, which is the goal, or where that was there
// already the one that ended last, always to what it needs that ended last.
func (b *Build) critical() map[string]bool {
	byID := map[string]Node{}
	var last Node
	for _, n := range b.Nodes {
		byID[n.ID] = n
		if n.Made && (!last.Made || later(n, last)) {
			last = n
		}
	}
	if goal := len(b.Nodes) - 1; goal >= 0 && b.Nodes[goal].Made {
		last = b.Nodes[goal]
	}
	on := map[string]bool{}
	for last.Made && !on[last.ID] {
		on[last.ID] = true
		var next Node
		for _, id := range last.Needs {
			if n := byID[id]; n.Made && !on[id] && (!next.Made || later(n, next)) {
				next = n
			}
		}
		last = next
	}
	return on
}

func later(a, b Node) bool { return a.Start+a.Took > b.Start+b.Took }

// timeline is the bars of the page.
type timeline struct {
	Bars         []bar
	Total        Millis
	Critical     Millis // work on the critical path
	Made, Before int    // nodes that were made, and that were there before
	All          int
	Ticks        []tick
}

type bar struct {
	Kind, Name  string
	Left, Width float64 // in percent of the whole
	Start, Took Millis
	Critical    bool
	Label       string // where its time has room: "right" of it, "left" or "inside"
}

type tick struct {
	Left float64
	Text string
}

func (b *Build) timeline() *timeline {
	t := &timeline{}
	on := b.critical()
	var fetched bar
	fetches, end := 0, Millis(0)
	var bars []bar
	for _, n := range b.Nodes {
		if !n.Made {
			t.Before++
			continue
		}
		t.Made++
		t.Total = max(t.Total, n.Start+n.Took)
		if on[n.ID] {
			t.Critical += n.Took
		}
		if !n.fetches() {
			bars = append(bars, bar{Kind: n.Kind, Name: n.plain(), Start: n.Start, Took: n.Took, Critical: on[n.ID]})
			continue
		}
		if fetches == 0 || n.Start < fetched.Start {
			fetched.Start = n.Start
		}
		end = max(end, n.Start+n.Took)
		fetched.Critical = fetched.Critical || on[n.ID]
		fetches++
	}
	if fetches > 0 {
		fetched.Kind, fetched.Name, fetched.Took = "fetch", fmt.Sprintf("%d artifacts", fetches), end-fetched.Start
		bars = append(bars, fetched)
	}
	slices.SortStableFunc(bars, func(a, b bar) int { return cmp.Or(cmp.Compare(a.Start, b.Start), strings.Compare(a.Name, b.Name)) })
	for i := range bars {
		if t.Total > 0 {
			bars[i].Left, bars[i].Width = percent(bars[i].Start, t.Total), max(0.3, percent(bars[i].Took, t.Total))
		}
		const room = 14 // percent
		switch {
		case bars[i].Left+bars[i].Width <= 100-room:
			bars[i].Label = "right"
		case bars[i].Left >= room:
			bars[i].Label = "left"
		default:
			bars[i].Label = "inside"
		}
	}
	t.Bars, t.Ticks, t.All = bars, ticks(t.Total), len(b.Nodes)
	return t
}

func percent(a, b Millis) float64 { return float64(int(float64(a)*10000/float64(b))) / 100 }

// ticks are the marks of the time axis: at most six, at times that people count in.
func ticks(total Millis) []tick {
	if total <= 0 {
		return nil
	}
	step := time.Second
	for _, s := range []time.Duration{time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 15 * time.Second, 30 * time.Second, time.Minute,
		2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour} {
		if step = s; time.Duration(total)/s <= 6 {
			break
		}
	}
	var list []tick
	for at := time.Duration(0); at <= time.Duration(total); at += step {
		text := fmt.Sprintf("%d s", int(at.Seconds()))
		if step >= time.Minute {
			text = fmt.Sprintf("%d min", int(at.Minutes()))
		}
		list = append(list, tick{Left: percent(Millis(at), total), Text: text})
	}
	return list
}
