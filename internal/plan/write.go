package plan

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// lineWidth is how wide a list or a small map may be to stand on one line.
const lineWidth = 110

// YAML is the recipe as headwater.yaml, each part with the evidence for it as a comment, and what is open at the top.
func (p *Plan) YAML() ([]byte, error) {
	var doc yaml.Node
	if err := doc.Encode(p.Recipe); err != nil {
		return nil, fmt.Errorf("write recipe: %w", err)
	}
	p.comment(&doc, "")
	flow(&doc)
	var b bytes.Buffer
	for _, q := range p.Questions {
		fmt.Fprintf(&b, "# open: %s: %s\n", q.About, oneLine(q.Ask))
		for _, e := range q.Looked {
			fmt.Fprintf(&b, "#   looked at %s\n", oneLine(e.String()))
		}
	}
	for _, r := range p.Remarks {
		fmt.Fprintf(&b, "# note: %s%s\n", oneLine(r.Text), standing(r.Evidence))
	}
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(&doc); err != nil {
		return nil, fmt.Errorf("write recipe: %w", err)
	}
	if err := enc.Close(); err != nil {
		return nil, fmt.Errorf("write recipe: %w", err)
	}
	return b.Bytes(), nil
}

// comment puts the evidence of each key above it.
func (p *Plan) comment(n *yaml.Node, prefix string) {
	if n.Kind != yaml.MappingNode {
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i].Value
		if prefix != "" {
			key = prefix + "." + key
		}
		if list := p.Evidence[key]; len(list) > 0 {
			n.Content[i].HeadComment = strings.TrimPrefix(standing(list), " ")
		}
		p.comment(n.Content[i+1], key)
	}
}

// standing is evidence for a comment, "(Dockerfile:3, go.mod:1)".
func standing(list []Evidence) string {
	if len(list) == 0 {
		return ""
	}
	words := make([]string, 0, len(list))
	for _, e := range list {
		if w := oneLine(e.String()); !slices.Contains(words, w) {
			words = append(words, w)
		}
	}
	return " (" + strings.Join(words, ", ") + ")"
}

// oneLine makes text of the tree safe for a comment.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0x85 || r == 0x2028 || r == 0x2029 || r == 0xfeff {
			return ' '
		}
		return r
	}, s)
}

// flow puts lists and maps of plain words on one line where they fit. It tells the width of what it was given.
func flow(n *yaml.Node) (width int, plain bool) {
	switch n.Kind {
	case yaml.ScalarNode:
		return len(n.Value), !strings.Contains(n.Value, "\n") && n.HeadComment == ""
	case yaml.SequenceNode, yaml.MappingNode:
		plain = true
		for i, c := range n.Content {
			w, p := flow(c)
			key := n.Kind == yaml.MappingNode && i%2 == 0
			plain = plain && p && (c.Kind == yaml.ScalarNode || c.Style == yaml.FlowStyle) && !(key && c.HeadComment != "")
			width += w + 2
		}
		if plain && width <= lineWidth && (n.Kind == yaml.SequenceNode || len(n.Content) <= 8) {
			n.Style = yaml.FlowStyle
			return width, true
		}
		return width, false
	}
	return 0, false
}
