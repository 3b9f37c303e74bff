package store

import (
	"strings"

	"headwater/internal/nix"
	"headwater/internal/nix/drv"
)

// derivationOutputs reads the outputs of a .drv's text. One whose path is not known before it is built has none here.
func derivationOutputs(p nix.StorePath, text []byte) (map[string]nix.StorePath, error) {
	d, err := drv.Parse(strings.TrimSuffix(p.Name(), ".drv"), text)
	if err != nil {
		return nil, err
	}
	outputs := make(map[string]nix.StorePath, len(d.Outputs))
	for name, o := range d.Outputs {
		if o.Path != "" {
			outputs[name] = o.Path
		}
	}
	return outputs, nil
}
