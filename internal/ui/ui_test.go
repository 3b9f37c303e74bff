package ui_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/event"
	"headwater/internal/ui"
)

var web = event.Node{ID: "/nix/store/x-web.drv", Kind: "build", Name: "web"}

// feed emits a small build in which "web" fails after it wrote 30 lines.
func feed(r ui.Renderer) {
	fetch := event.Node{ID: "f", Kind: "fetch", Name: "a.tgz"}
	r.Emit(event.Planned{Total: 3, Todo: 2})
	r.Emit(event.Started{Node: fetch})
	r.Emit(event.Progress{Node: fetch, Done: 10, Total: 20})
	r.Emit(event.Finished{Node: fetch, Bytes: 2_500_000})
	r.Emit(event.Started{Node: web})
	for i := range 30 {
		r.Emit(event.Log{Node: web, Line: "\x1b[31mline " + string(rune('a'+i%26))})
	}
	r.Emit(event.Finished{Node: web, Duration: 1500 * time.Millisecond, LogPath: "/logs/web", Err: errors.New("builder ended with 1")})
	r.Emit(event.Message{Level: event.Warning, Text: "careful"})
	r.Emit(event.Checked{Stage: "checks", Kind: "request", Name: "page", Duration: time.Second})
	r.Emit(event.Checked{Stage: "stop", Kind: "stop", Name: "web ends", Err: errors.New("it was killed")})
	r.Close()
}

func TestText(t *testing.T) {
	var out bytes.Buffer
	feed(ui.Text(&out, ui.Terminal{Now: func() time.Time { return time.Unix(0, 0) }}))
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	want := []string{"build web: builder ended with 1"}
	for i := 5; i < 30; i++ {
		want = append(want, "  │ [31mline "+string(rune('a'+i%26)))
	}
	want = append(want, "  the whole log: /logs/web", "warning: careful", "✓ checks     page (1.0 s)", "✗ stop       web ends (0.0 s): it was killed", "fetched   1 artifacts, 2.5 MB")
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Error(diff)
	}
}

// On a terminal the status is redrawn at most ten times a second and never wider than the terminal.
func TestTerminal(t *testing.T) {
	var out bytes.Buffer
	now := time.Unix(0, 0)
	r := ui.Text(&out, ui.Terminal{Width: 20, Now: func() time.Time { now = now.Add(time.Millisecond); return now }})
	r.Emit(event.Planned{Total: 1, Todo: 1})
	r.Emit(event.Started{Node: event.Node{ID: "1", Kind: "build", Name: strings.Repeat("long", 20)}})
	for range 1000 {
		r.Emit(event.Log{Node: web})
	}
	r.Close()
	drawn := strings.Split(out.String(), "\r\x1b[K")
	if n := len(drawn); n < 5 || n > 15 {
		t.Errorf("drawn %d times in about a second", n)
	}
	for _, s := range drawn {
		if len(s) >= 20 {
			t.Errorf("%q is wider than the terminal", s)
		}
	}
}

func TestJSON(t *testing.T) {
	var out bytes.Buffer
	feed(ui.JSON(&out))
	var events []string
	dec := json.NewDecoder(&out)
	for dec.More() {
		var l struct {
			V     int
			Event string
		}
		if err := dec.Decode(&l); err != nil {
			t.Fatal(err)
		}
		if l.V != 1 {
			t.Errorf("version %d", l.V)
		}
		if l.Event != "log" {
			events = append(events, l.Event)
		}
	}
	if diff := cmp.Diff("planned started progress finished started finished message checked checked", strings.Join(events, " ")); diff != "" {
		t.Error(diff)
	}
}
