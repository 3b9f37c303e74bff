package python

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Environment is what markers are evaluated for: a Target and the interpreter's full version.
type Environment struct {
	Target
	Full   string   // "3.13.5"
	Extras []string // normalised names that `extra == "…"` holds of
}

// Marker is an environment marker (PEP 508). A nil Marker holds always.
type Marker interface {
	Holds(Environment) bool
}

// ParseMarker reads a marker: `python_version < "3.13" and extra == "ldap"`.
func ParseMarker(s string) (Marker, error) {
	p, err := lexMarker(s)
	if err != nil {
		return nil, fmt.Errorf("parse marker %.200q: %w", s, err)
	}
	m, err := p.or(0)
	if err == nil && len(p.tokens) > 0 {
		err = fmt.Errorf("unexpected %q", p.tokens[0].text)
	}
	if err != nil {
		return nil, fmt.Errorf("parse marker %.200q: %w", s, err)
	}
	return m, nil
}

type junction struct {
	all   bool // and; otherwise or
	parts []Marker
}

func (j junction) Holds(e Environment) bool {
	for _, m := range j.parts {
		if m.Holds(e) != j.all {
			return !j.all
		}
	}
	return j.all
}

// comparison has a variable on one side and a literal on the other.
type comparison struct {
	variable, op, literal string
	reversed              bool // the literal is on the left
}

// versioned are the variables that are compared as versions where their literal is one.
func versioned(variable string) bool {
	return variable == "python_version" || variable == "python_full_version" || variable == "implementation_version" || variable == "platform_release"
}

// value is a variable's value for the environment. What depends on the running kernel is empty: a build is for no
// certain one.
func (e Environment) value(variable string) (string, bool) {
	switch variable {
	case "python_version":
		return fmt.Sprintf("%d.%d", e.Major, e.Minor), true
	case "python_full_version", "implementation_version":
		return e.Full, true
	case "os_name", "os.name":
		return "posix", true
	case "sys_platform", "sys.platform":
		return "linux", true
	case "platform_system":
		return "Linux", true
	case "platform_machine", "platform.machine":
		return e.Arch, true
	case "platform_python_implementation", "platform.python_implementation", "python_implementation":
		return "CPython", true
	case "implementation_name":
		return "cpython", true
	case "platform_release", "platform_version", "platform.version":
		return "", true
	}
	return "", false
}

func (c comparison) Holds(e Environment) bool {
	if c.variable == "extra" {
		return slices.Contains(e.Extras, c.literal) == (c.op == "==")
	}
	value, _ := e.value(c.variable)
	left, right := value, c.literal
	if c.reversed {
		left, right = right, left
	}
	switch c.op {
	case "in":
		return strings.Contains(right, left)
	case "not in":
		return !strings.Contains(right, left)
	}
	if versioned(c.variable) {
		// The right side is the clause's version, whichever side the variable is on.
		if specs, err := ParseSpecifiers(c.op + right); err == nil && len(specs) == 1 {
			if v, err := ParseVersion(left); err == nil {
				return specs.Contains(v)
			}
		}
	}
	switch c.op {
	case "==", "===":
		return left == right
	case "!=":
		return left != right
	case "<":
		return left < right
	case "<=":
		return left <= right
	case ">":
		return left > right
	case ">=":
		return left >= right
	}
	return false // "~=" of what are not versions
}

type markerToken struct {
	kind byte // 's' string, 'w' word, 'o' operator, '(' and ')'
	text string
}

type markerParser struct{ tokens []markerToken }

var markerLexer = regexp.MustCompile(`^\s*(?:("[^"]*"|'[^']*')|([A-Za-z_][A-Za-z0-9_.]*)|(~=|===|==|!=|<=|>=|<|>)|([()]))`)

