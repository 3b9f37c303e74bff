// Package merge puts a person's edits of a recipe and what a new plan says together: a three-way merge of YAML mappings.
//
// There are three texts: base, what the plan wrote last; mine, the person's file, which began as base; next, what the plan writes
// now. What only the person changed stays, what only the plan changed moves, and where both changed one thing otherwise, the
// person's value stands and the difference is a Conflict. No edit is ever lost: a comment of a person's stays where it is, a key that a
// person took out stays out. One key of the recipe is one thing; of the lists that are sets, one element is.
//
//	r, err := merge.Merge(base, mine, next)
//	os.WriteFile("headwater.yaml", r.Text, 0o644)
//	for _, c := range r.Conflicts { fmt.Println(c.Key, c.Mine, c.Next) }
//
// Where nothing was edited the result is next, byte for byte, and where the plan says what it said before, it is mine.
package merge

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"headwater/internal/recipe"
)

// Conflict is one thing that the person and the plan changed, each otherwise. The values are YAML on one line; "" means that the key
// is not there.
type Conflict struct {
	Key              string // "components.web.build"
	Base, Mine, Next string
}

// Result of a merge.
type Result struct {
	Text      []byte
	Conflicts []Conflict // sorted by key
}

// SyntaxError says which of the three texts cannot be merged, and why.
type SyntaxError struct {
	Text  string // "what plan wrote last", "the recipe", "the new plan"
	Cause error
}

func (e *SyntaxError) Error() string { return "merge recipe: read " + e.Text + ": " + e.Cause.Error() }

// Unwrap gives the cause.
func (e *SyntaxError) Unwrap() error { return e.Cause }

// Merge merges. The error is a *SyntaxError.
func Merge(base, mine, next []byte) (*Result, error) {
	var docs [3]*yaml.Node
	for i, text := range [][]byte{base, mine, next} {
		doc, err := read(text)
		if err != nil {
			return nil, &SyntaxError{[]string{"what plan wrote last", "the recipe", "the new plan"}[i], err}
		}
		docs[i] = doc
	}
	switch {
	case bytes.Equal(base, next):
		return &Result{Text: mine}, nil
	case bytes.Equal(base, mine):
		return &Result{Text: next}, nil
	}
	var m merger
	doc := comments(docs[0], docs[1], docs[2], *docs[1])
	doc.Content = []*yaml.Node{m.mapping("", docs[0].Content[0], docs[1].Content[0], docs[2].Content[0])}
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := errors.Join(enc.Encode(&doc), enc.Close()); err != nil {
		return nil, fmt.Errorf("merge recipe: %w", err)
	}
	slices.SortFunc(m.conflicts, func(a, b Conflict) int { return strings.Compare(a.Key, b.Key) })
	return &Result{Text: b.Bytes(), Conflicts: m.conflicts}, nil
}

// read parses a text that is one mapping without anchors: what one key changes is then one thing.
func read(text []byte) (*yaml.Node, error) {
	if len(text) > recipe.MaxSize {
		return nil, fmt.Errorf("%d bytes, more than %d", len(text), recipe.MaxSize)
	}
	doc := new(yaml.Node)
	dec := yaml.NewDecoder(bytes.NewReader(text))
	if err := dec.Decode(doc); err != nil {
		return nil, err
	}
	if err := dec.Decode(new(yaml.Node)); err != io.EOF {
		return nil, errors.New("more than one YAML document in the file")
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 || doc.Content[0].Kind != yaml.MappingNode {
		return nil, errors.New("is no mapping")
	}
	return doc, sound(doc.Content[0])
}

// sound refuses what cannot be merged: anchors, keys that are no words, and keys that are there twice.
func sound(n *yaml.Node) error {
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		return fmt.Errorf("line %d: anchors and aliases cannot be merged: write the value out", n.Line)
	}
	for i, c := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 0 {
			if c.Kind != yaml.ScalarNode || c.Tag == "!!merge" {
				return fmt.Errorf("line %d: a key is no word", c.Line)
			}
			if at := find(n, c.Value); at != i {
				return fmt.Errorf("line %d: key %q is there twice", c.Line, c.Value)
			}
		}
		if err := sound(c); err != nil {
			return err
		}
	}
	return nil
}

// find is the index of a key in a mapping's content, -1 if there is none, or no mapping.
func find(n *yaml.Node, key string) int {
	if n == nil || n.Kind != yaml.MappingNode {
		return -1
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return i
		}
	}
	return -1
}

// entry is a key with its value in one of the texts; zero where it is not there.
type entry struct{ key, value *yaml.Node }

func get(n *yaml.Node, key string) entry {
	if i := find(n, key); i >= 0 {
		return entry{n.Content[i], n.Content[i+1]}
	}
	return entry{}
}

// equal tells whether two values say the same, whatever their style and comments. Nil is the value of no key.
func equal(a, b *yaml.Node) bool {
	if a == nil || b == nil {
		return a == b
	}
	if a.Kind != b.Kind || a.Value != b.Value || a.ShortTag() != b.ShortTag() || len(a.Content) != len(b.Content) {
		return false
	}
	if a.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(a.Content); i += 2 {
			if !equal(a.Content[i+1], get(b, a.Content[i].Value).value) {
				return false
			}
		}
		return true
	}
	return slices.EqualFunc(a.Content, b.Content, equal)
}
