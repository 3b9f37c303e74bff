package dag

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"headwater/internal/nix"
	"headwater/internal/nix/drv"
)

// LibDir is where a Debian amd64 root keeps its loader and libraries.
const LibDir = "/usr/lib/x86_64-linux-gnu"

// Mount lays a part of an input into a build's file system. Nothing is copied unless Copy says so.
type Mount struct {
	From     *Node
	Path     string // inside From's output, "" for all of it
	At       string // absolute; below /build or a path of its own
	Writable bool   // the build may add, replace and delete files; the input stays as it is. An overlay, where the root can lay one, else a copy
	Copy     bool   // a copy of a folder, in which files can be written in place too: for sources
	Into     string // At of an earlier copy with a folder in that place, into which this one is copied: what both have is this one's
}

// InRoot describes a derivation whose script runs inside a root.
type InRoot struct {
	Kind      Kind
	Name      string // store path name
	Title     string // for people
	Component string
	Root      *Node
	Mounts    []Mount
	Inputs    []*Node           // further inputs that Script, Env or Files name by their store path
	Env       map[string]string // what the script sees besides HOME, PATH, TMPDIR, SOURCE_DATE_EPOCH and out
	Files     map[string]string // content by variable name: the variable holds the path of a file with it (passAsFile)
	Script    string            // bash, run with -euo pipefail in /build
	Outputs   []string          // nil means just "out"; each is a folder
	OutputAt  map[string]string // absolute path → output or output/folder: it appears there too while the script runs
}

// InRoot makes the derivation. Its builder is the root's bash, which starts the root's bubblewrap (docs/architecture.md, "How a
// build enters its root").
func (m *Maker) InRoot(b InRoot) (*Node, error) {
	outputs := b.Outputs
	if len(outputs) == 0 {
		outputs = []string{"out"}
	}
	door := doorOf(b.Root)
	d := &drv.Derivation{
		Name:      b.Name,
		Outputs:   map[string]drv.Output{},
		InputDrvs: map[nix.StorePath][]string{},
		System:    "x86_64-linux",
		Builder:   door.builder,
		Args:      append(door.args, "-euo", "pipefail", "-c", enter(door, outputs, b.Mounts, b.OutputAt)),
		Env:       map[string]string{"name": b.Name, "system": "x86_64-linux", "builder": door.builder},
	}
	for _, o := range outputs {
		d.Outputs[o] = drv.Output{}
	}
	files := map[string]string{"script": b.Script}
	maps.Copy(files, b.Files)
	for k, v := range b.Env {
		if _, clash := files[k]; clash || slices.Contains(outputs, k) {
			return nil, fmt.Errorf("derive %s: environment variable %s is taken", b.Title, k)
		}
		d.Env[k] = v
	}
	maps.Copy(d.Env, files)
	d.Env["passAsFile"] = strings.Join(slices.Sorted(maps.Keys(files)), " ")
	d.Env["outputs"] = strings.Join(outputs, " ")

	n := Node{Kind: b.Kind, Name: b.Title, Component: b.Component, Drv: d}
	add := func(in *Node) {
		if slices.Contains(n.Inputs, in) {
			return
		}
		n.Inputs = append(n.Inputs, in)
		if in.Drv == nil {
			d.InputSrcs = append(d.InputSrcs, in.Path())
		} else {
			d.InputDrvs[in.DrvPath] = []string{"out"}
		}
	}
	add(b.Root)
	for _, mount := range b.Mounts {
		add(mount.From)
	}
	for _, in := range b.Inputs {
		add(in)
	}
	slices.Sort(d.InputSrcs)
	return m.Derivation(n)
}

