package verify

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"headwater/internal/proof"
	"headwater/internal/run"
	"headwater/internal/service"
)

// faults tells log lines of faults that a service met and did not tell its users.
type faults struct {
	level *regexp.Regexp // the line's level: of the first group where it is one of a fault
	hard  *regexp.Regexp // what is a fault whatever the level
}

func newFaults() faults {
	const bad, calm = `error|fatal|critical|crit|panic|emerg|emergency|alert|severe`, `trace|debug|info|notice|log|warn|warning`
	return faults{
		level: regexp.MustCompile(strings.Join([]string{
			`\blevel=["']?(?:((?i:` + bad + `))|(?i:` + calm + `))\b`,
			`"(?:level|severity|levelname|log\.level)":\s?"(?:((?i:` + bad + `))|(?i:` + calm + `))"`,
			`"level":\s?(?:([56]0)|[1-4]0)\b`,                                                                // of loggers that count: 50 is an error, 60 fatal
			`\[(?:(` + bad + `)|` + calm + `)\]`,                                                             // of web servers
			`^\W*(?:\S+\s+){0,5}?[\[(|<]?(?:(` + strings.ToUpper(bad) + `)|` + strings.ToUpper(calm) + `)\b`, // near the front
		}, "|")),
		hard: regexp.MustCompile(strings.Join([]string{
			`Traceback \(most recent call last\)`, `^panic: `, `^fatal error: `, `^goroutine \d+ \[`, `^thread '.*' panicked at`,
			`(?i:unhandled ?(?:promise ?)?(?:rejection|exception|error))`, `(?i:uncaught ?exception)`, `Exception in thread `,
			`(?i:segmentation fault|core dumped)`,
		}, "|")),
	}
}

func (f faults) in(line string) bool {
	if f.hard.MatchString(line) {
		return true
	}
	m := f.level.FindStringSubmatch(line)
	return m != nil && strings.Join(m[1:], "") != ""
}

var readOnly = regexp.MustCompile(`(?i)read-only file system|\bEROFS\b`)

// linesAfter is how many lines after one of a fault are told.
const linesAfter = 12

// maxLogLine is the longest line that is looked at; a longer one is looked at in parts.
const maxLogLine = 64 << 10

// search reads a log and tells the first line that is says.
func search(file string, is func(line string) bool) ([]string, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close() // only read
	r := bufio.NewReaderSize(f, maxLogLine)
	var found []string
	for {
		line, _, err := r.ReadLine()
		if err == io.EOF || len(found) > linesAfter {
			return found, nil
		}
		if err != nil {
			return found, err
		}
		if s := strings.ToValidUTF8(string(line), "�"); found != nil || is(s) {
			found = append(found, s)
		}
	}
}

// audit looks at all that was printed.
func (d *driver) audit(stage proof.Stage, logs string) {
	fault := newFaults()
	hidden := d.secrets.all()
	for _, a := range []struct {
		name, expected string
		is             func(process, line string) bool
		cause          func(process, text string) []proof.Cause
	}{
		{"the logs have no errors", "no line of an error, a traceback or a panic", func(p, line string) bool {
			if s, is := d.recipe.Services[p]; is {
				kind, known := service.Find(s.Kind)
				return known && kind.Facts().Faults.MatchString(line)
			}
			return fault.in(line) && !d.checker.allowed(line)
		}, func(_, text string) []proof.Cause {
			if list := causesIn(d.recipe, text); len(list) > 0 {
				return list
			}
			return []proof.Cause{{Class: "error in the log", Text: "it met a fault that no check noticed; where it is none, allow the line", Change: "allow-logs"}}
		}},
		{"nothing is written outside of the volumes", "no attempt to", func(_, line string) bool {
			return readOnly.MatchString(line) && !d.checker.allowed(line)
		}, func(_, text string) []proof.Cause { return causesIn(d.recipe, text) }},
		{"the logs have no secrets", "no password, token or secret in a log", func(_, line string) bool {
			holds := func(line string) bool {
				return slices.ContainsFunc(hidden, func(s string) bool { return strings.Contains(line, s) })
			}
			return holds(line) && holds(d.checker.unallowed(line))
		}, func(p, _ string) []proof.Cause {
			return []proof.Cause{{Class: "secret in the log", Text: "what it prints can be read by whoever may read logs: a log level or format may be a setting", Change: d.processKey(p)}}
		}},
	} {
		start := clock()
		o := outcome{}
		for _, process := range slices.Sorted(maps.Keys(d.logs)) {
			lines, err := search(filepath.Join(d.plan.Work, LogDir, logs, process+".log"), func(line string) bool { return a.is(process, line) })
			if err != nil && !os.IsNotExist(err) {
				d.notes = append(d.notes, "read log: "+err.Error())
			}
			if len(lines) == 0 {
				continue
			}
			o = failed(a.expected, fmt.Sprintf("%s printed: %s", process, lines[0]))
			o.failure.Process, o.failure.Log, o.failure.Causes = process, lines, a.cause(process, joined(lines))
			break
		}
		d.keep(proof.Check{Stage: stage, Name: a.name, Kind: "audit", At: proof.Millis(start.Sub(d.began)), Took: proof.Millis(clock().Sub(start))}, o)
	}
}

func joined(lines []string) string { return strings.Join(lines, "\n") }

// tailBytes is how much of a log's end is looked at for a failure.
const tailBytes = 16 << 10

// tail is the end of a process's log.
func (d *driver) tail(process string) []string {
	if process == "" || d.runner == nil {
		return nil
	}
	lines, err := readFrom(d.runner.LogPath(process), 0)
	if err != nil {
		return nil // it printed nothing yet
	}
	return lines
}

// logSizes tells how long the logs of what runs are now, in bytes.
func (d *driver) logSizes() map[string]int64 {
	sizes := map[string]int64{}
	for name := range d.logs {
		if info, err := os.Stat(d.runner.LogPath(name)); err == nil {
			sizes[name] = info.Size()
		}
	}
	return sizes
}

// since is what was printed since the logs had those sizes: of the process whose lines tell of a fault, else of the front, else of any.
func (d *driver) since(sizes map[string]int64) (process string, lines []string) {
	fault := newFaults()
	best := -1
	for _, name := range slices.Sorted(maps.Keys(d.logs)) {
		if _, service := d.recipe.Services[name]; service || name == run.MigrateName {
			continue
		}
		list, err := readFrom(d.runner.LogPath(name), sizes[name])
		if err != nil || len(list) == 0 {
			continue
		}
		rank := 0
		if name == d.recipe.Front() {
			rank = 1
		}
		if slices.ContainsFunc(list, fault.in) {
			rank += 2
		}
		if rank > best {
			best, process, lines = rank, name, list
		}
	}
	return process, lines
}

// readFrom reads a log's last lines, of those after the offset.
func readFrom(file string, offset int64) ([]string, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close() // only read
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	from := max(offset, info.Size()-tailBytes)
	b := make([]byte, max(0, info.Size()-from))
	n, err := f.ReadAt(b, from)
	if err != nil && err != io.EOF {
		return nil, err
	}
	b = bytes.ToValidUTF8(b[:n], []byte("�"))
	if from > offset { // the first line is cut
		_, b, _ = bytes.Cut(b, []byte("\n"))
	}
	return logLines(string(b)), nil
}
