package ui

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"headwater/internal/event"
)

// Terminal says what is known of where text goes.
type Terminal struct {
	Width int              // columns; 0 means that it is no terminal
	Now   func() time.Time // clock of durations
	Logs  bool             // show every line of builders' output
}

const (
	redraw  = 100 * time.Millisecond
	logTail = 25 // lines of a failed builder's output that are shown
)

// Text renders events for people.
func Text(w io.Writer, t Terminal) Renderer {
	return &locked{r: &text{w: w, t: t, running: map[string]*work{}}}
}

type text struct {
	w         io.Writer
	t         Terminal
	todo      int // nodes to realise
	ended     int
	running   map[string]*work // by node ID
	fetched   int
	bytes     int64 // downloaded by ended fetches
	drawn     time.Time
	statusLen int
}

// work is a node that is being realised.
type work struct {
	node  event.Node
	start time.Time
	done  int64
	tail  []string // last lines of output
}

func (t *text) Emit(e event.Event) {
	switch e := e.(type) {
	case event.Planned:
		t.todo += e.Todo
	case event.Started:
		t.running[e.Node.ID] = &work{node: e.Node, start: t.t.Now()}
	case event.Progress:
		if w := t.running[e.Node.ID]; w != nil {
			w.done = e.Done
		}
	case event.Log:
		t.log(e)
	case event.Finished:
		t.finished(e)
	case event.Checked:
		mark, rest := "✓", ""
		if e.Err != nil {
			mark, rest = "✗", ": "+e.Err.Error()
		}
		t.println(fmt.Sprintf("%s %-10s %s (%.1f s)%s", mark, e.Stage, Printable(e.Name), e.Duration.Seconds(), Printable(rest)))
	case event.Message:
		prefix := ""
		if e.Level == event.Warning {
			prefix = "warning: "
		}
		t.println(prefix + e.Text)
	}
	t.status()
}

func (t *text) log(e event.Log) {
	if t.t.Logs {
		t.println(e.Node.Name + "> " + Printable(e.Line))
	}
	w := t.running[e.Node.ID]
	if w == nil {
		return
	}
	w.tail = append(w.tail, e.Line)
	if len(w.tail) > 2*logTail {
		w.tail = slices.Clone(w.tail[len(w.tail)-logTail:])
	}
}

func (t *text) finished(e event.Finished) {
	t.ended++
	w := t.running[e.Node.ID]
	delete(t.running, e.Node.ID)
	if e.Err != nil {
		t.println(fmt.Sprintf("%s %s: %v", e.Node.Kind, e.Node.Name, e.Err))
		if w != nil && len(w.tail) > 0 && !t.t.Logs {
			for _, l := range w.tail[max(0, len(w.tail)-logTail):] {
				t.println("  │ " + Printable(l))
			}
		}
		if e.LogPath != "" {
			t.println("  the whole log: " + e.LogPath)
		}
		return
	}
	switch e.Node.Kind {
	case "fetch":
		t.fetched++
		t.bytes += e.Bytes
		return
	case "push", "pull": // the command says how many
		return
	}
	t.println(fmt.Sprintf("%-9s %-40s %s", e.Node.Kind, e.Node.Name, duration(e.Duration)))
}

// Close ends the status line and says what was fetched.
func (t *text) Close() {
	t.clear()
	if t.fetched > 0 {
		fmt.Fprintf(t.w, "fetched   %d artifacts, %s\n", t.fetched, size(t.bytes))
	}
}

func (t *text) println(s string) {
	t.clear()
	fmt.Fprintln(t.w, s)
	t.drawn = time.Time{}
}

func (t *text) clear() {
	if t.statusLen > 0 {
		fmt.Fprint(t.w, "\r\x1b[K")
		t.statusLen = 0
	}
}

// status redraws the status line: how far, what is running and for how long, how much was fetched.
func (t *text) status() {
	now := t.t.Now()
	if t.t.Width == 0 || now.Sub(t.drawn) < redraw {
		return
	}
	t.drawn = now
	var fetching, sending int
	bytes := t.bytes
	var builds []*work
	for _, w := range t.running {
		switch w.node.Kind {
		case "fetch", "pull":
			fetching++
			bytes += w.done
		case "push":
			sending++
		default:
			builds = append(builds, w)
		}
	}
	slices.SortFunc(builds, func(a, b *work) int { return a.start.Compare(b.start) })
	parts := []string{fmt.Sprintf("[%d/%d]", t.ended, t.todo)}
	for _, w := range builds {
		parts = append(parts, w.node.Name+" "+duration(now.Sub(w.start)))
	}
	if fetching > 0 {
		parts = append(parts, fmt.Sprintf("fetching %d (%s so far)", fetching, size(bytes)))
	}
	if sending > 0 {
		parts = append(parts, fmt.Sprintf("sending %d", sending))
	}
	line := strings.Join(parts, "  ")
	if r := []rune(line); len(r) >= t.t.Width {
		line = string(r[:t.t.Width-1])
	}
	fmt.Fprint(t.w, "\r\x1b[K"+line)
	t.statusLen = len(line)
}

func duration(d time.Duration) string {
	if d < 10*time.Second {
		return fmt.Sprintf("%.1fs", d.Seconds())
	}
	return d.Round(time.Second).String()
}

func size(n int64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.1f GB", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%d kB", (n+999)/1000)
}

// Printable keeps a builder's output from steering the terminal.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return -1
		}
		return r
	}, s)
}
