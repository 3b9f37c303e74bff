package proof

import (
	"bytes"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"strings"
	"time"
)

//go:embed page.html
var pageText string

// Page renders a proof for people: one HTML file that needs no network and runs no script. old is the proof before it, nil if there is none;
// build is how the package came to be, nil to leave that out; shot gives a screenshot's PNG by its SHA-256.
func Page(r, old *Record, build *Build, shot func(sha256 string) ([]byte, error)) ([]byte, error) {
	p := page{Record: r, images: map[string]template.URL{}}
	if old != nil {
		p.Changes = r.Since(old)
		p.Old = old
	}
	if build != nil {
		p.Timeline, p.Graph = build.timeline(), build.graph()
	}
	for _, c := range r.Checks {
		for _, s := range c.Shots {
			if _, ok := p.images[s.SHA256]; ok {
				continue
			}
			png, err := shot(s.SHA256)
			if err != nil {
				return nil, fmt.Errorf("render proof: %w", err)
			}
			p.images[s.SHA256] = template.URL("data:image/png;base64," + base64.StdEncoding.EncodeToString(png)) // of our own making
		}
	}
	t, err := template.New("page").Funcs(template.FuncMap{
		"seconds": seconds, "mebibytes": mebibytes, "verdict": verdict, "short": short,
		"lines": func(list []string) string { return strings.Join(list, "\n") },
	}).Parse(pageText)
	if err != nil {
		return nil, fmt.Errorf("render proof: %w", err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, p); err != nil {
		return nil, fmt.Errorf("render proof: %w", err)
	}
	return b.Bytes(), nil
}

// page is what the template sees.
type page struct {
	*Record
	Old     *Record
	Changes []Change

	Timeline *timeline
	Graph    *drawing
	images   map[string]template.URL
}

// Memory is the peaks of all processes together, in bytes.
func (p page) Memory() (sum int64) {
	for _, q := range p.Processes {
		sum += q.PeakMemory
	}
	return sum
}

// Ready is how long the slowest process took to be healthy.
func (p page) Ready() (most Millis) {
	for _, q := range p.Processes {
		most = max(most, q.Ready)
	}
	return most
}

// Image is a screenshot as an address that holds it.
func (p page) Image(s Shot) template.URL { return p.images[s.SHA256] }

// Stages lists the checks by stage, each stage once, in the order in which they began.
func (p page) Stages() []stage {
	var list []stage
	for _, c := range p.Checks {
		if n := len(list); n == 0 || list[n-1].Name != c.Stage {
			list = append(list, stage{Name: c.Stage})
		}
		list[len(list)-1].Checks = append(list[len(list)-1].Checks, c)
	}
	return list
}

type stage struct {
	Name   Stage
	Checks []Check
}

// Title is the stage in words.
func (s stage) Title() string {
	switch s.Name {
	case Start:
		return "Start on an empty database"
	case Checks:
		return "Use"
	case Remigrate:
		return "Migrate again, with nothing to do"
	case Stop:
		return "Stop"
	case Restart:
		return "Start again on the same data"
	case Upgrade:
		return "Upgrade an older release's data"
	case Audit:
		return "Look at what is left"
	}
	return string(s.Name)
}

// Passed tells whether all of a stage's checks passed.
func (s stage) Passed() bool {
	for _, c := range s.Checks {
		if !c.OK {
			return false
		}
	}
	return true
}

// Shots are all screenshots, each once.
func (p page) Shots() []Shot {
	var list []Shot
	seen := map[string]bool{}
	for _, c := range p.Checks {
		for _, s := range c.Shots {
			if !seen[s.SHA256] {
				seen[s.SHA256] = true
				list = append(list, s)
			}
		}
	}
	return list
}

// Bar is where a check stands in the timeline, in percent: its start and its length.
func (p page) Bar(c Check) template.CSS {
	total := float64(max(p.Took, 1))
	const least = 0.4 // so that it can be seen
	width := max(least, 100*float64(c.Took)/total)
	left := min(100*float64(c.At)/total, 100-width)
	return template.CSS(fmt.Sprintf("left:%.2f%%;width:%.2f%%", left, width)) // numbers alone
}

// Day is when it was, for people.
func (p page) Day() string { return p.Started.UTC().Format(time.DateOnly + " 15:04 UTC") }

// Good is how many checks passed.
func (p page) Good() int { return len(p.Checks) - len(p.Failed()) }

// short is a digest or a store path that can be told from others at a glance.
func short(s string) string {
	const begin, end = 18, 24
	if len(s) > begin+end+1 {
		return s[:begin] + "…" + s[len(s)-end:]
	}
	return s
}
