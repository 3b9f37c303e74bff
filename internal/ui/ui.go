// Package ui renders events: as text for people or as versioned JSON lines for programs.
//
// Output rules: results go to standard output and are cmd's business; all that is rendered here goes to standard error.
// On a terminal one status line is redrawn, at most ten times a second; elsewhere a line is printed when something ends.
// A failed build shows the end of its log and where the rest is. Fetches are counted, not listed.
package ui

import (
	"sync"

	"headwater/internal/event"
)

// Renderer shows events. Close ends the status line; nothing may be emitted after it.
type Renderer interface {
	Emit(event.Event)
	Close()
}

// locked makes a renderer safe for concurrent use.
type locked struct {
	mu sync.Mutex
	r  Renderer
}

func (l *locked) Emit(e event.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.r.Emit(e)
}

func (l *locked) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.r.Close()
}