func lexMarker(s string) (*markerParser, error) {
	if len(s) > 10_000 {
		return nil, errors.New("more than 10000 bytes")
	}
	p := &markerParser{}
	for strings.TrimSpace(s) != "" {
		m := markerLexer.FindStringSubmatch(s)
		switch {
		case m == nil:
			return nil, fmt.Errorf("cannot read %.40q", s)
		case m[1] != "":
			p.tokens = append(p.tokens, markerToken{'s', m[1][1 : len(m[1])-1]})
		case m[2] != "":
			p.tokens = append(p.tokens, markerToken{'w', m[2]})
		case m[3] != "":
			p.tokens = append(p.tokens, markerToken{'o', m[3]})
		default:
			p.tokens = append(p.tokens, markerToken{m[4][0], m[4]})
		}
		s = s[len(m[0]):]
	}
	return p, nil
}

func (p *markerParser) peek() markerToken {
	if len(p.tokens) == 0 {
		return markerToken{}
	}
	return p.tokens[0]
}

func (p *markerParser) next() (markerToken, error) {
	if len(p.tokens) == 0 {
		return markerToken{}, errors.New("ends early")
	}
	t := p.tokens[0]
	p.tokens = p.tokens[1:]
	return t, nil
}

// maxMarkerDepth bounds the nesting of parentheses.
const maxMarkerDepth = 100

func (p *markerParser) or(depth int) (Marker, error) {
	return p.junction("or", func() (Marker, error) {
		return p.junction("and", func() (Marker, error) { return p.atom(depth) })
	})
}

func (p *markerParser) junction(word string, operand func() (Marker, error)) (Marker, error) {
	j := junction{all: word == "and"}
	for {
		m, err := operand()
		if err != nil {
			return nil, err
		}
		j.parts = append(j.parts, m)
		if p.peek() != (markerToken{'w', word}) {
			break
		}
		p.tokens = p.tokens[1:]
	}
	if len(j.parts) == 1 {
		return j.parts[0], nil
	}
	return j, nil
}

func (p *markerParser) atom(depth int) (Marker, error) {
	if p.peek().kind != '(' {
		return p.comparison()
	}
	if depth > maxMarkerDepth {
		return nil, errors.New("parentheses are nested too deep")
	}
	p.tokens = p.tokens[1:]
	m, err := p.or(depth + 1)
	if err != nil {
		return nil, err
	}
	if t, err := p.next(); err != nil || t.kind != ')' {
		return nil, errors.New("a parenthesis is not closed")
	}
	return m, nil
}

func (p *markerParser) comparison() (Marker, error) {
	left, err := p.next()
	if err != nil {
		return nil, err
	}
	op, err := p.operator()
	if err != nil {
		return nil, err
	}
	right, err := p.next()
	if err != nil {
		return nil, err
	}
	c := comparison{variable: left.text, op: op, literal: right.text}
	switch {
	case left.kind == 'w' && right.kind == 's':
	case left.kind == 's' && right.kind == 'w':
		c.variable, c.literal, c.reversed = right.text, left.text, true
	default:
		return nil, fmt.Errorf("%q %s %q does not compare a variable with a string", left.text, op, right.text)
	}
	if c.variable == "extra" {
		if op != "==" && op != "!=" {
			return nil, fmt.Errorf("extra %s %q: only == and != go with extra", op, c.literal)
		}
		c.literal = NormalizeName(c.literal)
		return c, nil
	}
	if _, ok := (Environment{}).value(c.variable); !ok {
		return nil, fmt.Errorf("variable %q is not known", c.variable)
	}
	return c, nil
}

func (p *markerParser) operator() (string, error) {
	t, err := p.next()
	if err != nil {
		return "", err
	}
	switch {
	case t.kind == 'o':
		return t.text, nil
	case t == markerToken{'w', "in"}:
		return "in", nil
	case t == markerToken{'w', "not"}:
		if t, err := p.next(); err == nil && t == (markerToken{'w', "in"}) {
			return "not in", nil
		}
	}
	return "", fmt.Errorf("%q is not an operator", t.text)
}
