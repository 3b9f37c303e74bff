package plan

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
)

// makefile is what is known of a Makefile: variables and rules, without functions, patterns and conditions.
type makefile struct {
	name  string // in the tree
	tag   string // what "git describe" says; "" if that is not known
	vars  map[string]string
	weak  map[string]bool // variables that are only set where the environment has none
	rules map[string]rule
	first string // target
	stage *Stage // where its rules are followed; nil while it is read
	dir   string
}

type rule struct {
	needs  []string
	recipe []recipeLine
	own    []string // assignments that hold for the target and what it needs, as written
}

type recipeLine struct {
	text string
	line int
}

// maxMakefile is the largest makefile that is read, in bytes: a chain of its targets is followed to its end.
const maxMakefile = 1 << 20

// parseMakefile reads what it understands and leaves out the rest.
func parseMakefile(name string, data []byte, tag string) (*makefile, error) {
	if len(data) > maxMakefile {
		return nil, fmt.Errorf("read %s: has more than %d bytes", name, maxMakefile)
	}
	m := &makefile{name: name, tag: tag, vars: map[string]string{}, weak: map[string]bool{}, rules: map[string]rule{}}
	var targets []string
	lines := strings.Split(string(data), "\n")
	for i := 0; i < len(lines); i++ {
		number, text := i+1, lines[i]
		for strings.HasSuffix(text, "\\") && i+1 < len(lines) {
			i++
			text = strings.TrimSuffix(text, "\\") + " " + strings.TrimSpace(lines[i])
		}
		switch {
		case strings.HasPrefix(text, "\t"):
			for _, t := range targets {
				r := m.rules[t]
				r.recipe = append(r.recipe, recipeLine{strings.TrimLeft(strings.TrimSpace(text), "@-+"), number})
				m.rules[t] = r
			}
		case strings.TrimSpace(text) == "" || strings.HasPrefix(strings.TrimSpace(text), "#"):
		default:
			if t, ok := m.statement(text); ok {
				targets = t
			}
		}
	}
	return m, nil
}

// statement reads an assignment or the head of a rule; of the latter it returns the targets.
func (m *makefile) statement(text string) (targets []string, isRule bool) {
	text = strings.TrimPrefix(strings.TrimPrefix(text, "export "), "override ")
	for i := 1; i < len(text); i++ { // a comment ends the line
		if text[i] == '#' && text[i-1] != '\\' {
			text = strings.TrimRight(text[:i], " \t")
		}
	}
	colon := strings.IndexByte(text, ':')
	if equal := strings.IndexByte(text, '='); equal > 0 && (colon < 0 || equal < colon || equal == colon+1 || strings.HasPrefix(text[colon:], "::=")) {
		m.assign(m.vars, text)
		return nil, false
	}
	if colon < 0 {
		return nil, false
	}
	needs, inline, hasInline := strings.Cut(strings.TrimLeft(text[colon+1:], ":"), ";")
	own := ownVariable.MatchString(needs)
	for _, t := range strings.Fields(m.expand(text[:colon], nil)) {
		r := m.rules[t]
		if own {
			r.own = append(r.own, strings.TrimSpace(ownModifiers.ReplaceAllString(text[colon+1:], "")))
			m.rules[t] = r
			continue
		}
		r.needs = append(r.needs, strings.Fields(m.expand(strings.ReplaceAll(needs, "|", " "), nil))...)
		if hasInline {
			r.recipe = append(r.recipe, recipeLine{strings.TrimSpace(inline), 0})
		}
		m.rules[t] = r
		if targets = append(targets, t); m.first == "" && !strings.HasPrefix(t, ".") {
			m.first = t
		}
	}
	return targets, true
}

var (
	// ownVariable is what follows a target's colon where that has a variable of its own (GNU Make, "Target-specific Variable Values").
	ownVariable  = regexp.MustCompile(`^\s*(?:(?:export|override|private)\s+)*[A-Za-z_][A-Za-z0-9_.-]*\s*(?::{1,3}|\?|\+|!)?=`)
	ownModifiers = regexp.MustCompile(`^\s*(?:(?:export|override|private)\s+)+`)
)

// assign reads an assignment into variables.
func (m *makefile) assign(vars map[string]string, text string) {
	equal := strings.IndexByte(text, '=')
	name := strings.TrimSpace(strings.TrimRight(text[:equal], ":?+! \t"))
	value := strings.TrimSpace(text[equal+1:])
	switch op := text[equal-1]; {
	case op == '?' && vars[name] != "":
	case op == '+':
		old, ok := vars[name]
		if !ok {
			old = m.vars[name]
		}
		vars[name] = strings.TrimSpace(old + " " + value)
	default:
		vars[name] = value
		m.weak[name] = op == '?'
	}
}

