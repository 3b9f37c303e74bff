package plan

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// EvidenceOf is the evidence for a key of the recipe, or for the part that it belongs to.
func (p *Plan) EvidenceOf(key string) []Evidence {
	for key != "" {
		if e := p.Evidence[key]; len(e) > 0 {
			return e
		}
		key = key[:max(0, strings.LastIndexByte(key, '.'))]
	}
	return nil
}

// Value is what the recipe says for a key, such as "toolchains.go", on one line; "" for a part with keys of its own, or none.
func (p *Plan) Value(key string) string {
	var doc yaml.Node
	if p.Recipe == nil || doc.Encode(p.Recipe) != nil {
		return ""
	}
	n := lookup(&doc, key)
	if n == nil {
		return ""
	}
	if n.Kind == yaml.MappingNode && slices.ContainsFunc(n.Content, func(c *yaml.Node) bool { return c.Kind != yaml.ScalarNode }) {
		return ""
	}
	n.Style |= yaml.FlowStyle
	b, err := yaml.Marshal(n)
	if err != nil {
		return ""
	}
	return oneLine(strings.TrimSuffix(string(b), "\n"))
}

// lookup finds a key with dots, which keys of the recipe may have themselves.
func lookup(n *yaml.Node, key string) *yaml.Node {
	if key == "" {
		return n
	}
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		rest, ok := strings.CutPrefix(key+".", n.Content[i].Value+".")
		if !ok {
			continue
		}
		if found := lookup(n.Content[i+1], strings.TrimSuffix(rest, ".")); found != nil {
			return found
		}
	}
	return nil
}

// LineOf is the line of a recipe's text where a key is, or the part that it belongs to, counted from 1.
func LineOf(doc *yaml.Node, key string) int {
	for ; key != "" && doc.Kind == yaml.DocumentNode && len(doc.Content) == 1; key = key[:max(0, strings.LastIndexByte(key, '.'))] {
		if n := lookup(doc.Content[0], key); n != nil {
			return n.Line
		}
	}
	return 1
}

// JSON is the plan as JSON lines of version 1: one with the recipe, under the keys of headwater.yaml, then one for each fact, remark and
// question.
func (p *Plan) JSON() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	var keys map[string]any
	if p.Recipe != nil {
		text, err := yaml.Marshal(p.Recipe)
		if err == nil {
			err = yaml.Unmarshal(text, &keys)
		}
		if err != nil {
			return nil, fmt.Errorf("write plan: %w", err)
		}
	}
	lines := []map[string]any{{"plan": keys, "uncertain": p.Uncertain()}}
	for _, key := range slices.Sorted(maps.Keys(p.Evidence)) {
		lines = append(lines, map[string]any{"fact": key, "evidence": p.Evidence[key]})
	}
	for _, r := range p.Remarks {
		lines = append(lines, map[string]any{"remark": r.Text, "evidence": slices.Concat([]Evidence{}, r.Evidence)})
	}
	for _, q := range p.Questions {
		lines = append(lines, map[string]any{"question": q.Ask, "about": q.About, "main": q.Main, "evidence": slices.Concat([]Evidence{}, q.Looked)})
	}
	for _, l := range lines {
		l["v"] = 1
		if err := enc.Encode(l); err != nil {
			return nil, fmt.Errorf("write plan: %w", err)
		}
	}
	return b.Bytes(), nil
}

// MarshalJSON spells evidence in lower case, without what is not known.
func (e Evidence) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		File string `json:"file,omitempty"`
		Line int    `json:"line,omitempty"`
		Rule string `json:"rule,omitempty"`
	}(e))
}
