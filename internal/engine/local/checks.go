package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"headwater/internal/engine"
	"headwater/internal/nix"
	"headwater/internal/store"
)

// limits are what a derivation demands of an output. (Manual, "Advanced attributes".)
type limits struct {
	AllowedReferences    *[]string
	AllowedRequisites    *[]string
	DisallowedReferences []string
	DisallowedRequisites []string
	MaxSize              *int64 // bytes of the NAR
	MaxClosureSize       *int64
	ignoreSelf           bool // requisites need not allow the output itself
}

// checkOutputs makes sure that the outputs do not refer to one another in a circle, and of what the derivation demands.
func (j *job) checkOutputs(ctx context.Context, outputs []output) error {
	if err := j.checkCircle(outputs); err != nil {
		return err
	}
	attrs, err := j.node.Drv.Attrs()
	if err != nil {
		return j.failed(engine.BadRecipe, err)
	}
	for _, o := range outputs {
		l, err := limitsOf(attrs, o.name)
		if err != nil {
			return j.failed(engine.BadRecipe, err)
		}
		c := outputCheck{job: j, outputs: outputs, output: o}
		if err := c.check(ctx, l); err != nil {
			return err
		}
	}
	return nil
}

// attributes is what limitsOf reads.
type attributes interface {
	Structured() map[string]json.RawMessage
	Strings(string) ([]string, bool, error)
}

// limitsOf reads what is demanded of an output: of each apart with structured attributes, else of all alike.
func limitsOf(attrs attributes, output string) (limits, error) {
	if structured := attrs.Structured(); structured != nil {
		var checks map[string]limits
		if raw, ok := structured["outputChecks"]; ok {
			if err := json.Unmarshal(raw, &checks); err != nil {
				return limits{}, fmt.Errorf("read attribute outputChecks: %w", err)
			}
		}
		return checks[output], nil
	}
	l := limits{ignoreSelf: true}
	var errs []error
	list := func(name string) *[]string {
		values, ok, err := attrs.Strings(name)
		errs = append(errs, err)
		if !ok {
			return nil
		}
		return &values
	}
	l.AllowedReferences, l.AllowedRequisites = list("allowedReferences"), list("allowedRequisites")
	if v := list("disallowedReferences"); v != nil {
		l.DisallowedReferences = *v
	}
	if v := list("disallowedRequisites"); v != nil {
		l.DisallowedRequisites = *v
	}
	return l, errors.Join(errs...)
}

// outputCheck checks one of several outputs, none of which is valid yet.
type outputCheck struct {
	*job
	outputs []output
	output  output
}

func (c *outputCheck) check(ctx context.Context, l limits) error {
	info := c.output.info
	if l.MaxSize != nil && info.NARSize > *l.MaxSize {
		return c.refuse("is too large: %d bytes of %d allowed", info.NARSize, *l.MaxSize)
	}
	if err := errors.Join(c.allow("reference", info.Refs, l.AllowedReferences), c.forbid("reference", info.Refs, l.DisallowedReferences)); err != nil {
		return err
	}
	if l.AllowedRequisites == nil && len(l.DisallowedRequisites) == 0 && l.MaxClosureSize == nil {
		return nil
	}
	closure, size, err := c.closure(ctx)
	if err != nil {
		return fmt.Errorf("check outputs of %s: %w", c.node.Name, err)
	}
	if l.MaxClosureSize != nil && size > *l.MaxClosureSize {
		return c.refuse("has too large a closure: %d bytes of %d allowed", size, *l.MaxClosureSize)
	}
	if l.ignoreSelf {
		closure = slices.DeleteFunc(closure, func(p nix.StorePath) bool { return p == info.Path })
	}
	return errors.Join(c.allow("requisite", closure, l.AllowedRequisites), c.forbid("requisite", closure, l.DisallowedRequisites))
}

func (c *outputCheck) allow(what string, used []nix.StorePath, spec *[]string) error {
	if spec == nil {
		return nil
	}
	allowed, err := c.resolve(*spec)
	if err != nil {
		return err
	}
	return c.report(what, used, func(p nix.StorePath) bool { return !allowed[p] })
}

func (c *outputCheck) forbid(what string, used []nix.StorePath, spec []string) error {
	forbidden, err := c.resolve(spec)
	if err != nil {
		return err
	}
	return c.report(what, used, func(p nix.StorePath) bool { return forbidden[p] })
}

func (c *outputCheck) report(what string, used []nix.StorePath, bad func(nix.StorePath) bool) error {
	var lines []string
	for _, p := range used {
		if bad(p) {
			lines = append(lines, "\n    "+string(p))
		}
	}
	if len(lines) == 0 {
		return nil
	}
	slices.Sort(lines)
	return c.refuse("has a %s that is not allowed:%s", what, strings.Join(lines, ""))
}

// resolve reads store paths and names of outputs.
func (c *outputCheck) resolve(spec []string) (map[nix.StorePath]bool, error) {
	set := make(map[nix.StorePath]bool, len(spec))
	for _, s := range spec {
		if p, ok := c.node.Outputs[s]; ok {
			set[p] = true
			continue
		}
		p, err := nix.ParseStorePath(s)
		if err != nil {
			return nil, c.badRequest("%q is neither a store path nor an output", s)
		}
		set[p] = true
	}
	return set, nil
}

func (c *outputCheck) refuse(format string, args ...any) error {
	return c.failed(engine.BadOutput, fmt.Errorf("output "+c.output.name+" "+format, args...))
}

// closure is all that the output refers to, itself too, and the sum of the NARs' sizes.
func (c *outputCheck) closure(ctx context.Context) ([]nix.StorePath, int64, error) {
	fresh := map[nix.StorePath]store.PathInfo{}
	for _, o := range c.outputs {
		fresh[o.info.Path] = o.info
	}
	seen := map[nix.StorePath]bool{c.output.info.Path: true}
	queue := []nix.StorePath{c.output.info.Path}
	var size int64
	for i := 0; i < len(queue); i++ {
		info, ok := fresh[queue[i]]
		if !ok {
			var err error
			if info, err = c.Store.Query(ctx, queue[i]); err != nil {
				return nil, 0, err
			}
		}
		size += info.NARSize
		for _, r := range info.Refs {
			if !seen[r] {
				seen[r] = true
				queue = append(queue, r)
			}
		}
	}
	return queue, size, nil
}

// checkCircle refuses outputs that refer to one another in a circle: none could ever be deleted or copied before the others.
func (j *job) checkCircle(outputs []output) error {
	byPath := map[nix.StorePath]*output{}
	for i := range outputs {
		byPath[outputs[i].info.Path] = &outputs[i]
	}
	const onTheWay, finished = 1, 2
	state := map[*output]int{}
	var visit func(o *output) error
	visit = func(o *output) error {
		state[o] = onTheWay
		for _, r := range o.info.Refs {
			next := byPath[r]
			switch {
			case next == nil || next == o || state[next] == finished:
			case state[next] == onTheWay:
				return j.failed(engine.BadOutput, fmt.Errorf("outputs %s and %s refer to one another in a circle", next.name, o.name))
			default:
				if err := visit(next); err != nil {
					return err
				}
			}
		}
		state[o] = finished
		return nil
	}
	for i := range outputs {
		if state[&outputs[i]] == 0 {
			if err := visit(&outputs[i]); err != nil {
				return err
			}
		}
	}
	return nil
}
