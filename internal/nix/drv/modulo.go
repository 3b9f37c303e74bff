package drv

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"headwater/internal/nix"
)

// Hasher computes hashes modulo fixed outputs and remembers them. The zero value is ready. It is not safe for concurrent use.
//
// (Manual, "Input-addressing derivation outputs": the hash of a derivation whose inputs are replaced by their own hashes
// modulo; a fixed output's depends on its content alone.)
type Hasher struct {
	// Resolve finds an input derivation that was not yet Added; nil finds none.
	Resolve func(nix.StorePath) (*Derivation, error)
	memo    map[nix.StorePath]known
	buf     []byte // scratch
}

// known is what other derivations need to know of an input.
type known struct {
	modulo  nix.Hash
	outputs []string // nil for just "out", as most have
}

// has tells whether there is an output of that name.
func (k known) has(output string) bool {
	return slices.Contains(k.outputs, output) || k.outputs == nil && output == "out"
}

// Add fills d's outputs, remembers its hash modulo and returns the .drv's path and content.
func (h *Hasher) Add(d *Derivation) (nix.StorePath, []byte, error) {
	f, inputs, err := h.fill(d)
	if err != nil {
		return "", nil, err
	}
	aterm := f.marshal(nil, d.inputs(), false)
	p, err := d.pathOf(aterm)
	if err != nil {
		return "", nil, err
	}
	if _, ok := h.memo[p]; !ok {
		h.remember(p, d, h.modulo(f, inputs, false))
	}
	return p, aterm, nil
}

func (h *Hasher) remember(p nix.StorePath, d *Derivation, modulo nix.Hash) {
	if h.memo == nil {
		h.memo = map[nix.StorePath]known{}
	}
	k := known{modulo: modulo}
	if _, out := d.Outputs["out"]; !out || len(d.Outputs) > 1 {
		k.outputs = d.OutputNames()
	}
	h.memo[p] = k
}

// FillOutputs computes d's output paths and sets the environment variables named after the outputs.
func (h *Hasher) FillOutputs(d *Derivation) error {
	_, _, err := h.fill(d)
	return err
}

// fill is FillOutputs. It returns what it has worked out on the way.
func (h *Hasher) fill(d *Derivation) (*form, []input, error) {
	if err := d.check(); err != nil {
		return nil, nil, fmt.Errorf("fill outputs of %s: %w", d.Name, err)
	}
	if d.Env == nil {
		d.Env = map[string]string{}
	}
	// Nix hashes with the outputs' variables present and empty, so they must exist before.
	for name := range d.Outputs {
		d.Env[name] = ""
	}
	f := newForm(d)
	inputs, err := h.moduloInputs(d)
	if err != nil {
		return nil, nil, err
	}
	paths, err := h.outputPaths(f, inputs)
	if err != nil {
		return nil, nil, err
	}
	for name, p := range paths {
		d.Outputs[name] = Output{Path: p, CA: d.Outputs[name].CA}
		d.Env[name] = string(p)
	}
	return f, inputs, nil
}

// Check tells whether the output paths of a derivation that was read follow from what it is, and whether its environment
// agrees. Nix does the same before it registers a derivation.
func (h *Hasher) Check(d *Derivation) error {
	inputs, err := h.moduloInputs(d)
	if err != nil {
		return fmt.Errorf("check %s: %w", d.Name, err)
	}
	want, err := h.outputPaths(newForm(d), inputs)
	if err != nil {
		return fmt.Errorf("check %s: %w", d.Name, err)
	}
	for _, name := range d.OutputNames() {
		if have := d.Outputs[name].Path; have != want[name] {
			return fmt.Errorf("check %s: output %s is %s, should be %s", d.Name, name, have, want[name])
		}
		if have := d.Env[name]; have != string(want[name]) {
			return fmt.Errorf("check %s: variable %s is %q, should be the output %s", d.Name, name, have, want[name])
		}
	}
	return nil
}

func (h *Hasher) outputPaths(f *form, inputs []input) (map[string]nix.StorePath, error) {
	paths := make(map[string]nix.StorePath, len(f.outputs))
	var m nix.Hash
	if !f.IsFixed() {
		m = h.modulo(f, inputs, true)
	}
	for _, name := range f.outputs {
		var err error
		if f.IsFixed() {
			paths[name], err = nix.FixedPath(f.Name, f.Outputs[name].CA, nil, false)
		} else {
			paths[name], err = nix.OutputPath(m, name, f.Name)
		}
		if err != nil {
			return nil, fmt.Errorf("name output %s of %s: %w", name, f.Name, err)
		}
	}
	return paths, nil
}