// expand replaces variables; what is not known becomes nothing, as in make. $$ becomes $.
func (m *makefile) expand(text string, over map[string]string) string {
	// Variables that are made of one another would take as long as they like.
	left := 1 << 16
	return m.expandWithin(&left, text, over, 0)
}

// expandWithin is expand of a text that depth others are made of, in no more than so many variables.
func (m *makefile) expandWithin(left *int, text string, over map[string]string, depth int) string {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '$' || i+1 == len(text) {
			b.WriteByte(text[i])
			continue
		}
		i++
		name := text[i : i+1]
		if name == "$" {
			b.WriteByte('$')
			continue
		}
		if name == "(" || name == "{" {
			end := closing(text, i)
			name = text[i+1 : max(i+1, end)] // a text that ends with the bracket has nothing in it
			i = end
		}
		if command, ok := strings.CutPrefix(name, "shell "); ok {
			b.WriteString(m.shell(command))
			continue
		}
		if f, args, ok := strings.Cut(name, " "); ok {
			if value, known := m.function(f, args, func(text string) string {
				if *left--; *left <= 0 || depth >= 20 {
					return ""
				}
				return m.expandWithin(left, text, over, depth+1)
			}); known {
				if b.WriteString(value); b.Len() > 1<<20 {
					break
				}
				continue
			}
		}
		v, ok := over[name]
		if !ok {
			v = m.vars[name]
		}
		if *left--; *left > 0 && depth < 20 && len(v) < 1<<16 {
			b.WriteString(m.expandWithin(left, v, over, depth+1))
		}
		if b.Len() > 1<<20 {
			break
		}
	}
	return b.String()
}

// function is what a function of make's gives whose arguments are expanded by expand (GNU Make, "Functions for Transforming Text"). It is not known
// if it is not one of these.
func (m *makefile) function(name, args string, expand func(string) string) (value string, known bool) {
	list := arguments(args)
	switch {
	case name == "if" && len(list) > 1:
		switch {
		case strings.TrimSpace(expand(strings.TrimSpace(list[0]))) != "":
			return expand(list[1]), true
		case len(list) > 2:
			return expand(strings.Join(list[2:], ",")), true
		}
		return "", true
	case name == "or":
		for _, a := range list {
			if v := expand(strings.TrimSpace(a)); v != "" {
				return v, true
			}
		}
		return "", true
	case name == "strip":
		return strings.Join(strings.Fields(expand(args)), " "), true
	case name == "firstword" || name == "lastword":
		words := strings.Fields(expand(args))
		if len(words) == 0 {
			return "", true
		}
		return map[string]string{"firstword": words[0], "lastword": words[len(words)-1]}[name], true
	case name == "subst" && len(list) > 2:
		from, to, text := expand(list[0]), expand(list[1]), expand(strings.Join(list[2:], ","))
		if from == "" || len(text) > 1<<16 || len(to) > 1<<10 {
			return text, true
		}
		return strings.ReplaceAll(text, from, to), true
	case name == "patsubst" && len(list) > 2:
		from, to := expand(list[0]), expand(list[1])
		before, after, pattern := strings.Cut(from, "%")
		words := strings.Fields(expand(strings.Join(list[2:], ",")))
		for i, w := range words {
			if pattern && strings.HasPrefix(w, before) && strings.HasSuffix(w, after) && len(w) >= len(before)+len(after) {
				words[i] = strings.Replace(to, "%", w[len(before):len(w)-len(after)], 1)
			}
		}
		return strings.Join(words, " "), true
	}
	return "", false
}

// arguments are those of a function's call, between commas that no brackets are around.
func arguments(text string) []string {
	var out []string
	level, from := 0, 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '(', '{':
			level++
		case ')', '}':
			level--
		case ',':
			if level == 0 {
				out, from = append(out, text[from:i]), i+1
			}
		}
	}
	return append(out, text[from:])
}

