package image

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"headwater/internal/nix"
	"headwater/internal/store"
)

// layerPlan is what a layer is made of. Equal plans make equal layers.
type layerPlan struct {
	title   string
	stratum Stratum

	Pieces  []piece           `json:",omitempty"` // sorted by At
	Links   map[string]string `json:",omitempty"` // path → target
	Folders map[string]folder `json:",omitempty"` // path → what it is; parents of the rest are among them

	// shared tells that the layer is a part of store paths that change more often than it: its bytes are worth a look before they
	// are compressed again.
	shared bool
}

// piece is a tree of the store and where it is in the image.
type piece struct {
	At   string
	Path nix.StorePath
	Sub  string   `json:",omitempty"`
	Hide []string `json:",omitempty"` // absolute paths in the image that are left out, with all that is below
}

// folder is a folder that the image has, whatever the store says.
type folder struct{ Mode, UID, GID int }

// paths are the store paths that the layer is made of, sorted.
func (p *layerPlan) paths() []nix.StorePath {
	var list []nix.StorePath
	for _, x := range p.Pieces {
		list = append(list, x.Path)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// mergedLinks are the links of a merged /usr, as the launcher makes them.
var mergedLinks = map[string]string{"/bin": "usr/bin", "/sbin": "usr/sbin", "/lib": "usr/lib", "/lib64": "usr/lib64"}

// modulesFolder is the name of folders that hold a Node.js service's dependencies.
const modulesFolder = "node_modules"

// planner places what an image is made of.
type planner struct {
	spec    Spec
	store   *store.Store
	mounts  []mount
	links   map[string]string
	volumes []string
	folders map[string]folder // writable ones and those that mount points are
}

// mount is a piece with the layer that it belongs to.
type mount struct {
	piece
	layer  string
	order  Stratum
	shared bool
}

// planLayers decides what is in which layer. It looks at the store, but reads no file.
func planLayers(ctx context.Context, spec Spec, s *store.Store) ([]layerPlan, error) {
	p := &planner{spec: spec, store: s, links: map[string]string{}}
	for _, step := range []func() error{
		p.placeFolders,
		p.placeEntries,
		func() error { return p.placeReferred(ctx) },
		p.splitModules,
		p.hide,
	} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return p.layers(), nil
}

// merged is where a path really is once /bin and the like are links.
func merged(p string) string {
	for link, target := range mergedLinks {
		if below(p, link) {
			return "/" + target + p[len(link):]
		}
	}
	return p
}

// placeFolders notes what the launcher makes besides the layout.
func (p *planner) placeFolders() error {
	uid, gid, err := p.spec.owner()
	if err != nil {
		return err
	}
	p.folders = map[string]folder{
		"/tmp": {0o1777, 0, 0}, "/var": {0o755, 0, 0}, "/var/tmp": {0o1777, 0, 0}, "/run": {0o755, uid, gid},
		"/proc": {0o555, 0, 0}, "/sys": {0o555, 0, 0}, "/dev": {0o755, 0, 0}, "/nix": {0o755, 0, 0}, "/nix/store": {0o755, 0, 0},
	}
	home, err := p.home(uid)
	if err != nil {
		return err
	}
	if home != "" {
		p.folders[home] = folder{0o755, uid, gid}
	}
	for _, v := range p.spec.Volumes {
		v = merged(v)
		p.volumes = append(p.volumes, v)
		p.folders[v] = folder{0o755, uid, gid}
	}
	slices.Sort(p.volumes)
	for at, target := range p.spec.Links {
		p.links[merged(at)] = target
	}
	return nil
}

// home is the user's home folder, as the root's /etc/passwd has it, if it is below /home; "" if there is none. The launcher has no use
// for it, since it sets HOME; some runtimes set HOME to what they find there, whatever the image says.
func (p *planner) home(uid int) (string, error) {
	data, err := os.ReadFile(path.Join(p.store.RealPath(p.spec.Root), "etc/passwd"))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("make image: %w", err)
	}
	for line := range strings.Lines(string(data)) {
		fields := strings.Split(strings.TrimSpace(line), ":")
		if len(fields) > 5 && fields[2] == strconv.Itoa(uid) && below(fields[5], "/home") && path.Clean(fields[5]) == fields[5] {
			return fields[5], nil
		}
	}
	return "", nil
}

// placeEntries notes the runtime root and the layout.
func (p *planner) placeEntries() error {
	for _, dir := range []string{"usr", "etc"} {
		p.mounts = append(p.mounts, mount{piece: piece{At: "/" + dir, Path: p.spec.Root, Sub: dir}, layer: "runtime root", order: Runtime})
	}
	for _, e := range p.spec.Entries {
		at := merged(e.At)
		for _, kernel := range []string{"/proc", "/sys", "/dev"} {
			if at == kernel || below(at, kernel) {
				return &SpecError{e.At, "a container's runtime has its own " + kernel + " there"}
			}
		}
		from, sub, err := p.follow(e.Path, e.Sub)
		if err != nil {
			return err
		}
		p.mounts = append(p.mounts, mount{piece: piece{At: at, Path: from, Sub: sub}, layer: layerOf(e.Stratum, e.Component), order: e.Stratum})
	}
	return nil
}

// layerOf names a layer.
func layerOf(s Stratum, component string) string {
	switch s {
	case Runtime:
		return "runtime root"
	case Toolchain:
		return "toolchain"
	case Dependencies:
		if component != "" {
			return "dependencies: " + component
		}
		return "dependencies"
	case Links:
		return "links and folders"
	}
	return "application"
}

// maxFollowed bounds a chain of links.
const maxFollowed = 40

// follow is where an entry's bytes are: a mount of a link is one of what it leads to.
func (p *planner) follow(at nix.StorePath, sub string) (nix.StorePath, string, error) {
	name := path.Join(string(at), sub)
	for range maxFollowed {
		target, err := os.Readlink(p.store.RealPath(nix.StorePath(name)))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return "", "", fmt.Errorf("make image: layout: %s: %w", name, err)
		case err != nil: // no link
			found, rest, err := nix.SplitStorePath(name)
			if err != nil {
				return "", "", fmt.Errorf("make image: layout: %w", err)
			}
			return found, strings.Trim(rest, "/"), nil
		}
		if !path.IsAbs(target) {
			target = path.Join(path.Dir(name), target)
		}
		name = path.Clean(target)
	}
	return "", "", &SpecError{name, "too many links"}
}

