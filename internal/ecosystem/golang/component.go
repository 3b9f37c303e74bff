package golang

import (
	"maps"
	"strings"

	"headwater/internal/dag"
	"headwater/internal/ecosystem"
)

// component makes the component's own node. deps may be nil.
func (d *deriver) component(deps *dag.Node) (*dag.Node, error) {
	inputs := []*dag.Node{d.std}
	caches := string(d.std.Path())
	if deps != nil {
		inputs = append(inputs, deps)
		caches += " " + string(deps.Path())
	}
	mounts, env := d.library()
	maps.Copy(env, d.env(buildFlags(d.mod(true), d.o.Tags)))
	env["GOCACHE"], env["caches"] = goCache, caches
	var build strings.Builder
	// What is printed are the packages that are compiled, which are the component's own.
	build.WriteString(`mkdir -p "$out/bin" && go build -v -o "$out/bin/"`)
	if d.o.LDFlags != "" {
		build.WriteString(" " + ecosystem.Quote("-ldflags="+d.o.LDFlags))
	}
	for _, p := range d.o.Packages {
		build.WriteString(" " + ecosystem.Quote(p))
	}
	return d.Build(ecosystem.Build{
		Mounts: append(mounts, d.tools()...), Inputs: inputs, Env: env,
		Prepare: prelude + cacheScript, Commands: []string{build.String()},
	})
}
