package merge

import (
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

type merger struct{ conflicts []Conflict }

func (m *merger) conflict(key string, base, mine, next *yaml.Node) {
	m.conflicts = append(m.conflicts, Conflict{key, line(base), line(mine), line(next)})
}

// mapping merges mappings key by key, in mine's order; a key that the plan adds comes behind the one that it follows in next.
func (m *merger) mapping(at string, base, mine, next *yaml.Node) *yaml.Node {
	out := comments(base, mine, next, *mine)
	out.Content = nil
	for i := 0; i+1 < len(mine.Content); i += 2 {
		key := mine.Content[i].Value
		if e := m.key(join(at, key), get(base, key), get(mine, key), get(next, key)); e.key != nil {
			out.Content = append(out.Content, e.key, e.value)
		}
	}
	for i := 0; i+1 < len(next.Content); i += 2 {
		key := next.Content[i].Value
		if find(mine, key) >= 0 {
			continue
		}
		e := m.key(join(at, key), get(base, key), entry{}, get(next, key))
		if e.key == nil {
			continue
		}
		behind := 0
		for j := i - 2; j >= 0 && behind == 0; j -= 2 {
			if before := find(&out, next.Content[j].Value); before >= 0 {
				behind = before + 2
			}
		}
		out.Content = slices.Insert(out.Content, behind, e.key, e.value)
	}
	if len(out.Content) > 0 && out.Style == yaml.FlowStyle && commented(&out) {
		out.Style = 0 // a comment has no place inside of braces
	}
	return &out
}

// key merges one key; the zero entry means that it is not there.
func (m *merger) key(at string, base, mine, next entry) entry {
	switch {
	case mine.key == nil && next.key == nil:
		return entry{}
	case mine.key == nil: // the plan's, or taken out by the person
		if base.key == nil {
			return next
		}
		if !equal(base.value, next.value) {
			m.conflict(at, base.value, nil, next.value)
		}
		return entry{}
	case next.key == nil: // the person's, or no longer the plan's
		if base.key != nil && equal(base.value, mine.value) {
			return entry{}
		}
		if base.key != nil {
			m.conflict(at, base.value, mine.value, nil)
		}
		return mine
	}
	key := comments(base.key, mine.key, next.key, *mine.key)
	return entry{&key, m.value(at, base.value, mine.value, next.value)}
}

// value merges the values of a key that both have.
func (m *merger) value(at string, base, mine, next *yaml.Node) *yaml.Node {
	if mine.Kind == yaml.MappingNode && next.Kind == yaml.MappingNode {
		return m.mapping(at, base, mine, next)
	}
	if mine.Kind == yaml.SequenceNode && next.Kind == yaml.SequenceNode && (base == nil || base.Kind == yaml.SequenceNode) {
		if id := identity(at); id != nil && unique(id, base, mine, next) {
			return m.set(at, id, base, mine, next)
		}
	}
	switch {
	case equal(mine, next), base != nil && equal(base, next):
		out := comments(base, mine, next, *mine)
		return &out
	case base != nil && equal(base, mine):
		out := comments(base, mine, next, *next)
		return &out
	}
	m.conflict(at, base, mine, next)
	return mine
}

// identity tells by what the elements of a list are told apart, if its order does not matter where the plan's goes first: the text of
// a word, the place of what is used. Nil means that the list is one value, such as a command.
func identity(at string) func(*yaml.Node) string {
	last := path.Base(strings.ReplaceAll(at, ".", "/"))
	top, _, _ := strings.Cut(at, ".")
	switch {
	case last == "uses" && top == "components":
		return func(n *yaml.Node) string { return scalar(get(n, "at").value) }
	case last == "packages" && top == "roots", last == "src" && top == "components", (last == "volumes" || last == "secrets") && top == "package":
		return scalar
	}
	return nil
}

func scalar(n *yaml.Node) string {
	if n == nil || n.Kind != yaml.ScalarNode {
		return ""
	}
	return n.Value
}

// unique tells whether every element of the lists has a name of its own there.
func unique(id func(*yaml.Node) string, lists ...*yaml.Node) bool {
	for _, l := range lists {
		seen := map[string]bool{}
		for i := 0; l != nil && i < len(l.Content); i++ {
			name := id(l.Content[i])
			if name == "" || seen[name] {
				return false
			}
			seen[name] = true
		}
	}
	return true
}

// set merges lists element by element: in next's order if the person left base's, with what the person added at the end, where a
// pattern that takes out still does.
func (m *merger) set(at string, id func(*yaml.Node) string, base, mine, next *yaml.Node) *yaml.Node {
	if base == nil {
		base = &yaml.Node{Kind: yaml.SequenceNode}
	}
	pick := func(l *yaml.Node, name string) entry {
		if i := slices.IndexFunc(l.Content, func(n *yaml.Node) bool { return id(n) == name }); i >= 0 {
			return entry{l.Content[i], l.Content[i]}
		}
		return entry{}
	}
	merged := func(name string) *yaml.Node {
		b, mi, n := pick(base, name), pick(mine, name), pick(next, name)
		if mi.key != nil && n.key != nil {
			return m.value(at+"."+name, b.value, mi.value, n.value)
		}
		return m.key(at+"."+name, b, mi, n).value
	}
	out := comments(base, mine, next, *mine)
	out.Content = nil
	first, second := next, mine
	if equal(base, next) || !ordered(id, base, mine) {
		first, second = mine, next
	}
	done := map[string]bool{}
	for _, l := range []*yaml.Node{first, second} {
		for _, n := range l.Content {
			name := id(n)
			if done[name] {
				continue
			}
			done[name] = true
			if v := merged(name); v != nil {
				out.Content = append(out.Content, v)
			}
		}
	}
	if out.Style == yaml.FlowStyle && commented(&out) {
		out.Style = 0
	}
	return &out
}

// ordered tells whether what both lists have stands in the same order.
func ordered(id func(*yaml.Node) string, a, b *yaml.Node) bool {
	both := func(x, y *yaml.Node) (names []string) {
		for _, n := range x.Content {
			if slices.ContainsFunc(y.Content, func(o *yaml.Node) bool { return id(o) == id(n) }) {
				names = append(names, id(n))
			}
		}
		return names
	}
	return slices.Equal(both(a, b), both(b, a))
}

// comments gives out the person's comments with those of the plan that are still in place as the plan has them now.
func comments(base, mine, next *yaml.Node, out yaml.Node) yaml.Node {
	if base == nil {
		base = &yaml.Node{}
	}
	out.HeadComment = text(base.HeadComment, mine.HeadComment, next.HeadComment)
	out.LineComment = text(base.LineComment, mine.LineComment, next.LineComment)
	out.FootComment = text(base.FootComment, mine.FootComment, next.FootComment)
	return out
}

// text merges a comment by its lines: the person's stay, the plan's are those of next unless the person took them out.
func text(base, mine, next string) string {
	if mine == base {
		return next
	}
	was := strings.Split(base, "\n")
	var own []string
	kept := false
	for _, l := range strings.Split(mine, "\n") {
		if base != "" && slices.Contains(was, l) {
			kept = true
		} else if l != "" {
			own = append(own, l)
		}
	}
	if next != "" && (kept || base == "") {
		for _, l := range strings.Split(next, "\n") {
			if !slices.Contains(own, l) {
				own = append(own, l)
			}
		}
	}
	return strings.Join(own, "\n")
}

// commented tells whether something below n has a comment.
func commented(n *yaml.Node) bool {
	return slices.ContainsFunc(n.Content, func(c *yaml.Node) bool {
		return c.HeadComment != "" || c.LineComment != "" || c.FootComment != "" || commented(c)
	})
}

// line is a value on one line, for people.
func line(n *yaml.Node) string {
	if n == nil {
		return ""
	}
	b, err := yaml.Marshal(bare(n))
	if err != nil {
		return n.Value
	}
	return strings.TrimSuffix(string(b), "\n")
}

// bare is a value without comments, on one line.
func bare(n *yaml.Node) *yaml.Node {
	out := &yaml.Node{Kind: n.Kind, Tag: n.Tag, Value: n.Value, Style: n.Style}
	switch n.Kind {
	case yaml.MappingNode, yaml.SequenceNode:
		out.Style = yaml.FlowStyle
	case yaml.ScalarNode:
		if n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
			out.Style = yaml.DoubleQuotedStyle
		}
	}
	for _, c := range n.Content {
		out.Content = append(out.Content, bare(c))
	}
	return out
}

func join(at, key string) string {
	if at == "" {
		return key
	}
	return at + "." + key
}