// placeReferred notes, at /nix/store, the store paths that something in the image refers to.
func (p *planner) placeReferred(ctx context.Context) error {
	laid := map[nix.StorePath]mount{}
	var queue []nix.StorePath
	for _, m := range p.mounts {
		if _, ok := laid[m.Path]; !ok {
			queue = append(queue, m.Path)
		}
		// Of a path's several mounts the layer that changes most has it whole.
		if old, ok := laid[m.Path]; !ok || m.order > old.order {
			laid[m.Path] = m
		}
	}
	needed := map[nix.StorePath]bool{}
	for i := 0; i < len(queue); i++ {
		info, err := p.store.Query(ctx, queue[i])
		if err != nil {
			return fmt.Errorf("make image: %w", err)
		}
		for _, ref := range info.Refs {
			if !needed[ref] {
				needed[ref] = true
				if _, ok := laid[ref]; !ok {
					queue = append(queue, ref)
				}
			}
		}
	}
	for _, ref := range slices.Sorted(maps.Keys(needed)) {
		m, ok := laid[ref]
		if !ok {
			m.order = Application
			if p.spec.StratumOf != nil {
				m.order = p.spec.StratumOf(ref)
			}
			m.layer = layerOf(m.order, "")
		}
		m.piece = piece{At: string(ref), Path: ref}
		p.mounts = append(p.mounts, m)
	}
	return nil
}

// splitModules takes node_modules folders out of the application: they follow from the lock, and are most of a service's bytes.
func (p *planner) splitModules() error {
	for _, m := range slices.Clone(p.mounts) {
		if m.order != Application {
			continue
		}
		top := p.store.RealPath(nix.StorePath(path.Join(string(m.Path), m.Sub)))
		err := filepath.WalkDir(top, func(name string, d fs.DirEntry, err error) error {
			if err != nil || !d.IsDir() || d.Name() != modulesFolder || name == top {
				return err
			}
			rel := strings.TrimPrefix(name, top)
			if p.covered(m.At+rel, m.At) {
				return fs.SkipDir
			}
			p.mounts = append(p.mounts, mount{
				piece: piece{At: m.At + rel, Path: m.Path, Sub: strings.TrimPrefix(m.Sub+rel, "/")},
				layer: layerOf(Dependencies, modulesFolder), order: Dependencies, shared: true,
			})
			return fs.SkipDir
		})
		if err != nil {
			return fmt.Errorf("make image: %w", err)
		}
	}
	return nil
}

