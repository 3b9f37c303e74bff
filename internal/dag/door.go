package dag

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// door is what differs between the two ways into a root: a tree of Debian packages has its programs where they cannot be run
// before the tree is at /usr, but by its own loader; store paths have theirs where they are, and no /usr.
type door struct {
	builder string                      // the derivation's
	args    []string                    // its first arguments, up to the options for bash
	start   string                      // bash: sets R and L, which the other fields use, and run, which starts a program of the root
	words   func(program string) string // bash: what starts a program of the root where run, a function, cannot
	ready   string                      // bash, run in the build directory: makes what view mounts
	view    string                      // bash: bubblewrap's arguments for the root itself
	names   string                      // bash: lists the variables of the environment
	path    string                      // PATH inside
	shell   string                      // bash's path inside
	copies  bool                        // bubblewrap cannot lay overlays: what is to be writable is copied
}

// Plain is what a root's content may implement besides Content.
type Plain interface {
	// Plain tells that the root's bubblewrap cannot lay overlays, as none before 0.11 can.
	Plain() bool
}

// open is view and ready where something is mounted below the root's own /etc or /usr, whose folders are read-only: they become
// overlays then, in which the folders on the way are there.
func (d door) open(mounts []Mount, outputAt map[string]string) (view, ready string) {
	view, ready = d.view, d.ready
	points := slices.Collect(maps.Keys(outputAt))
	for _, m := range mounts {
		points = append(points, m.At)
	}
	slices.Sort(points)
	if d.copies {
		return d.openCopied(points)
	}
	for _, top := range []string{"/etc", "/usr"} {
		bind := " --ro-bind $R" + top + " " + top
		layer := `"$T/.layers` + top
		if !strings.Contains(view, bind) {
			bind, layer = "", `"$T/.`+top[1:]
		}
		made := false
		for _, p := range points {
			if dir := path.Dir(p); strings.HasPrefix(p, top+"/") && (bind != "" || top == "/etc") {
				ready += "run mkdir -p " + layer + `"` + Quote(strings.TrimPrefix(dir, top)) + "\n"
				made = true
			}
		}
		if made && bind != "" {
			ready += "run mkdir " + layer + `.work"` + "\n"
			view = strings.Replace(view, bind, " --overlay-src $R"+top+" --overlay "+layer+`" `+layer+`.work" `+top, 1)
		}
	}
	return view, ready
}

// openCopied is open without overlays: a folder that something is mounted below, or the nearest that the root has, becomes an empty one
// into which all that the root has there is bound. Outer folders come before those inside them.
func (d door) openCopied(points []string) (view, ready string) {
	var words []string
	for _, p := range points {
		if strings.HasPrefix(p, "/etc/") || strings.HasPrefix(p, "/usr/") {
			words = append(words, Quote(path.Dir(p)))
		}
	}
	if len(words) == 0 {
		return d.view, d.ready
	}
	return d.view + ` "${opened[@]}"`, d.ready + `nearest() { local d; for d; do while [[ ! -d $R$d ]]; do d=${d%/*}; done; echo "$d"; done; }
opened=()
while IFS= read -r d; do
  opened+=(--tmpfs "$d")
  for e in "$R$d"/* "$R$d"/.[!.]*; do
    if [[ -L $e ]]; then opened+=(--symlink "$(run readlink "$e")" "$d/${e##*/}")
    elif [[ -e $e ]]; then opened+=(--ro-bind "$e" "$d/${e##*/}"); fi
  done
done < <(nearest ` + strings.Join(words, " ") + ` | run sort -u)
`
}

func doorOf(root *Node) door {
	if r, ok := root.Content.(*pathRoot); ok {
		return pathsDoor(r)
	}
	d := treeDoor(string(root.Path()))
	d.copies = IsPlain(root)
	return d
}

// IsPlain tells whether a root's bubblewrap lays no overlays.
func IsPlain(root *Node) bool {
	p, ok := root.Content.(Plain)
	return ok && p.Plain()
}

// treeDoor is the way into a tree of Debian packages.
func treeDoor(root string) door {
	const loader = `"$L/ld-linux-x86-64.so.2" --library-path "$L" `
	lib := root + LibDir
	return door{
		builder: lib + "/ld-linux-x86-64.so.2",
		args:    []string{"--library-path", lib, root + "/usr/bin/bash"},
		start: fmt.Sprintf("R=%s L=$R%s\n", root, LibDir) +
			`run() { local p=$1; shift; ` + loader + `"$R/usr/bin/$p" "$@"; }` + "\n",
		words: func(program string) string { return loader + `"$R/usr/bin/` + program + `"` },
		view: " --ro-bind $R/usr /usr --symlink usr/bin /bin --symlink usr/sbin /sbin --symlink usr/lib /lib --symlink usr/lib64 /lib64\n" +
			" --ro-bind $R/etc /etc",
		names: "compgen -e",
		path:  "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
		shell: "/usr/bin/bash",
	}
}

// pathsDoor is the way into a root of store paths. What scripts take for granted is made: /bin/sh, /usr/bin/env, users.
func pathsDoor(r *pathRoot) door {
	return door{
		builder: r.shell,
		// The environment is read where the kernel has it: a bash without line editing has no compgen.
		start: fmt.Sprintf("R=%s L=%s\nPATH=$L\n", r.shell, strings.Join(r.bin, ":")) + `run() { "$@"; }
names() {
  local pair
  while IFS= read -r -d '' pair; do
    [[ ! ${pair%%=*} =~ ^[A-Za-z_][A-Za-z0-9_]*$ ]] || echo "${pair%%=*}"
  done </proc/self/environ
}
`,
		words: func(program string) string { return program },
		ready: `run mkdir .etc
printf '%s\n' root:x:0:0::/:/bin/sh build:x:1000:100::/home/build:/bin/sh nobody:x:65534:65534::/:/bin/sh >.etc/passwd
printf '%s\n' root:x:0: users:x:100: nogroup:x:65534: >.etc/group
echo 127.0.0.1 localhost >.etc/hosts
`,
		view:  ` --symlink "$(type -P env)" /usr/bin/env --symlink "$R" /bin/sh --ro-bind "$T/.etc" /etc`,
		names: "names",
		path:  `"$L"`,
		shell: `"$R"`,
	}
}
