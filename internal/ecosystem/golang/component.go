package golang

import (
	"maps"
	"strings"

	"headwater/internal/dag"
	"headwater/internal/ecosystem"
)

// component makes the component's own node.
func (d *deriver) component(cache *dag.Node) (*dag.Node, error) {
	mounts, env := d.library()
	mounts = append(mounts, dag.Mount{From: cache, At: goCache, Writable: true})
	maps.Copy(env, d.env(buildFlags(d.mod(true), d.o.Tags)))
	env["GOCACHE"] = goCache
	var build strings.Builder
	// What is printed are the packages that are compiled, which are the component's own.
	build.WriteString(`mkdir -p "$out/bin" && go build -v -o "$out/bin/"`)
	if d.o.LDFlags != "" {
		build.WriteString(" " + dag.Quote("-ldflags="+d.o.LDFlags))
	}
	for _, p := range d.o.Packages {
		build.WriteString(" " + dag.Quote(p))
	}
	return d.Build(ecosystem.Build{
		Mounts: append(mounts, d.tools()...), Env: env,
		// The time of the last trim is now, else the go command would go through the cache for what is old.
		Prepare: d.prelude() + "printf %s \"$EPOCHSECONDS\" >\"$GOCACHE/trim.txt\"\n" + d.swap, Commands: []string{build.String()},
	})
}
