package export

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"headwater/internal/dag"
	"headwater/internal/nix"
)

// derivation is the call that makes n's derivation.
func (w *writer) derivation(n *dag.Node) (string, error) {
	d := n.Drv
	attrs, err := attributes(d)
	if err != nil {
		return "", &InexpressibleError{n.Name, err.Error()}
	}
	refs, err := w.inputs(n)
	if err != nil {
		return "", &InexpressibleError{n.Name, err.Error()}
	}
	used := map[string]bool{}
	say := func(v string, indent int) string { return str(refs.split(v, used), indent) }
	head := fmt.Sprintf("    name = %s;\n    system = %s;\n    builder = %s", literal(d.Name), say(d.System, 4), say(d.Builder, 4))
	body := listed("args", d.Args, say) + attrs.text(refs, used)
	return "derivation {\n" + head + refs.unsaid(used) + ";\n" + body + "  }", nil
}

// listed is an attribute that is a list of strings, one a line; nothing where the list is empty.
func listed(name string, values []string, say func(string, int) string) string {
	if len(values) == 0 {
		return ""
	}
	var s strings.Builder
	fmt.Fprintf(&s, "    %s = [\n", name)
	for _, v := range values {
		s.WriteString("      " + say(v, 6) + "\n")
	}
	s.WriteString("    ];\n")
	return s.String()
}

// inputs finds what the derivation's inputs are called.
func (w *writer) inputs(n *dag.Node) (references, error) {
	r := references{}
	byID := map[nix.StorePath]*dag.Node{}
	for _, in := range n.Inputs {
		byID[in.ID()] = in
	}
	for _, p := range slices.Sorted(maps.Keys(n.Drv.InputDrvs)) {
		in := byID[p]
		if in == nil || in.Drv == nil {
			return nil, fmt.Errorf("its input %s is not in the graph", p)
		}
		if len(n.Drv.InputDrvs[p]) == 0 {
			return nil, fmt.Errorf("it uses no output of its input %s", p)
		}
		for _, o := range n.Drv.InputDrvs[p] {
			expr := w.names[in]
			if len(in.Outputs) > 1 || o != "out" {
				expr += "." + attribute(o)
			}
			out, ok := in.Outputs[o]
			if !ok {
				return nil, fmt.Errorf("its input %s has no output %s", p, o)
			}
			r.add(out, expr)
		}
	}
	for _, p := range n.Drv.InputSrcs {
		in := byID[p]
		if in == nil || in.Drv != nil {
			return nil, fmt.Errorf("its input %s is not in the graph", p)
		}
		r.add(p, w.names[in])
	}
	return r, nil
}

// reference is an input by its path and by what it is called.
type reference struct {
	path nix.StorePath
	expr string
}

// references are a derivation's inputs, by their paths' digests.
type references map[string][]reference

func (r references) add(p nix.StorePath, expr string) {
	r[p.Digest()] = append(r[p.Digest()], reference{p, expr})
}

// exprs lists what all inputs are called, sorted.
func (r references) exprs() []string {
	var list []string
	for _, refs := range r {
		for _, ref := range refs {
			list = append(list, ref.expr)
		}
	}
	slices.Sort(list)
	return list
}

// unsaid adds the inputs that were not used to a string, without changing it.
func (r references) unsaid(used map[string]bool) string {
	list := slices.DeleteFunc(r.exprs(), func(e string) bool { return used[e] })
	if len(list) == 0 {
		return ""
	}
	return " + needing [ \"${" + strings.Join(list, "}\" \"${") + "}\" ]"
}

// split cuts s at the paths of inputs and notes which were used. A path that is no input's stays text: naming it would make
// it one.
func (r references) split(s string, used map[string]bool) []part {
	var parts []part
	const prefix = nix.StoreDir + "/"
	done := 0
	for at := 0; ; {
		i := strings.Index(s[at:], prefix)
		if i < 0 {
			break
		}
		at += i
		ref, ok := r.at(s[at:])
		if !ok {
			at += len(prefix)
			continue
		}
		if at > done {
			parts = append(parts, part{text: s[done:at]})
		}
		parts = append(parts, part{expr: ref.expr})
		used[ref.expr] = true
		at += len(ref.path)
		done = at
	}
	if done < len(s) || len(parts) == 0 {
		parts = append(parts, part{text: s[done:]})
	}
	return parts
}

// at is the input whose path s begins with.
func (r references) at(s string) (reference, bool) {
	const start, end = len(nix.StoreDir) + 1, len(nix.StoreDir) + 33
	if len(s) < end {
		return reference{}, false
	}
	for _, ref := range r[s[start:end]] {
		if strings.HasPrefix(s, string(ref.path)) {
			return ref, true
		}
	}
	return reference{}, false
}
