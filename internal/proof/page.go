package proof

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"html/template"
	"slices"
	"strings"
	"time"
)

// Page is what the HTML page of a record shows. Its HTML is one file that loads nothing: pictures are in it, and there is no script.
type Page struct {
	Record *Record
	Shots  map[string][]byte // PNG by its SHA-256 in hexadecimal; one that is not there is left out
	Build  *Build            // nil leaves out what of the page is about the build
	Before *Record           // the last proof of the service, nil if there is none
}

//go:embed page.html.tmpl
var pageText string

// HTML makes the page. The same input makes the same bytes.
func (p Page) HTML() ([]byte, error) {
	t, err := template.New("page").Funcs(template.FuncMap{
		"ms": func(m Millis) string { return took(time.Duration(m)) }, "bytes": size, "text": text, "short": short,
		"shot": func(s Shot) (template.URL, error) { return p.shot(s) },
	}).Parse(pageText)
	if err != nil {
		return nil, err
	}
	v := view{Record: p.Record, Stages: stages(p.Record)}
	for _, c := range p.Record.Checks {
		v.Total++
		if c.OK {
			v.Good++
		}
	}
	for _, q := range p.Record.Processes {
		v.Memory += q.PeakMemory
		v.Ready = max(v.Ready, q.Ready)
	}
	if p.Build != nil {
		v.Timeline, v.Graph = p.Build.timeline(), p.Build.graph()
	}
	if p.Before != nil {
		v.Before, v.Changes = p.Before, Changes(p.Before, p.Record)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, v); err != nil {
		return nil, fmt.Errorf("make the proof's page: %w", err)
	}
	return b.Bytes(), nil
}

// view is what the template sees.
type view struct {
	Record      *Record
	Good, Total int
	Memory      int64 // peaks of all processes together
	Ready       Millis
	Stages      []stage
	Timeline    *timeline
	Graph       *drawing
	Before      *Record
	Changes     []Change
}

// stage is the checks of a stage, in the record's order.
type stage struct {
	Stage  Stage
	Title  string
	Checks []Check
}

func stages(r *Record) []stage {
	titles := map[Stage]string{
		Start: "Start on an empty database", Checks: "Use", Remigrate: "Migrate again, with nothing to do", Stop: "Stop", Restart: "Start again on the same data",
		Upgrade: "Upgrade of an older release's data", Audit: "Look at what is left",
	}
	var list []stage
	for _, c := range r.Checks {
		if i := slices.IndexFunc(list, func(s stage) bool { return s.Stage == c.Stage }); i >= 0 {
			list[i].Checks = append(list[i].Checks, c)
			continue
		}
		title := titles[c.Stage]
		if title == "" {
			title = string(c.Stage)
		}
		list = append(list, stage{Stage: c.Stage, Title: title, Checks: []Check{c}})
	}
	return list
}

// shot is a screenshot as an address that has it in itself, "" if it is not there. A picture with another digest than the record's is an
// error: the page would show what was not proven.
func (p Page) shot(s Shot) (template.URL, error) {
	png, ok := p.Shots[s.SHA256]
	if !ok {
		return "", nil
	}
	if sum := sha256.Sum256(png); hex.EncodeToString(sum[:]) != s.SHA256 {
		return "", fmt.Errorf("screenshot %q is another than that of the record", s.Title)
	}
	return template.URL("data:image/png;base64," + base64.StdEncoding.EncodeToString(png)), nil //nolint:gosec // nothing in it comes from elsewhere
}

// Change is what differs between two records.
type Change struct {
	What, Before, After string
	Worse               bool
}