// modulo hashes f with inputs in the place of its own.
func (h *Hasher) modulo(f *form, inputs []input, mask bool) nix.Hash {
	if f.IsFixed() {
		o := f.Outputs["out"]
		return nix.Sum(nix.SHA256, []byte("fixed:out:"+o.CA.HashAlgo()+":"+o.CA.Hash.Base16()+":"+string(o.Path)))
	}
	h.buf = f.marshal(h.buf[:0], inputs, mask)
	return nix.Sum(nix.SHA256, h.buf)
}

// moduloInputs lists d's inputs by their hashes modulo; inputs that share one are merged (NixOS/nix#16307).
func (h *Hasher) moduloInputs(d *Derivation) ([]input, error) {
	if d.IsFixed() {
		return nil, nil
	}
	if err := h.learnInputs(d); err != nil {
		return nil, fmt.Errorf("hash %s: %w", d.Name, err)
	}
	inputs := make([]input, 0, len(d.InputDrvs))
	for p, outputs := range d.InputDrvs {
		in := h.memo[p]
		for _, o := range outputs {
			if !in.has(o) {
				return nil, fmt.Errorf("hash %s: input %s has no output %q", d.Name, p, o)
			}
		}
		if len(outputs) > 0 { // an input of which nothing is used does not count
			inputs = append(inputs, input{in.modulo.Base16(), set(outputs)})
		}
	}
	sortInputs(inputs)
	merged := inputs[:0]
	for _, in := range inputs {
		if n := len(merged); n > 0 && merged[n-1].key == in.key {
			merged[n-1].outputs = set(slices.Concat(merged[n-1].outputs, in.outputs))
			continue
		}
		merged = append(merged, in)
	}
	return merged, nil
}

// pending is a derivation that waits for the hashes of its inputs.
type pending struct {
	path   nix.StorePath
	drv    *Derivation
	inputs []nix.StorePath // not yet looked at
}

// learnInputs makes the memo hold all of d's inputs. It keeps its own stack: graphs may be deeper than calls can go.
func (h *Hasher) learnInputs(d *Derivation) error {
	stack := []pending{{drv: d, inputs: h.unknown(d)}}
	waiting := map[nix.StorePath]bool{}
	for {
		top := &stack[len(stack)-1]
		if n := len(top.inputs); n > 0 {
			p := top.inputs[n-1]
			top.inputs = top.inputs[:n-1]
			if _, ok := h.memo[p]; ok {
				continue
			}
			if waiting[p] {
				return fmt.Errorf("input %s: needs itself", p)
			}
			in, err := h.resolve(p)
			if err != nil {
				return fmt.Errorf("input %s: %w", p, err)
			}
			waiting[p] = true
			stack = append(stack, pending{p, in, h.unknown(in)})
			continue
		}
		if len(stack) == 1 {
			return nil
		}
		inputs, err := h.moduloInputs(top.drv)
		if err != nil {
			return err
		}
		h.remember(top.path, top.drv, h.modulo(newForm(top.drv), inputs, false))
		delete(waiting, top.path)
		stack = stack[:len(stack)-1]
	}
}

// unknown lists the inputs that the memo lacks, in a fixed order.
func (h *Hasher) unknown(d *Derivation) []nix.StorePath {
	if d.IsFixed() {
		return nil // its hash needs none of them
	}
	var out []nix.StorePath
	for p := range d.InputDrvs {
		if _, ok := h.memo[p]; !ok {
			out = append(out, p)
		}
	}
	slices.Sort(out)
	return out
}

func (h *Hasher) resolve(p nix.StorePath) (*Derivation, error) {
	if h.Resolve == nil {
		return nil, errors.New("unknown")
	}
	d, err := h.Resolve(p)
	if err == nil && d == nil {
		err = errors.New("unknown")
	}
	return d, err
}

// check makes sure that d can be written and read back, and that its outputs are a set that a derivation can have: all
// addressed by input, or one fixed "out".
func (d *Derivation) check() error {
	if strings.ContainsAny(d.System, `"\`) {
		return fmt.Errorf("system %q holds a quote or backslash", d.System)
	}
	if len(d.Outputs) == 0 {
		return errors.New("no outputs")
	}
	for _, name := range d.OutputNames() {
		if name == "" {
			return errors.New("output without a name")
		}
		if err := nix.CheckName(nix.OutputName(d.Name, name)); err != nil {
			return fmt.Errorf("output %q: %w", name, err)
		}
		if !d.Outputs[name].CA.IsZero() && !d.IsFixed() {
			return fmt.Errorf("output %s: a fixed output must be the only one and called out", name)
		}
	}
	return nil
}
