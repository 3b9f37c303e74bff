package daemon

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"headwater/internal/dag"
	"headwater/internal/engine"
	"headwater/internal/engine/local"
	"headwater/internal/event"
)

// maxLine is where a line is cut in events and in the tail, in bytes. The log keeps it as it came.
const maxLine = 4 << 10

// buildLog takes the lines of a build: to the file where logs of builds here are kept too, and to the events.
type buildLog struct {
	run    *run
	node   *dag.Node
	path   string
	file   *os.File
	size   int64
	recent []string
}

func (r *run) openLog(n *dag.Node) (*buildLog, error) {
	l := &buildLog{run: r, node: n, path: local.LogPath(r.Store.Dir(), n.DrvPath)}
	if err := os.MkdirAll(filepath.Dir(l.path), 0o755); err != nil {
		return nil, err
	}
	var err error
	l.file, err = os.Create(l.path)
	return l, err
}

func (l *buildLog) line(text string) error {
	l.size += int64(len(text)) + 1
	_, err := l.file.WriteString(text + "\n")
	text = strings.ToValidUTF8(text[:min(len(text), maxLine)], "\uFFFD")
	if len(l.recent) == l.run.opts.LogTail {
		l.recent = append(l.recent[:0], l.recent[1:]...)
	}
	l.recent = append(l.recent, text)
	l.run.opts.Events(event.Log{Node: engine.EventNode(l.node), Line: text})
	return err
}

// explain tells a failure's log.
func (l *buildLog) explain(err error) {
	var failed *engine.BuildFailed
	if errors.As(err, &failed) {
		failed.Log, failed.LogPath = append([]string(nil), l.recent...), l.path
	}
}