// shell is what a function call of make's gives that asks a checkout for its tag, by itself or by a script of the tree, or a file of the tree for
// what it says; any other gives nothing that is known.
func (m *makefile) shell(command string) string {
	if file, ok := strings.CutPrefix(command, "cat "); ok && m.stage != nil {
		if _, ours := m.stage.SourceOf(Abs(m.dir, file)); ours {
			return m.stage.output(command, m.dir, Command{Evidence: Evidence{File: m.name}})
		}
	}
	if name, asked := strings.CutPrefix(strings.TrimPrefix(command, "command -v "), "which "); asked || strings.HasPrefix(command, "command -v ") {
		name, _, _ = strings.Cut(strings.TrimSpace(name), " ")
		return name // wherever it is
	}
	if script, _, _ := strings.Cut(command, " "); m.stage != nil && m.tag != "" && strings.Contains(script, "/") {
		if _, ours := m.stage.SourceOf(Abs(m.dir, script)); ours {
			return m.stage.output(command, m.dir, Command{Evidence: Evidence{File: m.name}})
		}
	}
	return described(command, m.tag)
}

// withoutV finds what takes the letter off a tag.
var withoutV = regexp.MustCompile(`s.\^?v..?(\s|['"]|g|$)|cut -c ?2-|tr -d ["']?v`)

// described is what a command prints that asks a checkout for its tag, "" of any other.
func described(command, tag string) string {
	switch {
	case !strings.Contains(command, "git ") || !strings.Contains(command, " describe") && !(strings.Contains(command, " name-rev") && strings.Contains(command, "--tags")):
		return ""
	case withoutV.MatchString(command):
		return strings.TrimPrefix(tag, "v")
	}
	return tag
}

// closing is the index of the bracket that closes the one at i, or of the text's last byte.
func closing(text string, i int) int {
	level := 0
	for j := i; j < len(text); j++ {
		switch text[j] {
		case '(', '{':
			level++
		case ')', '}':
			if level--; level == 0 {
				return j
			}
		}
	}
	return len(text) - 1
}

// runMake follows the targets that make is called for.
func runMake(c Command, s *Stage) error {
	dir, over, targets := c.Dir, map[string]string{}, []string(nil)
	for k, v := range c.Env {
		over[k] = v
	}
	file := ""
	for i := 1; i < len(c.Args); i++ {
		k, v, assigned := strings.Cut(c.Args[i], "=")
		switch {
		case c.Args[i] == "-C" && i+1 < len(c.Args):
			i++
			dir = Abs(dir, c.Args[i])
		case c.Args[i] == "-f" && i+1 < len(c.Args):
			i++
			file = c.Args[i]
		case strings.HasPrefix(c.Args[i], "-"):
		case assigned:
			over[k] = v
		default:
			targets = append(targets, c.Args[i])
		}
	}
	names := []string{"GNUmakefile", "makefile", "Makefile"}
	if file != "" {
		names = []string{file}
	}
	for _, n := range names {
		data, name, err := s.ReadFile(Abs(dir, n))
		if err != nil {
			continue
		}
		m, err := parseMakefile(name, data, s.Release)
		if err != nil {
			return err
		}
		for k, v := range m.vars { // a variable of the environment is weaker than one of the file
			if _, ok := c.Env[k]; ok && !slices.ContainsFunc(c.Args, func(a string) bool { return strings.HasPrefix(a, k+"=") }) && v != "" && !m.weak[k] {
				delete(over, k)
			}
		}
		m.stage, m.dir = s, dir
		over["MAKE"], over["CURDIR"], over["PWD"] = "make", dir, dir
		if len(targets) == 0 {
			targets = []string{m.first}
		}
		done := map[string]bool{}
		for _, t := range targets {
			if err := m.run(s, t, dir, over, c.Env, done); err != nil {
				return err
			}
		}
		return nil
	}
	s.Notes.Remark(fmt.Sprintf("make is called in %s, where the tree has no Makefile", dir), c.Evidence)
	return nil
}

func (m *makefile) run(s *Stage, target, dir string, over, env map[string]string, done map[string]bool) error {
	if done[target] {
		return nil
	}
	done[target] = true
	r, ok := m.rules[target]
	if !ok {
		return nil
	}
	if len(r.own) > 0 {
		inner := map[string]string{}
		for _, text := range r.own {
			m.assign(inner, text)
		}
		maps.Copy(inner, over) // what make is called with is stronger
		over = inner
	}
	for _, n := range r.needs {
		if err := m.run(s, n, dir, over, env, done); err != nil {
			return err
		}
	}
	vars := map[string]string{"@": target, "<": "", "^": strings.Join(r.needs, " "), "@D": path.Dir(target), "@F": path.Base(target)}
	if len(r.needs) > 0 {
		vars["<"] = r.needs[0]
	}
	for k, v := range over {
		vars[k] = v
	}
	for _, l := range r.recipe {
		text := strings.TrimLeft(m.expand(l.text, vars), "@-+ ")
		if err := s.Run(text, dir, env, Evidence{File: m.name, Line: l.line}); err != nil {
			return err
		}
	}
	return nil
}