// covered tells whether something else of the layout is on the way from the entry at top to at.
func (p *planner) covered(at, top string) bool {
	over := func(o string) bool { return below(o, top) && (o == at || below(at, o)) }
	if slices.ContainsFunc(p.volumes, over) {
		return true
	}
	for o := range p.links {
		if over(o) {
			return true
		}
	}
	return slices.ContainsFunc(p.spec.Entries, func(e Entry) bool { return over(merged(e.At)) })
}

// hide leaves out of each piece what something else has the place of: an entry, a link, a volume.
func (p *planner) hide() error {
	var over []string // that hide what is below and at them, in other pieces
	for _, m := range p.mounts {
		over = append(over, m.At)
	}
	for at := range p.links {
		over = append(over, at)
	}
	over = append(over, p.volumes...)
	slices.Sort(over)
	over = slices.Compact(over)
	var kept []mount
	for _, m := range p.mounts {
		if slices.ContainsFunc(p.volumes, func(v string) bool { return m.At == v || below(m.At, v) }) {
			continue // the volume is mounted over it
		}
		if slices.ContainsFunc(kept, func(k mount) bool { return k.At == m.At }) {
			continue // a split of an entry that is laid there by itself
		}
		hide := map[string]bool{}
		for _, o := range over {
			if !below(o, m.At) {
				continue
			}
			blocked, err := p.blocked(m, o)
			if err != nil {
				return err
			}
			hide[cmp.Or(blocked, o)] = true
		}
		m.Hide = slices.Sorted(maps.Keys(hide))
		kept = append(kept, m)
	}
	p.mounts = kept
	for at := range p.links {
		if slices.ContainsFunc(p.volumes, func(v string) bool { return at == v || below(at, v) }) {
			delete(p.links, at)
		}
	}
	return nil
}

// blocked is the folder on the way to at that a piece has something else in place of, "" if there is none. In the root that is hidden,
// as the launcher's overlay does; in an entry the launcher would mount somewhere else, which is an error.
func (p *planner) blocked(m mount, at string) (string, error) {
	for _, dir := range parents(at) {
		if !below(dir, m.At) {
			continue
		}
		fi, err := os.Lstat(p.store.RealPath(nix.StorePath(path.Join(string(m.Path), m.Sub, dir[len(m.At):]))))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return "", nil
		case err != nil:
			return "", fmt.Errorf("make image: %w", err)
		case fi.IsDir():
		case m.order == Runtime:
			return dir, nil
		default:
			return "", &SpecError{at, fmt.Sprintf("stands inside %s, which is no folder in %s", dir, m.Path)}
		}
	}
	return "", nil
}

// layers sorts what was placed into layers.
func (p *planner) layers() []layerPlan {
	byTitle := map[string]*layerPlan{}
	for _, m := range p.mounts {
		l := byTitle[m.layer]
		if l == nil {
			l = &layerPlan{title: m.layer, stratum: m.order, Folders: map[string]folder{}}
			byTitle[m.layer] = l
		}
		l.shared = l.shared || m.shared
		l.Pieces = append(l.Pieces, m.piece)
		p.addParents(l, m.At)
	}
	byTitle["runtime root"].Links = mergedLinks
	last := &layerPlan{title: layerOf(Links, ""), stratum: Links, Links: p.links, Folders: maps.Clone(p.folders)}
	for at := range p.links {
		p.addParents(last, at)
	}
	for at := range p.folders {
		p.addParents(last, at)
	}
	byTitle[last.title] = last
	var list []layerPlan
	for _, l := range byTitle {
		slices.SortFunc(l.Pieces, func(a, b piece) int { return cmp.Compare(a.At, b.At) })
		list = append(list, *l)
	}
	slices.SortFunc(list, func(a, b layerPlan) int {
		return cmp.Or(cmp.Compare(a.stratum, b.stratum), cmp.Compare(a.title, b.title))
	})
	return list
}

// addParents gives a layer the folders that at stands in, the same as in every other layer.
func (p *planner) addParents(l *layerPlan, at string) {
	for _, dir := range parents(at) {
		f, ok := p.folders[dir]
		if !ok {
			f = folder{Mode: 0o755}
		}
		l.Folders[dir] = f
	}
}
