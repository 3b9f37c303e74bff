// Package drv holds Nix derivations: their ATerm form, hash modulo and output paths.
//
// Specification: Nix's manual, "Protocols: derivation ATerm" and "Store derivation".
package drv

import (
	"fmt"
	"maps"
	"slices"
	"strings"

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

// Marshal writes the .drv file.
func (d *Derivation) Marshal() []byte { return d.marshal(nil, false) }

// marshal writes d; inputs, if not nil, stands in for InputDrvs, and mask empties output paths.
func (d *Derivation) marshal(inputs map[string][]string, mask bool) []byte {
	b := make([]byte, 0, 4096)
	b = append(b, "Derive(["...)
	for i, name := range d.OutputNames() {
		o := d.Outputs[name]
		path, algo, sum := string(o.Path), "", ""
		if mask {
			path = ""
		}
		if !o.CA.IsZero() {
			algo, sum = o.CA.HashAlgo(), o.CA.Hash.Base16()
		}
		b = tuple(comma(b, i), name, path, algo, sum)
	}
	b = append(b, "],["...)
	if inputs == nil {
		inputs = make(map[string][]string, len(d.InputDrvs))
		for p, outs := range d.InputDrvs {
			inputs[string(p)] = outs
		}
	}
	for i, p := range slices.Sorted(maps.Keys(inputs)) {
		b = quote(append(comma(b, i), '('), p)
		b = list(append(b, ','), sorted(inputs[p]))
		b = append(b, ')')
	}
	b = append(b, "],"...)
	srcs := make([]string, len(d.InputSrcs))
	for i, p := range d.InputSrcs {
		srcs[i] = string(p)
	}
	b = list(b, sorted(srcs))
	b = quote(append(b, ','), d.System)
	b = quote(append(b, ','), d.Builder)
	b = list(append(b, ','), d.Args)
	b = append(b, ",["...)
	for i, k := range slices.Sorted(maps.Keys(d.Env)) {
		v := d.Env[k]
		if _, isOutput := d.Outputs[k]; mask && isOutput {
			v = ""
		}
		b = tuple(comma(b, i), k, v)
	}
	return append(b, "])"...)
}

func sorted(s []string) []string { return slices.Compact(slices.Sorted(slices.Values(s))) }

func comma(b []byte, i int) []byte {
	if i > 0 {
		b = append(b, ',')
	}
	return b
}

func tuple(b []byte, fields ...string) []byte {
	b = append(b, '(')
	for i, f := range fields {
		b = quote(comma(b, i), f)
	}
	return append(b, ')')
}

func list(b []byte, items []string) []byte {
	b = append(b, '[')
	for i, s := range items {
		b = quote(comma(b, i), s)
	}
	return append(b, ']')
}

var escaper = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", `\r`, "\t", `\t`)

func quote(b []byte, s string) []byte {
	b = append(b, '"')
	if strings.ContainsAny(s, "\\\"\n\r\t") {
		s = escaper.Replace(s)
	}
	return append(append(b, s...), '"')
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
