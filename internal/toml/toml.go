// Package toml reads TOML that somebody else wrote. It is github.com/BurntSushi/toml, but for a text that is nested so deep, or has
// names of so many parts, that reading it would take all of the stack or forever: that is an error.
package toml

import (
	"fmt"

	"github.com/BurntSushi/toml"
)

// MetaData is the library's.
type MetaData = toml.MetaData

// ParseError is the library's.
type ParseError = toml.ParseError

const (
	maxDepth = 200 // brackets and braces in one another
	maxParts = 200 // of a name: a.b.c
)

// Unmarshal reads data into v.
func Unmarshal(data []byte, v any) error {
	_, err := Decode(string(data), v)
	return err
}

// Decode reads text into v and tells what of it v has no place for.
func Decode(text string, v any) (MetaData, error) {
	if err := check(text); err != nil {
		return MetaData{}, err
	}
	return toml.Decode(text, v)
}

// check reads just as much of TOML as is needed to know what is nested in what: comments and strings. It agrees with the library up
// to the first thing that is wrong, where the library stops.
func check(text string) error {
	depth, parts, line := 0, 0, 1
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '\n':
			line++
			parts = 0
		case '#':
			for i+1 < len(text) && text[i+1] != '\n' {
				i++
			}
		case '"', '\'':
			end := stringEnd(text, i)
			for ; i < end; i++ {
				if text[i] == '\n' {
					line++
				}
			}
		case '[', '{':
			depth++
			parts = 0
		case ']', '}':
			depth = max(0, depth-1)
			parts = 0
		case '=', ',':
			parts = 0
		case '.':
			parts++
		}
		if depth > maxDepth || parts > maxParts {
			return fmt.Errorf("parse TOML: line %d: is nested more than %d deep", line, maxDepth)
		}
	}
	return nil
}

// stringEnd is where the last byte of a string is that begins at i, or the text's end. (TOML 1.0, "String".)
func stringEnd(text string, i int) int {
	quote := text[i]
	long := i+2 < len(text) && text[i+1] == quote && text[i+2] == quote
	from := i + 1
	if long {
		from = i + 3
	}
	for j := from; j < len(text); j++ {
		switch {
		case text[j] == '\\' && quote == '"':
			j++
		case text[j] == '\n' && !long:
			return j - 1 // not closed: the library stops here
		case text[j] == quote && !long:
			return j
		case text[j] == quote && j+2 < len(text) && text[j+1] == quote && text[j+2] == quote:
			for j += 2; j+1 < len(text) && text[j+1] == quote; j++ { // up to two quotes before the closing ones
			}
			return j
		}
	}
	return len(text) - 1
}
