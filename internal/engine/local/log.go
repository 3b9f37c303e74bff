package local

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"time"

	"headwater/internal/engine"
	"headwater/internal/event"
	"headwater/internal/nix"
)

// maxLine is where a line is cut in events and in the tail, in bytes. The log keeps it as it is.
const maxLine = 4 << 10

// LogPath is where the log of a derivation is kept, as Nix keeps it: what nix-store --read-log finds.
func LogPath(storeDir string, drvPath nix.StorePath) string {
	base := drvPath.Base()
	return filepath.Join(storeDir, "nix/var/log/nix/drvs", base[:2], base[2:])
}

// checkSuffix ends the name of the log of a build that Options.Check asked for.
const checkSuffix = ".check"

// logPath is where the job's log is written. Building once more leaves the first log as it is.
func (j *job) logPath() string {
	p := LogPath(j.Store.Dir(), j.node.DrvPath)
	if j.check {
		p += checkSuffix
	}
	return p
}

// buildLog takes what a builder writes: to its file as it is, to the events line by line. It has one writer.
type buildLog struct {
	job  *job
	path string
	file *os.File

	left      int64 // bytes that may still be written; less than 0: any number
	silence   *time.Timer
	maxSilent time.Duration

	line   []byte // the current line, up to maxLine
	back   bool   // a carriage return came last: the line begins anew, unless it ends
	recent []string
}

// openLog begins the log anew. It is written in place, so that it can be read meanwhile; the path's lock sees to it that
// nobody else writes to it.
func (j *job) openLog() (*buildLog, error) {
	l := &buildLog{job: j, path: j.logPath(), left: j.opts.MaxLog}
	if err := os.MkdirAll(filepath.Dir(l.path), 0o755); err != nil {
		return nil, err
	}
	var err error
	l.file, err = os.Create(l.path)
	return l, err
}

// Write is io.Writer's. It is errFlood once more than allowed was written.
func (l *buildLog) Write(b []byte) (int, error) {
	if l.silence != nil {
		l.silence.Reset(l.maxSilent)
	}
	flood := l.left >= 0 && int64(len(b)) > l.left
	if flood {
		b = b[:l.left]
	}
	if l.left >= 0 {
		l.left -= int64(len(b))
	}
	n, err := l.file.Write(b)
	if err != nil {
		return n, err
	}
	l.lines(b)
	if flood {
		return n, errFlood
	}
	return n, nil
}

func (l *buildLog) lines(b []byte) {
	for len(b) > 0 {
		i := bytes.IndexAny(b, "\r\n")
		part := b
		if i >= 0 {
			part = b[:i]
		}
		if len(part) > 0 {
			if l.back {
				l.line, l.back = l.line[:0], false
			}
			l.line = append(l.line, part[:min(len(part), maxLine-len(l.line))]...)
		}
		if i < 0 {
			return
		}
		if b[i] == '\n' {
			l.endLine()
		} else {
			l.back = true
		}
		b = b[i+1:]
	}
}

func (l *buildLog) endLine() {
	text := strings.ToValidUTF8(string(l.line), "\uFFFD")
	l.line, l.back = l.line[:0], false
	if len(l.recent) == l.job.opts.LogTail {
		l.recent = append(l.recent[:0], l.recent[1:]...)
	}
	l.recent = append(l.recent, text)
	l.job.opts.Events(event.Log{Node: engine.EventNode(l.job.node), Line: text})
}

// Close ends the last line, if it has no end, and the file.
func (l *buildLog) Close() error {
	if len(l.line) > 0 {
		l.endLine()
	}
	return l.file.Close()
}

// tail is the end of what was written.
func (l *buildLog) tail() []string { return append([]string(nil), l.recent...) }
