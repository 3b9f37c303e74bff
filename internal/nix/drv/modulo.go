package drv

import (
	"fmt"
	"slices"

	"headwater/internal/nix"
)

// Hasher computes hashes modulo fixed outputs and remembers them. It is not safe for concurrent use.
type Hasher struct {
	// Resolve finds an input derivation that was not yet Added; nil finds none.
	Resolve func(nix.StorePath) (*Derivation, error)
	memo    map[nix.StorePath]nix.Hash
}

// Add fills d's outputs, remembers its hash modulo and returns the .drv's path and content.
func (h *Hasher) Add(d *Derivation) (nix.StorePath, []byte, error) {
	if err := h.FillOutputs(d); err != nil {
		return "", nil, err
	}
	aterm := d.Marshal()
	p, err := d.pathOf(aterm)
	if err != nil {
		return "", nil, err
	}
	m, err := h.modulo(d, false)
	if err != nil {
		return "", nil, err
	}
	h.remember(p, m)
	return p, aterm, nil
}

func (h *Hasher) remember(p nix.StorePath, m nix.Hash) {
	if h.memo == nil {
		h.memo = map[nix.StorePath]nix.Hash{}
	}
	h.memo[p] = m
}

// FillOutputs computes d's output paths and sets the environment variables named after the outputs.
func (h *Hasher) FillOutputs(d *Derivation) error {
	if d.Env == nil {
		d.Env = map[string]string{}
	}
	// Nix hashes with the outputs' variables present and empty, so they must exist before.
	for name := range d.Outputs {
		d.Env[name] = ""
	}
	var m nix.Hash
	if !d.IsFixed() {
		var err error
		if m, err = h.modulo(d, true); err != nil {
			return err
		}
	}
	for name, o := range d.Outputs {
		var err error
		if d.IsFixed() {
			o.Path, err = nix.FixedPath(d.Name, o.CA, nil, false)
		} else {
			o.Path, err = nix.OutputPath(m, name, d.Name)
		}
		if err != nil {
			return fmt.Errorf("fill outputs of %s: %w", d.Name, err)
		}
		d.Outputs[name], d.Env[name] = o, string(o.Path)
	}
	return nil
}

// modulo hashes d with its inputs replaced by their hashes modulo; inputs that share one are merged (NixOS/nix#16307).
func (h *Hasher) modulo(d *Derivation, mask bool) (nix.Hash, error) {
	if d.IsFixed() {
		o := d.Outputs["out"]
		return nix.Sum(nix.SHA256, []byte("fixed:out:"+o.CA.HashAlgo()+":"+o.CA.Hash.Base16()+":"+string(o.Path))), nil
	}
	inputs := make(map[string][]string, len(d.InputDrvs))
	for p, outs := range d.InputDrvs {
		m, ok := h.memo[p]
		if !ok {
			if h.Resolve == nil {
				return nix.Hash{}, fmt.Errorf("hash %s: input %s: unknown", d.Name, p)
			}
			in, err := h.Resolve(p)
			if err != nil {
				return nix.Hash{}, fmt.Errorf("hash %s: input %s: %w", d.Name, p, err)
			}
			if m, err = h.modulo(in, false); err != nil {
				return nix.Hash{}, err
			}
			h.remember(p, m)
		}
		inputs[m.Base16()] = append(slices.Clip(inputs[m.Base16()]), outs...)
	}
	return nix.Sum(nix.SHA256, d.marshal(inputs, mask)), nil
}
