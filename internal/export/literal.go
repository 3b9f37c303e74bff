package export

import (
	"regexp"
	"slices"
	"strings"
)

// part is a piece of a string: text, or an expression whose value stands there.
type part struct {
	text string
	expr string // if set, text is ""
}

// str is a string of the Nix language with the value of parts: lines as an indented string where that can say it, else quoted.
// indent is the column of what the string belongs to.
func str(parts []part, indent int) string {
	if s, ok := indented(parts, indent); ok {
		return s
	}
	return quoted(parts)
}

// literal is a quoted string.
func literal(s string) string { return quoted([]part{{text: s}}) }

// quoted is a string between double quotes. A carriage return would be read as a line end if it stood there as it is, and a
// dollar sign before a brace would begin an expression. (Nix manual, "String literal".)
func quoted(parts []part) string {
	var s strings.Builder
	s.WriteByte('"')
	for _, p := range parts {
		if p.expr != "" {
			s.WriteString("${" + p.expr + "}")
			continue
		}
		for i := range len(p.text) {
			switch c := p.text[i]; c {
			case '"', '\\':
				s.WriteByte('\\')
				s.WriteByte(c)
			case '\n':
				s.WriteString(`\n`)
			case '\r':
				s.WriteString(`\r`)
			case '\t':
				s.WriteString(`\t`)
			case '$':
				if i+1 == len(p.text) || p.text[i+1] == '{' {
					s.WriteByte('\\')
				}
				s.WriteByte(c)
			default:
				s.WriteByte(c)
			}
		}
	}
	s.WriteByte('"')
	return s.String()
}

// indented is a string between pairs of single quotes, of which Nix takes the indentation that all lines share, and a last
// line of nothing but spaces. ok is false where that would take something of the value's own, and for a single line.
func indented(parts []part, indent int) (_ string, ok bool) {
	shape := make([]string, len(parts))
	for i, p := range parts {
		if shape[i] = p.text; p.expr != "" {
			shape[i] = "x"
		}
	}
	lines := strings.Split(strings.Join(shape, ""), "\n")
	last := lines[len(lines)-1]
	flush := slices.ContainsFunc(lines, func(l string) bool { return l != "" && l[0] != ' ' })
	if len(lines) < 3 || !flush || last != "" && strings.Trim(last, " ") == "" {
		return "", false
	}
	margin := strings.Repeat(" ", indent+2)
	var s strings.Builder
	s.WriteString("''\n")
	i := indenter{margin: margin, bol: true, out: &s}
	for _, p := range parts {
		if p.expr != "" {
			i.begin()
			s.WriteString("${" + p.expr + "}")
			continue
		}
		i.text(p.text)
	}
	if i.bol {
		s.WriteString(margin[2:])
	}
	s.WriteString("''")
	return s.String(), true
}

// indenter writes the inside of an indented string.
type indenter struct {
	margin string
	bol    bool // at the beginning of a line
	out    *strings.Builder
}

// begin writes the margin at the beginning of a line.
func (w *indenter) begin() {
	if w.bol {
		w.out.WriteString(w.margin)
	}
	w.bol = false
}

// text escapes what would end the string or begin an expression, and what would make an escape of a neighbour. Only a quote
// whose successor is written as it is may stay.
func (w *indenter) text(t string) {
	plain := func(i int) bool { return i < len(t) && !strings.ContainsRune("'$\r", rune(t[i])) }
	for i := 0; i < len(t); i++ {
		c := t[i]
		if c == '\n' {
			w.out.WriteByte(c)
			w.bol = true
			continue
		}
		w.begin()
		switch {
		case c == '\'' && i+1 < len(t) && t[i+1] == '\'' && plain(i+2):
			w.out.WriteString(`'''`)
			i++
		case c == '\'' && !plain(i+1):
			w.out.WriteString(`''\'`)
		case c == '\r':
			w.out.WriteString(`''\r`)
		case c == '$' && (i+1 == len(t) || t[i+1] == '{'):
			w.out.WriteString(`''$`)
		default:
			w.out.WriteByte(c)
		}
	}
}

var identifier = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_'-]*$`)

// attribute is an attribute's name.
func attribute(name string) string {
	if identifier.MatchString(name) && !slices.Contains(keywords(), name) {
		return name
	}
	return literal(name)
}

func keywords() []string {
	return []string{"assert", "else", "if", "in", "inherit", "let", "or", "rec", "then", "with"}
}
