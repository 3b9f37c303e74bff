// Package control reads Debian's control data: stanzas of fields, and the relations between packages.
//
// Source: Debian Policy, chapters 5 (control files and their fields) and 7 (declaring relationships between packages).
package control

import (
	"fmt"
	"strings"
)

// maxFieldName is longer than any field's name that Debian uses.
const maxFieldName = 128

// Stanza is one block of fields, as they stand: a value of several lines keeps its line ends and indentation.
type Stanza map[string]string

// Parse reads data that is one stanza, such as a package's control file.
func Parse(text string) (Stanza, error) {
	var out Stanza
	s := Scanner{rest: text}
	cur := Stanza{}
	for s.Next() {
		switch {
		case s.End():
			if out != nil {
				return nil, fmt.Errorf("parse control data: line %d: more than one stanza", s.line)
			}
			out, cur = cur, Stanza{}
		case has(cur, s.Name):
			return nil, fmt.Errorf("parse control data: line %d: field %s is there twice", s.line, s.Name)
		default:
			cur[s.Name] = s.Value
		}
	}
	if s.err != nil {
		return nil, s.err
	}
	if out == nil {
		return nil, fmt.Errorf("parse control data: no fields")
	}
	return out, nil
}

func has(s Stanza, name string) bool {
	_, ok := s[name]
	return ok
}

// Scanner goes through control data field by field without copying: Name and Value are parts of the text.
//
//	s := control.NewScanner(text)
//	for s.Next() {
//		if s.End() { … the stanza is complete … } else { … s.Name, s.Value … }
//	}
//	err := s.Err()
type Scanner struct {
	Name, Value string

	rest   string
	line   int // of the field that was read last
	lines  int // lines consumed so far
	within bool
	end    bool
	err    error
}

// NewScanner starts at the beginning of text.
func NewScanner(text string) *Scanner { return &Scanner{rest: text} }

// End reports that a stanza ended, rather than that a field was read.
func (s *Scanner) End() bool { return s.end }

// Err is why Next stopped early, nil if it did not.
func (s *Scanner) Err() error { return s.err }

// Line is the line that the last field began on, counted from 1.
func (s *Scanner) Line() int { return s.line }

// Next reads a field or the end of a stanza. It returns false at the end of the text or on an error.
func (s *Scanner) Next() bool {
	s.Name, s.Value, s.end = "", "", false
	for s.err == nil {
		if s.rest == "" {
			s.end = s.within
			s.within = false
			return s.end
		}
		line, rest := cutLine(s.rest)
		if line == "" || strings.Trim(line, " \t\r") == "" {
			s.rest = rest
			s.lines++
			if s.within {
				s.within, s.end = false, true
				return true
			}
			continue
		}
		return s.field(line, rest)
	}
	return false
}

func (s *Scanner) field(line, rest string) bool {
	s.lines++
	s.line = s.lines
	colon := strings.IndexByte(line, ':')
	if colon <= 0 || colon > maxFieldName || !fieldName(line[:colon]) {
		s.err = fmt.Errorf("parse control data: line %d: %.60q is no field", s.line, line)
		return false
	}
	// Lines that begin with a space or tab continue the value; they directly follow it in the text.
	end := len(line)
	for rest != "" && (rest[0] == ' ' || rest[0] == '\t') {
		next, after := cutLine(rest)
		if strings.Trim(next, " \t\r") == "" {
			break
		}
		end = len(s.rest) - len(rest) + len(next)
		rest = after
		s.lines++
	}
	s.Name = line[:colon]
	s.Value = strings.Trim(s.rest[colon+1:end], " \t\r\n")
	s.rest = rest
	s.within = true
	return true
}

func cutLine(s string) (line, rest string) {
	if i := strings.IndexByte(s, '\n'); i >= 0 {
		return s[:i], s[i+1:]
	}
	return s, ""
}

// fieldName tells whether s is printable ASCII without space and colon, beginning with neither # nor -. (Policy 5.1.)
func fieldName(s string) bool {
	if s[0] == '#' || s[0] == '-' {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' || s[i] == ':' {
			return false
		}
	}
	return true
}
