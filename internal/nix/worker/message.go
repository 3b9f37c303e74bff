package worker

import (
	"fmt"
	"strings"
)

// What stands before a message. The numbers are four letters each.
const (
	msgNext  = 0x6f6c6d67
	msgRead  = 0x64617461
	msgWrite = 0x64617416
	msgLast  = 0x616c7473
	msgError = 0x63787470
	msgStart = 0x53545254
	msgStop  = 0x53544f50
	msgTell  = 0x52534c54
)

// Message is one of the types below.
type Message interface{ isMessage() }

type (
	// Log is what the daemon says besides: a warning, an error of something that it goes on without.
	Log struct{ Text string }
	// Start says that an activity began.
	Start struct {
		ID     uint64
		Type   ActivityType
		Text   string
		Fields []Field
		Parent uint64 // 0: none
	}
	// Stop says that an activity ended. How, it does not say.
	Stop struct{ ID uint64 }
	// Tell is something that an activity tells.
	Tell struct {
		ID     uint64
		Type   TellType
		Fields []Field
	}
)

func (Log) isMessage()   {}
func (Start) isMessage() {}
func (Stop) isMessage()  {}
func (Tell) isMessage()  {}

// Field is a part of a message: a number, or a text.
type Field struct {
	Number uint64
	Text   string
	IsText bool
}

// ActivityType is what an activity does. There are more than are named here.
type ActivityType uint64

// Activities.
const (
	Builds ActivityType = 104 // all builds of an operation; tells Progress
	Build  ActivityType = 105 // fields: the .drv, the machine that builds ("": the daemon's own)
)

// TellType is what an activity tells. There are more than are named here.
type TellType uint64

// What activities tell.
const (
	LogLine  TellType = 101 // fields: the line
	Progress TellType = 105 // fields: done, expected, running, failed
)

// messages reads messages until the daemon is done with an operation. The error is *RemoteError if the daemon says so.
func (c *Client) messages(operation string) error {
	for {
		switch kind := c.r.u64(); {
		case c.r.err != nil:
			return c.r.err
		case kind == msgLast:
			return nil
		case kind == msgError:
			text := c.remoteError()
			if c.r.err != nil {
				return c.r.err
			}
			return &RemoteError{Operation: operation, Text: text}
		default:
			m, err := c.message(kind)
			if err != nil {
				return err
			}
			c.sink(m)
		}
	}
}

func (c *Client) message(kind uint64) (m Message, err error) {
	switch kind {
	case msgNext:
		m = Log{Text: strings.TrimRight(Plain(c.r.text(maxText)), "\n")}
	case msgStart:
		s := Start{ID: c.r.u64()}
		c.r.u64() // verbosity
		s.Type, s.Text, s.Fields, s.Parent = ActivityType(c.r.u64()), Plain(c.r.text(maxText)), c.fields(), c.r.u64()
		m = s
	case msgStop:
		m = Stop{ID: c.r.u64()}
	case msgTell:
		m = Tell{ID: c.r.u64(), Type: TellType(c.r.u64()), Fields: c.fields()}
	case msgRead, msgWrite:
		return nil, fmt.Errorf("the daemon asks for an exchange that no operation has any more (message %#x)", kind)
	default:
		return nil, fmt.Errorf("unknown message %#x", kind)
	}
	return m, c.r.err
}

func (c *Client) fields() (fields []Field) {
	c.r.list(func() {
		switch kind := c.r.u64(); kind {
		case 0:
			fields = append(fields, Field{Number: c.r.u64()})
		case 1:
			fields = append(fields, Field{Text: c.r.text(maxText), IsText: true})
		default:
			c.r.fail(fmt.Errorf("unknown kind %d of a message's field", kind))
		}
	})
	return fields
}

// remoteError reads an error and what it was met on the way to.
func (c *Client) remoteError() string {
	c.r.word() // "Error"
	c.r.u64()  // verbosity
	c.r.word() // the name, unused
	text := Plain(c.r.text(maxText))
	c.r.number("position of an error", 0)
	c.r.list(func() {
		c.r.number("position of a trace", 0)
		c.r.text(maxText)
	})
	return strings.TrimSpace(text)
}

// Plain takes out what colours a terminal (ECMA-48, control sequences).
func Plain(s string) string {
	if !strings.Contains(s, "\x1b") {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		i := strings.Index(s, "\x1b[")
		if i < 0 {
			break
		}
		b.WriteString(s[:i])
		s = strings.TrimLeftFunc(s[i+2:], func(r rune) bool { return r >= 0x20 && r < 0x40 })
		if len(s) > 0 && s[0] >= 0x40 && s[0] < 0x7f {
			s = s[1:]
		}
	}
	b.WriteString(s)
	return b.String()
}
