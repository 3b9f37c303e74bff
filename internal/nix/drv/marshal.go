package drv

import (
	"maps"
	"slices"
	"strings"
)

// Marshal writes the .drv file.
func (d *Derivation) Marshal() []byte { return newForm(d).marshal(nil, d.inputs(), false) }

// form is a derivation with its names in order, so that it can be written several times.
type form struct {
	*Derivation
	outputs, env, srcs []string
}

func newForm(d *Derivation) *form {
	f := &form{Derivation: d, outputs: d.OutputNames(), env: slices.Sorted(maps.Keys(d.Env)), srcs: make([]string, len(d.InputSrcs))}
	for i, p := range d.InputSrcs {
		f.srcs[i] = string(p)
	}
	f.srcs = set(f.srcs)
	return f
}

// input is an input derivation as it is written: by its path, or by its hash modulo.
type input struct {
	key     string
	outputs []string // a set
}

// inputs lists the input derivations by path.
func (d *Derivation) inputs() []input {
	in := make([]input, 0, len(d.InputDrvs))
	for p, outputs := range d.InputDrvs {
		in = append(in, input{string(p), set(outputs)})
	}
	sortInputs(in)
	return in
}

func sortInputs(in []input) {
	slices.SortFunc(in, func(a, b input) int { return strings.Compare(a.key, b.key) })
}

// set is s sorted and without duplicates: s itself if it is that already.
func set(s []string) []string {
	for i := range len(s) - 1 {
		if s[i] >= s[i+1] {
			return slices.Compact(slices.Sorted(slices.Values(s)))
		}
	}
	return s
}

// marshal appends the file to b; mask empties the outputs' paths, among the outputs and in the environment.
func (f *form) marshal(b []byte, inputs []input, mask bool) []byte {
	b = append(slices.Grow(b, f.size(inputs)), "Derive(["...)
	for i, name := range f.outputs {
		o := f.Outputs[name]
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
	for i, in := range inputs {
		b = quote(append(comma(b, i), '('), in.key)
		b = list(append(b, ','), in.outputs)
		b = append(b, ')')
	}
	b = list(append(b, "],"...), f.srcs)
	b = append(b, `,"`...)
	b = append(b, f.System...) // Nix does not escape it, and refuses to read it back where that would be needed
	b = append(b, `",`...)
	b = quote(b, f.Builder)
	b = list(append(b, ','), f.Args)
	b = append(b, ",["...)
	for i, k := range f.env {
		v := f.Env[k]
		if _, isOutput := f.Outputs[k]; mask && isOutput {
			v = ""
		}
		b = tuple(comma(b, i), k, v)
	}
	return append(b, "])"...)
}

// size is about the file's length.
func (f *form) size(inputs []input) int {
	n := 100 + len(f.System) + len(f.Builder) + 200*len(f.outputs) + 100*len(inputs)
	for _, s := range f.srcs {
		n += len(s) + 3
	}
	for _, s := range f.Args {
		n += len(s) + 8
	}
	for _, k := range f.env {
		n += len(k) + len(f.Env[k]) + 16
	}
	return n
}

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

// quote writes a string as Nix does: it escapes these five bytes and no others.
func quote(b []byte, s string) []byte {
	b = append(b, '"')
	done := 0
	for i := range len(s) {
		var c byte
		switch s[i] {
		case '\\', '"':
			c = s[i]
		case '\n':
			c = 'n'
		case '\r':
			c = 'r'
		case '\t':
			c = 't'
		default:
			continue
		}
		b = append(append(b, s[done:i]...), '\\', c)
		done = i + 1
	}
	return append(append(b, s[done:]...), '"')
}