// enter is the bash program that goes from the engine's sandbox into the root. It uses bash's own commands and the
// root's programs, since nothing else is there yet.
func enter(door door, outputs []string, mounts []Mount, outputAt map[string]string) string {
	var s strings.Builder
	s.WriteString(door.start)
	// An overlay's folder has the mode that the upper layer's folder has, so folders that may be written to are made there.
	s.WriteString(`layer() { run mkdir "$2" "$2.work"; (cd "$1" && run find . -mindepth 1 -type d -print0) |
  (cd "$2" && run xargs -0r ` + door.words("mkdir") + ` -p --); }` + "\n")
	s.WriteString(`cd "$NIX_BUILD_TOP"; T=$NIX_BUILD_TOP` + "\n")
	s.WriteString("run mkdir -p .tmp .home .layers")
	for _, o := range outputs {
		fmt.Fprintf(&s, ` "$%s"`, o)
	}
	view, ready := door.open(mounts, outputAt)
	s.WriteString("\n" + ready + "args=(--unshare-all --die-with-parent --uid 1000 --gid 100 --hostname localhost --clearenv\n")
	s.WriteString(view + " --ro-bind /nix/store /nix/store --proc /proc --dev /dev --dir /run --dir /var\n")
	s.WriteString(` --bind "$T" /build --bind "$T/.tmp" /tmp --bind "$T/.tmp" /var/tmp --bind "$T/.home" /home/build` + "\n")
	for _, o := range outputs {
		fmt.Fprintf(&s, ` --bind "$%s" "$%s" --setenv %s "$%s"`+"\n", o, o, o, o)
	}
	for i, m := range mounts {
		switch {
		case m.Into != "":
		case m.Copy || m.Writable && door.copies:
			fmt.Fprintf(&s, ` --bind "$T/.layers/%d" %s`+"\n", i, Quote(m.At))
		case m.Writable:
			fmt.Fprintf(&s, ` --overlay-src %s --overlay "$T/.layers/%d" "$T/.layers/%d.work" %s`+"\n", Quote(m.from()), i, i, Quote(m.At))
		default:
			fmt.Fprintf(&s, " --ro-bind %s %s\n", Quote(m.from()), Quote(m.At))
		}
	}
	for _, at := range slices.Sorted(maps.Keys(outputAt)) {
		output, sub, _ := strings.Cut(outputAt[at], "/")
		fmt.Fprintf(&s, ` --bind "$%s"/%s %s`+"\n", output, Quote(sub), Quote(at))
	}
	s.WriteString(")\n")
	for _, at := range slices.Sorted(maps.Keys(outputAt)) {
		output, sub, _ := strings.Cut(outputAt[at], "/")
		fmt.Fprintf(&s, `run mkdir -p "$%s"/%s`+"\n", output, Quote(sub))
	}
	for i, m := range mounts {
		switch {
		case m.Into != "":
			of := slices.IndexFunc(mounts, func(o Mount) bool { return o.At == m.Into })
			at := fmt.Sprintf(`"$T/.layers/%d"/%s`, of, Quote(strings.TrimPrefix(strings.TrimPrefix(m.At, m.Into), "/")))
			fmt.Fprintf(&s, "run cp -rT --remove-destination --preserve=mode,timestamps,links %s %s; run chmod -R u+w %s\n", Quote(m.from()), at, at)
		case m.Copy:
			fmt.Fprintf(&s, `run cp -rT --preserve=mode,timestamps,links %s "$T/.layers/%d"; run chmod -R u+w "$T/.layers/%d"`+"\n", Quote(m.from()), i, i)
		case m.Writable && door.copies:
			fmt.Fprintf(&s, `run cp -rT --preserve=mode,timestamps,links %s "$T/.layers/%d"; run find "$T/.layers/%d" -type d -exec `+door.words("chmod")+" u+w {} +\n", Quote(m.from()), i, i)
		case m.Writable:
			fmt.Fprintf(&s, `layer %s "$T/.layers/%d"`+"\n", Quote(m.from()), i)
		}
	}
	// The engine's own variables stay outside; the derivation's go in, files by the path they have inside.
	s.WriteString(`while IFS= read -r v; do case $v in
  R|L|T|v|args|PATH|HOME|TMPDIR|TEMPDIR|TMP|TEMP|PWD|OLDPWD|SHLVL|_|NIX_*|TERM|name|system|builder|outputs|passAsFile) continue;;
esac; w=${!v}; case $v in *Path) w=${w/#"$T"//build};; esac; args+=(--setenv "$v" "$w"); done < <(` + door.names + ")\n")
	s.WriteString("args+=(--setenv PATH " + door.path + " --setenv HOME /home/build --setenv TMPDIR /tmp\n")
	s.WriteString(` --setenv LANG C.UTF-8 --setenv TZ UTC --setenv SOURCE_DATE_EPOCH 315532800 --setenv CORES "$NIX_BUILD_CORES" --chdir /build)` + "\n")
	s.WriteString("exec " + door.words("bwrap") + ` "${args[@]}" -- ` + door.shell + ` -euo pipefail "${scriptPath/#"$T"//build}"` + "\n")
	return s.String()
}

// from is the absolute path of what is mounted.
func (m Mount) from() string {
	if m.Path == "" {
		return string(m.From.Path())
	}
	return string(m.From.Path()) + "/" + m.Path
}

// Quote makes s one word of bash.
func Quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
