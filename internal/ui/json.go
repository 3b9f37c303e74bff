package ui

import (
	"encoding/json"
	"io"

	"headwater/internal/event"
)

// Version of the JSON lines: it changes when a field's meaning does, not when one is added.
const Version = 1

// line is one JSON line. Only the fields of its event are present.
type line struct {
	V        int     `json:"v"`
	Event    string  `json:"event"` // planned, started, progress, log, finished, checked, message
	ID       string  `json:"id,omitempty"`
	Kind     string  `json:"kind,omitempty"`
	Name     string  `json:"name,omitempty"`
	Stage    string  `json:"stage,omitempty"` // of checked
	Total    *int64  `json:"total,omitempty"` // nodes of planned, bytes of progress
	Todo     *int    `json:"todo,omitempty"`
	Done     *int64  `json:"done,omitempty"` // bytes
	Text     *string `json:"text,omitempty"` // of a log line or a message
	Level    string  `json:"level,omitempty"`
	Seconds  float64 `json:"seconds,omitempty"`
	Bytes    int64   `json:"bytes,omitempty"`
	Log      string  `json:"log,omitempty"` // path of the whole log
	ErrorMsg string  `json:"error,omitempty"`
}

// JSON renders events as one JSON object a line.
func JSON(w io.Writer) Renderer { return &locked{r: &jsonRenderer{json.NewEncoder(w)}} }

type jsonRenderer struct{ enc *json.Encoder }

func (j *jsonRenderer) Close() {}

func (j *jsonRenderer) Emit(e event.Event) {
	l := line{V: Version}
	node := func(n event.Node) { l.ID, l.Kind, l.Name = n.ID, n.Kind, n.Name }
	switch e := e.(type) {
	case event.Planned:
		total := int64(e.Total)
		l.Event, l.Total, l.Todo = "planned", &total, &e.Todo
	case event.Started:
		l.Event = "started"
		node(e.Node)
	case event.Progress:
		l.Event, l.Done, l.Total = "progress", &e.Done, &e.Total
		node(e.Node)
	case event.Log:
		l.Event, l.Text = "log", &e.Line
		node(e.Node)
	case event.Finished:
		l.Event, l.Seconds, l.Bytes, l.Log = "finished", e.Duration.Seconds(), e.Bytes, e.LogPath
		node(e.Node)
		if e.Err != nil {
			l.ErrorMsg = e.Err.Error()
		}
	case event.Checked:
		l.Event, l.Stage, l.Kind, l.Name, l.Seconds = "checked", e.Stage, e.Kind, e.Name, e.Duration.Seconds()
		if e.Err != nil {
			l.ErrorMsg = e.Err.Error()
		}
	case event.Message:
		l.Event, l.Text, l.Level = "message", &e.Text, "info"
		if e.Level == event.Warning {
			l.Level = "warning"
		}
	}
	// A reader that went away is no reason to stop building.
	_ = j.enc.Encode(l)
}