// Changes lists what differs from an earlier record to a later one: what was verified, the verdicts, and times and memory that are much
// more or much less.
func Changes(before, after *Record) []Change {
	var list []Change
	differ := func(what, a, b string) {
		if a != b {
			list = append(list, Change{What: what, Before: cut(a), After: cut(b)})
		}
	}
	differ("release", before.Release, after.Release)
	differ("package", before.Package, after.Package)
	differ("lock", before.Lock, after.Lock)
	differ("recipe", before.Recipe, after.Recipe)
	list = append(list, changedChecks(before, after)...)
	for _, p := range after.Processes {
		i := slices.IndexFunc(before.Processes, func(q Process) bool { return q.Name == p.Name })
		if i < 0 {
			list = append(list, Change{What: "process " + p.Name, Before: "none", After: "new"})
			continue
		}
		q := before.Processes[i]
		if much(q.PeakMemory, p.PeakMemory, 16<<20) {
			list = append(list, Change{"memory of " + p.Name, size(q.PeakMemory), size(p.PeakMemory), p.PeakMemory > q.PeakMemory})
		}
		if much(int64(q.Ready), int64(p.Ready), int64(time.Second)) {
			list = append(list, Change{"start of " + p.Name, took(time.Duration(q.Ready)), took(time.Duration(p.Ready)), p.Ready > q.Ready})
		}
	}
	for _, q := range before.Processes {
		if !slices.ContainsFunc(after.Processes, func(p Process) bool { return p.Name == q.Name }) {
			list = append(list, Change{What: "process " + q.Name, Before: "there", After: "gone"})
		}
	}
	return list
}

func changedChecks(before, after *Record) []Change {
	verdict := func(c Check) string {
		if c.OK {
			return "passed"
		}
		return "failed"
	}
	find := func(r *Record, c Check) (Check, bool) {
		i := slices.IndexFunc(r.Checks, func(d Check) bool { return d.Stage == c.Stage && d.Name == c.Name })
		if i < 0 {
			return Check{}, false
		}
		return r.Checks[i], true
	}
	var list []Change
	for _, c := range after.Checks {
		what := fmt.Sprintf("%s: %s", c.Stage, c.Name)
		old, ok := find(before, c)
		switch {
		case !ok:
			list = append(list, Change{what, "not checked", verdict(c), !c.OK})
			continue
		case old.OK != c.OK:
			list = append(list, Change{what, verdict(old), verdict(c), !c.OK})
		case much(int64(old.Took), int64(c.Took), int64(2*time.Second)):
			list = append(list, Change{"time of " + what, took(time.Duration(old.Took)), took(time.Duration(c.Took)), c.Took > old.Took})
		}
		for _, f := range c.Findings {
			i := slices.IndexFunc(old.Findings, func(g Finding) bool { return g.Name == f.Name })
			if i >= 0 && old.Findings[i].OK != f.OK {
				list = append(list, Change{what + ": " + f.Name, verdict(Check{OK: old.Findings[i].OK}), verdict(Check{OK: f.OK}), !f.OK})
			}
		}
	}
	for _, c := range before.Checks {
		if _, ok := find(after, c); !ok {
			list = append(list, Change{fmt.Sprintf("%s: %s", c.Stage, c.Name), verdict(c), "not checked", true})
		}
	}
	return list
}

// much tells whether a measure changed by a quarter and by at least the least that counts.
func much(a, b, least int64) bool {
	d := max(a, b) - min(a, b)
	return d >= least && d*4 >= max(a, b)
}

// cut is a digest or store path in a length to be read.
func cut(s string) string {
	if rest, ok := strings.CutPrefix(s, "sha256:"); ok && len(rest) > 12 {
		return rest[:12] + "…"
	}
	if s == "" {
		return "none"
	}
	return short(s)
}

// short is a store path without its store.
func short(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }

// took is a time span for people.
func took(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	default:
		d = d.Round(time.Second)
		return fmt.Sprintf("%d min %02d s", int(d.Minutes()), int(d.Seconds())%60)
	}
}

func size(n int64) string {
	switch {
	case n < 1<<10:
		return fmt.Sprintf("%d B", n)
	case n < 1<<20:
		return fmt.Sprintf("%d KiB", n>>10)
	case n < 1<<30:
		return fmt.Sprintf("%d MiB", n>>20)
	default:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	}
}

// text joins a log's lines.
func text(lines []string) string { return strings.Join(lines, "\n") }
