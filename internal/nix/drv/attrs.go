package drv

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// structuredVar is the environment variable that holds structured attributes. (Manual, "Advanced attributes".)
const structuredVar = "__json"

// Attrs are the attributes that tell how to build a derivation. They stand in its environment or, if it has structured
// attributes, in one JSON object.
type Attrs struct {
	env  map[string]string
	json map[string]json.RawMessage // nil without structured attributes
}

// Attrs reads d's attributes. They are not to be used once d.Env has changed.
func (d *Derivation) Attrs() (Attrs, error) {
	text, ok := d.Env[structuredVar]
	if !ok {
		return Attrs{env: d.Env}, nil
	}
	a := Attrs{}
	if err := json.Unmarshal([]byte(text), &a.json); err != nil {
		return Attrs{}, fmt.Errorf("read structured attributes of %s: %w", d.Name, err)
	}
	if a.json == nil {
		return Attrs{}, fmt.Errorf("read structured attributes of %s: want an object, have %.20q", d.Name, text)
	}
	return a, nil
}

// SetStructured makes attrs d's structured attributes: as compact JSON with sorted keys, as Nix writes it. The other
// variables of d.Env should be its outputs only; builders do not see them otherwise.
func (d *Derivation) SetStructured(attrs map[string]any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(attrs); err != nil {
		return fmt.Errorf("set structured attributes of %s: %w", d.Name, err)
	}
	if d.Env == nil {
		d.Env = map[string]string{}
	}
	d.Env[structuredVar] = rawSeparators(strings.TrimSuffix(b.String(), "\n"))
	return nil
}

// rawSeparators undoes the escapes of U+2028 and U+2029, which encoding/json always writes and Nix never.
func rawSeparators(text string) string {
	if !strings.Contains(text, `\u202`) {
		return text
	}
	var b strings.Builder
	for {
		i := strings.IndexByte(text, '\\')
		if i < 0 {
			return b.String() + text
		}
		b.WriteString(text[:i])
		switch text = text[i:]; {
		case strings.HasPrefix(text, `\u2028`):
			b.WriteString("\u2028")
			text = text[6:]
		case strings.HasPrefix(text, `\u2029`):
			b.WriteString("\u2029")
			text = text[6:]
		default: // an escape is two bytes at least; the second may be a backslash
			b.WriteString(text[:2])
			text = text[2:]
		}
	}
}

// Structured is the JSON object of structured attributes, nil if there are none. It is shared with a.
func (a Attrs) Structured() map[string]json.RawMessage { return a.json }

// String is a string attribute; ok tells whether it is there.
func (a Attrs) String(name string) (value string, ok bool, err error) {
	if a.json == nil {
		value, ok = a.env[name]
		return value, ok, nil
	}
	ok, err = a.read(name, "a string", &value)
	return value, ok, err
}

// Bool is a boolean attribute, false if it is not there. Outside structured attributes "1" is true and all else false.
func (a Attrs) Bool(name string) (value bool, err error) {
	if a.json == nil {
		return a.env[name] == "1", nil
	}
	_, err = a.read(name, "a boolean", &value)
	return value, err
}

// Strings is a list attribute; ok tells whether it is there. Outside structured attributes it is split at white space.
func (a Attrs) Strings(name string) (values []string, ok bool, err error) {
	if a.json == nil {
		s, ok := a.env[name]
		return strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(" \t\n\r", r) }), ok, nil
	}
	ok, err = a.read(name, "a list of strings", &values)
	return values, ok, err
}

func (a Attrs) read(name, want string, into any) (bool, error) {
	raw, ok := a.json[name]
	if !ok {
		return false, nil
	}
	if string(raw) == "null" || json.Unmarshal(raw, into) != nil {
		return true, fmt.Errorf("read attribute %s: want %s, have %.60s", name, want, raw)
	}
	return true, nil
}
