// Package event holds the typed progress events by which the inside of Headwater speaks.
//
// Stages emit events to a Sink; renderers (package ui) turn them into text or versioned JSON lines. Nothing
// below cmd writes to a terminal.
package event

import "time"

// Sink receives events. It must be safe for concurrent use and must not block for long. A nil Sink is not valid;
// use Discard.
type Sink func(Event)

// Discard drops every event.
func Discard(Event) {}

// Event is one of the types below.
type Event interface{ isEvent() }

// Node names the unit of work an event is about.
type Node struct {
	ID   string // store path of the .drv, or of the object itself; unique in a run
	Kind string // "fetch", "root", "src", "deps", "build", "package", …
	Name string // for people
}

type (
	// Planned is sent once when the work is known: how many nodes exist and how many of them must be realised.
	Planned struct{ Total, Todo int }
	// Started says that a node's work began.
	Started struct{ Node Node }
	// Progress tells how far a node is. Total is 0 where it is not known. Unit: bytes.
	Progress struct {
		Node        Node
		Done, Total int64
	}
	// Log is one line of a builder's output, without its line end.
	Log struct {
		Node Node
		Line string
	}
	// Finished says that a node's work ended. Err is nil on success.
	Finished struct {
		Node     Node
		Duration time.Duration
		Bytes    int64 // downloaded, 0 for other work
		LogPath  string
		Err      error
	}
	// Checked says that a check of a running service ended.
	Checked struct {
		Stage, Kind, Name string
		Duration          time.Duration
		Err               error // nil if all is well
	}
	// Message is a remark for the operator.
	Message struct {
		Level Level
		Text  string
	}
)

// Level orders messages.
type Level int

// Levels of a Message.
const (
	Info Level = iota
	Warning
)

func (Planned) isEvent()  {}
func (Started) isEvent()  {}
func (Progress) isEvent() {}
func (Log) isEvent()      {}
func (Finished) isEvent() {}
func (Checked) isEvent()  {}
func (Message) isEvent()  {}
