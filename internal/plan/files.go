package plan

import (
	"path"
	"slices"
	"strings"
)

// Kind of an Origin.
type Kind int

// The kinds.
const (
	Unknown Kind = iota
	Source       // upstream's own tree
	Product      // made by a build
	Image        // out of an image that is not built from this tree
	Network      // downloaded
	Empty        // an empty folder or file, or one whose text a command of the image wrote
	Link         // a symbolic link
)

// Origin says where what stands at a path came from.
type Origin struct {
	Kind  Kind
	Path  string // Source: in the tree, "." is all of it. Product: where it was in the stage that built it, absolute. Link: what it says. Image: in the image. Network: in what was cloned, "" for a single file.
	Build *Build // Product's
	Ref   string // Image: its reference. Network: the URL
	Exec  bool   // Network, Empty, a file of the Source: it was made executable
	Text  string // Empty: what was written into it, as far as that is known
	Vague bool   // Empty: more than Text may have been written
}

// At is the origin of what is at rel below o.
func (o Origin) At(rel string) Origin {
	if rel != "." && rel != "" {
		o.Path = path.Join(o.Path, rel)
	}
	return o
}

// isFile tells whether something of the network is one file at an address, not a registry's package or a repository.
func (o Origin) isFile() bool { return o.Path == "" && strings.Contains(o.Ref, "://") }

// Placement is an origin and where it stands.
type Placement struct {
	At       string // absolute
	Origin   Origin
	Evidence Evidence
	// Except lists paths below At, relative, that were left out or deleted.
	Except []string
}

// Files is a file system of which only origins are known. The zero value is empty.
type Files struct {
	tree   *Tree
	placed []Placement // later ones cover earlier ones
}

// Clone copies f.
func (f *Files) Clone() *Files { return &Files{f.tree, slices.Clone(f.placed)} }

// Placements lists what stands, in the order in which it was placed.
func (f *Files) Placements() []Placement { return f.placed }

// Place puts an origin at a path: over a folder that is there, instead of a file.
func (f *Files) Place(at string, o Origin, e Evidence) {
	f.placed = append(f.placed, Placement{At: path.Clean(at), Origin: o, Evidence: e})
}

// Write puts a written file at a path, in place of one that was written there before.
func (f *Files) Write(at string, o Origin, e Evidence) {
	f.placed = slices.DeleteFunc(slices.Clone(f.placed), func(p Placement) bool { return p.At == at && p.Origin.Kind == Empty })
	f.Place(at, o, e)
}

// Real is where a path leads, with the links on its way followed: those of its folders, and its own where what that leads to is known.
func (f *Files) Real(at string) string {
	at = path.Clean(at)
	for range maxLinks {
		next := f.followed(at)
		if next == at {
			break
		}
		at = next
	}
	return at
}

// maxLinks is how many links a path may lead through, as in Linux.
const maxLinks = 40

// followed is a path with its first link followed, the path itself if it leads through none.
func (f *Files) followed(at string) string {
	for i := 1; i <= len(at); i++ {
		if i < len(at) && at[i] != '/' {
			continue
		}
		o, _ := f.Lookup(at[:i])
		if o.Kind != Link {
			continue
		}
		if to := Abs(path.Dir(at[:i]), o.Path); i < len(at) || f.Exists(to) {
			return path.Join(to, at[i:])
		}
	}
	return at
}

// PlaceBelow puts an origin at a path, below what stands there already.
func (f *Files) PlaceBelow(at string, o Origin, e Evidence) {
	f.placed = slices.Insert(slices.Clone(f.placed), 0, Placement{At: path.Clean(at), Origin: o, Evidence: e})
}

// Unmake takes away what a build made at a path, and what the source has there, but nothing that was laid into it since.
func (f *Files) Unmake(at string, b *Build) {
	at = path.Clean(at)
	f.placed = slices.DeleteFunc(slices.Clone(f.placed), func(p Placement) bool { return p.At == at && p.Origin.Build == b })
	for i, p := range f.placed {
		if p.Origin.Kind == Source && within(p.At, at) {
			f.placed[i].Except = append(slices.Clone(p.Except), relative(p.At, at))
		}
	}
}

