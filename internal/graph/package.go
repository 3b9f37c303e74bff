package graph

import (
	_ "embed"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"headwater/internal/dag"
	"headwater/internal/recipe"
)

// assemble is the package's build script; launcher is the text that it completes to the package's launcher.
var (
	//go:embed assemble.sh
	assemble string
	//go:embed launcher.sh
	launcher string
	//go:embed laid.sh
	laid string
)

// The lines of the launcher that lay overlays, and what stands there for a root whose bubblewrap lays none.
const (
	startsOverlays = "for dir in /usr /etc; do\n"
	laysOverlay    = `args+=(--overlay-src "$store$root$dir" --overlay-src "$here/over$dir" --ro-overlay "$dir") ;;`
	lays           = `lay "$dir" ;;`
	endsMounts     = "args+=(--remount-ro / "
	endsLaid       = `args+=("${laid[@]}" --remount-ro / `
)

// launcherFor is the launcher of a package whose root that is.
func launcherFor(root *dag.Node) string {
	if !dag.IsPlain(root) {
		return launcher
	}
	return strings.NewReplacer(startsOverlays, laid+startsOverlays, laysOverlay, lays, endsMounts, endsLaid).Replace(launcher)
}

// noteReplaced follows assemble where the package has artifacts other than upstream's lock names, or from elsewhere: share/headwater/replaced
// lists them, as lock.File.Replaced does.
const noteReplaced = `cp "$replacedPath" "$here/replaced"` + "\n"

// pkg makes the package: bin/<name>, the launcher, and beside it what the launcher needs. What stands in the layout is bound
// from the components' own store paths at run time; only what cannot be bound, since it stands inside another entry or in
// the root's own folders, is copied.
func (b *builder) pkg() (*dag.Node, error) {
	p := b.Recipe.Package
	root := b.graph.Roots[p.Root]
	var layout strings.Builder
	inputs := []*dag.Node{root}
	for _, at := range slices.Sorted(maps.Keys(p.Layout)) {
		name, sub, _ := strings.Cut(p.Layout[at], ":")
		n := b.graph.Components[name]
		if !slices.Contains(inputs, n) {
			inputs = append(inputs, n)
		}
		fmt.Fprintf(&layout, "%s\t%s\n", at, path.Join(string(n.Path()), sub))
	}
	var closures []string
	for i, n := range inputs {
		closures = append(closures, fmt.Sprintf("closure-%d %s", i, n.Path()))
	}
	files, script := map[string]string{
		"layout": layout.String(), "settings": b.settings(), "launcher": launcherFor(root), "links": links(p.Links),
		"volumes": lines(p.Volumes),
	}, assemble
	if list := b.Lock.Replaced(); len(list) > 0 {
		files["replaced"] = lines(list)
		script += noteReplaced
	}
	return b.maker.InRoot(dag.InRoot{
		Kind: dag.Package, Name: b.Recipe.Name + "-" + b.Recipe.Release, Title: b.Recipe.Name + " " + b.Recipe.Release,
		Root: root, Inputs: inputs, Files: files,
		Env:    map[string]string{"root": string(root.Path()), "main": b.Recipe.Name, "exportReferencesGraph": strings.Join(closures, " ")},
		Script: script,
	})
}

// host are variables of which the caller's value means nothing inside.
var host = map[string]string{
	"HOME": "/tmp", "LANG": "C.UTF-8", "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TMPDIR": "/tmp",
}

// Env is the environment that a package's processes start with, by name, where the caller sets nothing.
func Env(p recipe.Package) map[string]string {
	env := maps.Clone(host)
	maps.Copy(env, p.Env)
	return env
}

// settings are the launcher's fixed values, as bash.
func (b *builder) settings() string {
	p := b.Recipe.Package
	user := p.User
	if user == "" {
		user = recipe.DefaultUser
	}
	uid, gid, _ := strings.Cut(user, ":")
	workdir := p.Workdir
	if workdir == "" {
		workdir = "/"
	}
	var s strings.Builder
	fmt.Fprintf(&s, "name=%s uid=%s gid=%s workdir=%s\n", dag.Quote(b.Recipe.Name), uid, gid, dag.Quote(workdir))
	s.WriteString("command=(")
	for _, c := range p.Command {
		s.WriteString(" " + dag.Quote(c))
	}
	s.WriteString(" )\n")
	env := Env(p)
	for _, k := range slices.Sorted(maps.Keys(env)) {
		if _, ours := host[k]; ours {
			fmt.Fprintf(&s, "export %s=%s\n", k, dag.Quote(env[k]))
			continue
		}
		// A variable that the caller set wins, as with a container's environment.
		fmt.Fprintf(&s, "export %s=\"${%s-%s}\"\n", k, k, escape(env[k]))
	}
	return s.String()
}

// escape makes s safe between double quotes, also within the default of an expansion.
func escape(s string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, "$", `\$`, "`", "\\`", "}", `\}`).Replace(s)
}

func links(m map[string]string) string {
	var s strings.Builder
	for _, at := range slices.Sorted(maps.Keys(m)) {
		fmt.Fprintf(&s, "%s\t%s\n", at, m[at])
	}
	return s.String()
}

func lines(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return strings.Join(list, "\n") + "\n"
}
