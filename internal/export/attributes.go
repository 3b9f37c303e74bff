package export

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"headwater/internal/nix"
	"headwater/internal/nix/drv"
)

// unsayable are attributes that "derivation" takes for its own, or that stand in the way of its result being a path.
func unsayable() []string {
	return []string{"args", "__ignoreNulls", "__structuredAttrs", "__contentAddressed", "__impure", "__toString", "__json"}
}

// call is what "derivation" is given besides name, system, builder and args.
type call struct {
	outputs    []string          // nil: not given
	env        map[string]string // without the outputs' own variables; nil with structured attributes
	structured map[string]any    // nil without structured attributes
}

// attributes finds the call that makes d's environment, or why there is none.
func attributes(d *drv.Derivation) (*call, error) {
	for name := range d.Outputs {
		if slices.Contains([]string{"all", "drvAttrs", "drvPath", "outPath", "outputName", "type"}, name) {
			return nil, fmt.Errorf("its output %s hides an attribute of the derivation's", name)
		}
	}
	if strings.ContainsRune(d.Builder+d.System+strings.Join(d.Args, ""), 0) {
		return nil, errors.New("it has a NUL byte, which strings cannot have")
	}
	if d.Name == "" || d.System == "" || d.Builder == "" {
		return nil, errors.New("it has no name, system or builder")
	}
	c := &call{}
	if _, ok := d.Env[structuredVar]; ok {
		return c, c.readStructured(d)
	}
	c.env = maps.Clone(d.Env)
	for k, want := range map[string]string{"name": d.Name, "system": d.System, "builder": d.Builder} {
		if have, ok := d.Env[k]; !ok || have != want {
			return nil, fmt.Errorf("variable %s is %q, is always %q", k, have, want)
		}
		delete(c.env, k)
	}
	for name := range d.Outputs {
		if _, ok := d.Env[name]; !ok {
			return nil, fmt.Errorf("variable %s is not set to the output", name)
		}
		delete(c.env, name)
	}
	if s, ok := c.env["outputs"]; ok {
		c.outputs = strings.Split(s, " ")
		delete(c.env, "outputs")
	}
	for k, v := range c.env {
		if slices.Contains(unsayable(), k) {
			return nil, fmt.Errorf("a variable cannot be called %s", k)
		}
		if strings.ContainsRune(k+v, 0) {
			return nil, fmt.Errorf("variable %q has a NUL byte, which strings cannot have", k)
		}
	}
	return c, c.check(d, func(k string) (string, bool) { v, ok := c.env[k]; return v, ok })
}

// check tells whether outputs and content address are what the call makes of them.
func (c *call) check(d *drv.Derivation, get func(string) (string, bool)) error {
	have := slices.Clone(c.outputs)
	if have == nil {
		have = []string{"out"}
	}
	slices.Sort(have)
	if !slices.Equal(have, d.OutputNames()) {
		return fmt.Errorf("its outputs are %q, its attributes say %q", d.OutputNames(), have)
	}
	text, fixed := get("outputHash")
	if !fixed && !d.IsFixed() {
		return nil
	}
	algo, _ := get("outputHashAlgo")
	mode, _ := get("outputHashMode")
	hash, err := nix.ParseHash(nix.Algo(algo), text)
	method, known := map[string]nix.Method{"": nix.Flat, "flat": nix.Flat, "recursive": nix.NAR, "nar": nix.NAR}[mode]
	want := d.Outputs["out"].CA
	if err != nil || !known || want.Hash != hash || want.Method != method {
		return fmt.Errorf("its output is fixed to %q, its attributes outputHash, outputHashAlgo and outputHashMode say %q, %q and %q", want, text, algo, mode)
	}
	return nil
}

// text is the attributes as they stand in the call.
func (c *call) text(refs references, used map[string]bool) string {
	var s strings.Builder
	if c.outputs != nil {
		s.WriteString("    outputs = [")
		for _, o := range c.outputs {
			s.WriteString(" " + literal(o))
		}
		s.WriteString(" ];\n")
	}
	if c.structured != nil {
		s.WriteString("    __structuredAttrs = true;\n")
		for _, k := range sortedKeys(c.structured) {
			fmt.Fprintf(&s, "    %s = %s;\n", attribute(k), value(c.structured[k], refs, used, 4))
		}
		return s.String()
	}
	for _, k := range sortedKeys(c.env) {
		fmt.Fprintf(&s, "    %s = %s;\n", attribute(k), str(refs.split(c.env[k], used), 4))
	}
	return s.String()
}