// Remove deletes a path and all below it.
func (f *Files) Remove(at string) {
	at = path.Clean(at)
	f.placed = slices.DeleteFunc(slices.Clone(f.placed), func(p Placement) bool { return within(at, p.At) })
	for i, p := range f.placed {
		if within(p.At, at) {
			f.placed[i].Except = append(slices.Clone(p.Except), relative(p.At, at))
		}
	}
}

// Lookup tells where what stands at a path came from; Unknown if that is not known.
func (f *Files) Lookup(at string) (Origin, Evidence) {
	at = path.Clean(at)
	var whole Origin // a build's whole folder, copied over another
	var e Evidence
	for i := len(f.placed) - 1; i >= 0; i-- {
		p := f.placed[i]
		if !within(p.At, at) {
			continue
		}
		rel := relative(p.At, at)
		if p.excepts(rel) {
			continue
		}
		o := p.Origin.At(rel)
		switch {
		case p.Origin.Kind == Source && !f.tree.Exists(o.Path):
			continue
		case p.Origin.Kind == Empty && rel != ".", p.Origin.Kind == Link && rel != ".":
			continue
		case whole.Kind == Unknown && rel != "." && p.Origin.Build.hasNot(o.Path) && p.Origin.Path == p.Origin.Build.Dir:
			whole, e = o, p.Evidence
			continue
		case whole.Kind != Unknown && (o.Kind != Source || !f.tree.Has(o.Path)):
			continue
		}
		return o, p.Evidence
	}
	return whole, e
}

// hasNot tells whether a build, as far as is known, neither sees nor makes what would be at a path in its stage.
func (b *Build) hasNot(at string) bool {
	if b == nil || slices.ContainsFunc(b.Outputs, func(o Output) bool { return within(o.At, at) }) {
		return false
	}
	o, _ := b.Before.Lookup(at)
	return o.Kind == Unknown
}

// Inside lists what was placed below a folder (not at it), in order.
func (f *Files) Inside(dir string) []Placement {
	var out []Placement
	for _, p := range f.placed {
		if p.At != path.Clean(dir) && within(dir, p.At) {
			out = append(out, p)
		}
	}
	return out
}

// Exists tells whether something is known to stand at a path.
func (f *Files) Exists(at string) bool {
	o, _ := f.Lookup(at)
	return o.Kind != Unknown || len(f.Inside(at)) > 0
}

// CopyFrom lays what stands at src in another file system (or this one) at dst, as a copy would.
func (f *Files) CopyFrom(from *Files, src, dst string, e Evidence) bool {
	var add []Placement
	if o, _ := from.Lookup(src); o.Kind != Unknown {
		p := Placement{At: path.Clean(dst), Origin: o, Evidence: e}
		for _, q := range from.placed {
			if within(q.At, src) && q.Origin.Kind == o.Kind {
				for _, x := range q.Except {
					if abs := path.Join(q.At, x); within(src, abs) {
						p.Except = append(p.Except, relative(src, abs))
					}
				}
			}
		}
		add = append(add, p)
	}
	for _, p := range from.Inside(src) {
		p.At, p.Evidence = path.Join(dst, relative(src, p.At)), e
		add = append(add, p)
	}
	f.placed = append(f.placed, add...)
	return len(add) > 0
}

func (p Placement) excepts(rel string) bool {
	return slices.ContainsFunc(p.Except, func(x string) bool { return within("/"+x, "/"+rel) })
}

// within tells whether p is dir or below it; both are absolute and clean.
func within(dir, p string) bool {
	return p == dir || dir == "/" && strings.HasPrefix(p, "/") || strings.HasPrefix(p, strings.TrimSuffix(dir, "/")+"/")
}

// relative is p seen from dir, which it is within; "." for dir itself.
func relative(dir, p string) string {
	if p == dir {
		return "."
	}
	return strings.TrimPrefix(strings.TrimPrefix(p, dir), "/")
}
