package export

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"headwater/internal/nix/drv"
)

// structuredVar is the variable that holds structured attributes.
const structuredVar = "__json"

// readStructured finds the attributes that Nix would write as d's structured attributes. Only JSON that Nix writes has them:
// that is checked by writing it again.
func (c *call) readStructured(d *drv.Derivation) error {
	for k := range d.Env {
		if _, output := d.Outputs[k]; !output && k != structuredVar {
			return fmt.Errorf("it has structured attributes and the variable %s", k)
		}
	}
	dec := json.NewDecoder(strings.NewReader(d.Env[structuredVar]))
	dec.UseNumber()
	var all map[string]any
	if err := dec.Decode(&all); err != nil {
		return fmt.Errorf("its structured attributes: %w", err)
	}
	again := &drv.Derivation{Name: d.Name}
	if err := again.SetStructured(all); err != nil {
		return err
	}
	if again.Env[structuredVar] != d.Env[structuredVar] {
		return errors.New("its structured attributes are not written as Nix writes them")
	}
	if err := sayable(all); err != nil {
		return fmt.Errorf("its structured attributes: %w", err)
	}
	for k, want := range map[string]string{"name": d.Name, "system": d.System, "builder": d.Builder} {
		if all[k] != want {
			return fmt.Errorf("attribute %s is %v, is always %q", k, all[k], want)
		}
		delete(all, k)
	}
	if list, ok := all["outputs"].([]any); ok {
		for _, o := range list {
			name, ok := o.(string)
			if !ok {
				return fmt.Errorf("output %v is no name", o)
			}
			c.outputs = append(c.outputs, name)
		}
		delete(all, "outputs")
	}
	for k := range all {
		if _, output := d.Outputs[k]; output || k == "outputs" || slices.Contains(unsayable(), k) {
			return fmt.Errorf("an attribute cannot be called %s", k)
		}
	}
	c.structured = all
	return c.check(d, func(k string) (string, bool) { s, ok := all[k].(string); return s, ok })
}

// sayable tells whether Nix has values for v. Numbers are integers of 64 bits: of others the digits may come out otherwise.
func sayable(v any) error {
	switch v := v.(type) {
	case json.Number:
		if n, err := strconv.ParseInt(v.String(), 10, 64); err != nil || strconv.FormatInt(n, 10) != v.String() {
			return fmt.Errorf("%s is no whole number of 64 bits", v)
		}
	case string:
		if strings.ContainsRune(v, 0) {
			return errors.New("a NUL byte, which strings cannot have")
		}
	case []any:
		for _, e := range v {
			if err := sayable(e); err != nil {
				return err
			}
		}
	case map[string]any:
		if _, ok := v["outPath"]; ok {
			return errors.New("an object that has outPath would be written as a path")
		}
		if _, ok := v["__toString"]; ok {
			return errors.New("an object that has __toString would be written as a string")
		}
		for _, k := range sortedKeys(v) {
			if err := errors.Join(sayable(k), sayable(v[k])); err != nil {
				return err
			}
		}
	}
	return nil
}

// value is v in the Nix language.
func value(v any, refs references, used map[string]bool, indent int) string {
	margin := strings.Repeat(" ", indent)
	switch v := v.(type) {
	case string:
		return str(refs.split(v, used), indent)
	case json.Number:
		return number(v.String())
	case bool:
		return strconv.FormatBool(v)
	case []any:
		if len(v) == 0 {
			return "[ ]"
		}
		var s strings.Builder
		s.WriteString("[\n")
		for _, e := range v {
			s.WriteString(margin + "  " + value(e, refs, used, indent+2) + "\n")
		}
		return s.String() + margin + "]"
	case map[string]any:
		var s strings.Builder
		s.WriteString("{\n")
		for _, k := range sortedKeys(v) {
			fmt.Fprintf(&s, "%s  %s = %s;\n", margin, attribute(k), value(v[k], refs, used, indent+2))
		}
		return s.String() + margin + "}"
	}
	return "null"
}

// number is a whole number. A sign is an operator, so it needs brackets within a list, and the smallest number has no positive.
func number(digits string) string {
	if digits == strconv.FormatInt(-1<<63, 10) {
		return "(-9223372036854775807 - 1)"
	}
	if strings.HasPrefix(digits, "-") {
		return "(" + digits + ")"
	}
	return digits
}
