package local

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"headwater/internal/nix"
	"headwater/internal/nix/drv"
	"headwater/internal/sandbox"
)

// Structured attributes reach a builder as two files: .attrs.json with all of them, and .attrs.sh with those that bash can
// hold, as declarations. (Manual, "Advanced attributes: __structuredAttrs".)
const (
	attrsJSON = ".attrs.json"
	attrsSh   = ".attrs.sh"
)

func (w *workplace) structured(ctx context.Context, d *drv.Derivation, given map[string]json.RawMessage, g referenceGraphs) error {
	attrs := make(map[string]any, len(given)+1)
	for name, raw := range given {
		v, err := decodeJSON(raw)
		if err != nil {
			return fmt.Errorf("read attribute %s: %w", name, err)
		}
		attrs[name] = v
	}
	outputs := make(map[string]any, len(d.Outputs))
	for name, o := range d.Outputs {
		outputs[name] = string(o.Path)
	}
	attrs["outputs"] = outputs
	if graphs, ok := attrs["exportReferencesGraph"].(map[string]any); ok {
		if err := exportGraphs(ctx, attrs, graphs, g); err != nil {
			return err
		}
	}
	var text bytes.Buffer
	encodeJSON(&text, attrs)
	w.files[attrsJSON], w.files[attrsSh] = text.String(), shellDeclarations(attrs)
	w.env["NIX_ATTRS_JSON_FILE"] = sandbox.BuildDir + "/" + attrsJSON
	w.env["NIX_ATTRS_SH_FILE"] = sandbox.BuildDir + "/" + attrsSh
	return nil
}

// exportGraphs adds the attributes that exportReferencesGraph asks for: what is known of each path of a closure.
func exportGraphs(ctx context.Context, attrs, graphs map[string]any, g referenceGraphs) error {
	for _, name := range slices.Sorted(maps.Keys(graphs)) {
		list, ok := graphs[name].([]any)
		if !ok {
			list = []any{graphs[name]}
		}
		var paths []nix.StorePath
		for _, v := range list {
			s, ok := v.(string)
			if !ok {
				return fmt.Errorf("read attribute exportReferencesGraph: %s: want a list of store paths", name)
			}
			p, _, err := nix.SplitStorePath(s)
			if err != nil {
				return fmt.Errorf("read attribute exportReferencesGraph: %w", err)
			}
			paths = append(paths, p)
		}
		v, err := g.json(ctx, paths)
		if err != nil {
			return err
		}
		attrs[name] = v
	}
	return nil
}

// decodeJSON keeps numbers as they are written.
func decodeJSON(raw []byte) (v any, err error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	err = dec.Decode(&v)
	return v, err
}

// encodeJSON writes as Nix's JSON library does: sorted keys, no spaces, nothing escaped that need not be.
func encodeJSON(b *bytes.Buffer, v any) {
	switch v := v.(type) {
	case map[string]any:
		b.WriteByte('{')
		for i, k := range slices.Sorted(maps.Keys(v)) {
			if i > 0 {
				b.WriteByte(',')
			}
			encodeString(b, k)
			b.WriteByte(':')
			encodeJSON(b, v[k])
		}
		b.WriteByte('}')
	case []any:
		b.WriteByte('[')
		for i, e := range v {
			if i > 0 {
				b.WriteByte(',')
			}
			encodeJSON(b, e)
		}
		b.WriteByte(']')
	case string:
		encodeString(b, v)
	case json.Number:
		b.WriteString(canonicalNumber(v.String()))
	case bool:
		fmt.Fprint(b, v)
	default:
		b.WriteString("null")
	}
}

// canonicalNumber spells a number as Nix's JSON library does: whole ones that fit 64 bits as they are, all others as the
// shortest decimal that is the same float64, with a point or an exponent.
func canonicalNumber(s string) string {
	if _, err := strconv.ParseInt(s, 10, 64); err == nil {
		return s
	}
	if _, err := strconv.ParseUint(s, 10, 64); err == nil {
		return s
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return "null" // too large
	}
	sign := ""
	if math.Signbit(f) {
		sign, f = "-", -f
	}
	if f == 0 {
		return sign + "0.0"
	}
	mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(f, 'e', -1, 64), "e")
	digits := strings.Replace(mantissa, ".", "", 1)
	e, _ := strconv.Atoi(exponent) // FormatFloat wrote it
	switch point := e + 1; {
	case len(digits) <= point && point <= 15:
		return sign + digits + strings.Repeat("0", point-len(digits)) + ".0"
	case 0 < point && point <= 15:
		return sign + digits[:point] + "." + digits[point:]
	case -4 < point && point <= 0:
		return sign + "0." + strings.Repeat("0", -point) + digits
	}
	return sign + mantissa + "e" + exponent
}

func encodeString(b *bytes.Buffer, s string) {
	b.WriteByte('"')
	for i := range len(s) {
		switch c := s[i]; c {
		case '"', '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case '\b':
			b.WriteString(`\b`)
		case '\f':
			b.WriteString(`\f`)
		case '\n':
			b.WriteString(`\n`)
		case '\r':
			b.WriteString(`\r`)
		case '\t':
			b.WriteString(`\t`)
		default:
			if c < 0x20 {
				fmt.Fprintf(b, `\u%04x`, c)
			} else {
				b.WriteByte(c)
			}
		}
	}
	b.WriteByte('"')
}

// shellDeclarations declares strings, whole numbers, booleans and nulls, and lists and objects of these alone.
func shellDeclarations(attrs map[string]any) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(attrs)) {
		if !isName(name, "") {
			continue
		}
		switch v := attrs[name].(type) {
		case []any:
			if list, ok := shellList(v); ok {
				fmt.Fprintf(&b, "declare -a %s=(%s)\n", name, list)
			}
		case map[string]any:
			if table, ok := shellTable(v); ok {
				fmt.Fprintf(&b, "declare -A %s=(%s)\n", name, table)
			}
		default:
			if word, ok := shellWord(v); ok {
				fmt.Fprintf(&b, "declare %s=%s\n", name, word)
			}
		}
	}
	return b.String()
}

func shellList(list []any) (string, bool) {
	var b strings.Builder
	for _, e := range list {
		word, ok := shellWord(e)
		if !ok {
			return "", false
		}
		b.WriteString(word + " ")
	}
	return b.String(), true
}

func shellTable(table map[string]any) (string, bool) {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(table)) {
		word, ok := shellWord(table[k])
		if !ok {
			return "", false
		}
		b.WriteString("[" + shellQuote(k) + "]=" + word + " ")
	}
	return b.String(), true
}

func shellWord(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return shellQuote(v), true
	case nil:
		return "''", true
	case bool:
		if v {
			return "1", true
		}
		return "", true
	case json.Number:
		// 1.0 and 1e3 are whole numbers too.
		if r, ok := new(big.Rat).SetString(v.String()); ok && r.IsInt() && r.Num().IsInt64() {
			return r.Num().String(), true
		}
	}
	return "", false
}

func shellQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
