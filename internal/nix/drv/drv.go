// Package drv holds Nix derivations: their ATerm form, hash modulo and output paths.
//
// Specification: Nix's manual, "Protocols: derivation ATerm" and "Store derivation".
package drv

import (
	"fmt"
	"maps"
	"slices"

	"headwater/internal/nix"
)

// Derivation is one build step. Name is not part of the file's content but of its path.
type Derivation struct {
	Name      string // without ".drv"
	Outputs   map[string]Output
	InputDrvs map[nix.StorePath][]string // output names wanted of each
	InputSrcs []nix.StorePath
	System    string
	Builder   string
	Args      []string
	Env       map[string]string
}

// Output is one output. Path is "" until FillOutputs; CA is set for a fixed output only.
type Output struct {
	Path nix.StorePath
	CA   nix.ContentAddress
}

// IsFixed reports whether d's single output "out" has a known content address.
func (d *Derivation) IsFixed() bool {
	o, ok := d.Outputs["out"]
	return ok && len(d.Outputs) == 1 && !o.CA.IsZero()
}

// OutputNames lists d's outputs, sorted.
func (d *Derivation) OutputNames() []string { return slices.Sorted(maps.Keys(d.Outputs)) }

// Placeholder stands for an output's path where that is not yet known.
func Placeholder(output string) string {
	return "/" + nix.Sum(nix.SHA256, []byte("nix-output:"+output)).Base32()
}

// DrvPath is the .drv file's own store path.
func (d *Derivation) DrvPath() (nix.StorePath, error) { return d.pathOf(d.Marshal()) }

func (d *Derivation) pathOf(aterm []byte) (nix.StorePath, error) {
	refs := slices.AppendSeq(slices.Clone(d.InputSrcs), maps.Keys(d.InputDrvs))
	p, err := nix.TextPath(d.Name+".drv", nix.Sum(nix.SHA256, aterm), refs)
	if err != nil {
		return "", fmt.Errorf("make derivation path: %w", err)
	}
	return p, nil
}
