// Package image makes OCI images of built packages and brings them to registries.
//
// The file system in an image is the one that the package's launcher makes: the runtime root's /usr and /etc, the layout's entries at
// their own absolute paths, as real files and folders, and the folders that are writable. Whatever of it refers to a store path finds
// that at /nix/store too, by hard links where it is in the layout as well. There is no launcher inside: the recipe's command is the
// entry point.
//
// An image is a function of its Spec, of the store paths' content and of this program's version of Go and of its compression library:
// entries are sorted, owners are numbers, times are fixed, and no clock, user, processor count or order reaches a byte. Layers go from what
// seldom changes to what often does (Stratum), and what was packed once is kept beside the store (see Layers), so that neither a second
// image nor a second push packs anything.
//
//	layers, err := image.OpenLayers(ctx, s)
//	defer layers.Close()
//	img, err := image.Make(ctx, spec, image.Options{Store: s, Layers: layers, Compression: image.Gzip})
//	pushed, err := image.Push(ctx, img, refs, image.PushOptions{…})
//
// Specification: OCI image format 1.1 (image-spec), its layout and its layers; OCI distribution 1.1 for Push.
package image

import (
	"context"
	"fmt"
	"path"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"golang.org/x/sync/errgroup"

	"headwater/internal/event"
	"headwater/internal/nix"
	"headwater/internal/store"
)

// Stratum is how often what is in a layer changes. Layers stand in this order.
type Stratum int

// The strata, from what changes seldom to what changes with every release.
const (
	Runtime      Stratum = iota // the runtime root: Debian's packages
	Toolchain                   // an interpreter that the package brings
	Dependencies                // what the service's own lock files name
	Application                 // the service's own code
	Links                       // links and writable folders, of a few hundred bytes
)

// Spec is what an image is made of.
type Spec struct {
	Name    string            // of the service
	Version string            // of the service
	Root    nix.StorePath     // runtime root
	Entries []Entry           // the layout, in any order
	Links   map[string]string // absolute path → what the link there says
	Volumes []string          // absolute paths that the user may write to

	User       string            // "uid:gid"
	Workdir    string            // absolute
	Entrypoint []string          // found by PATH if it is no path
	Cmd        []string          // arguments that are used where the caller gives none
	Env        map[string]string // by name
	Ports      []int             // TCP ports that it listens on
	Labels     map[string]string // of the image's configuration, and annotations of its manifest
	Created    time.Time         // what is told as the image's date; zero means the epoch, 1970

	// StratumOf places what no entry is of but something refers to; nil puts all into Application.
	StratumOf func(nix.StorePath) Stratum
}

// Entry is one entry of the layout.
type Entry struct {
	At        string        // absolute path in the image
	Path      nix.StorePath // a component's output
	Sub       string        // path inside of it, "" for all
	Component string        // names the layer of what is in Dependencies
	Stratum   Stratum
}

// Options say how an image is made. Store and Layers are required.
type Options struct {
	Store       *store.Store
	Layers      *Layers
	Compression Compression // default Gzip
	Packing     int         // layers at a time; default one per processor
	Events      event.Sink  // nil drops them; each layer that is packed is a node of kind "layer"
}

// Image is an image of which all layers are at hand.
type Image struct {
	v1.Image
	Hash   v1.Hash // digest of its manifest, by which it is known
	Title  string  // NAME:VERSION
	layers []*layer
	events event.Sink
}

// SpecError says that a layout cannot be an image.
type SpecError struct {
	At    string // where in the image
	Cause string
}

func (e *SpecError) Error() string { return fmt.Sprintf("image: %s: %s", e.At, e.Cause) }

// Make makes an image. What it takes out of the store has to be kept from being collected meanwhile.
func Make(ctx context.Context, spec Spec, o Options) (*Image, error) {
	if o.Compression == "" {
		o.Compression = Gzip
	}
	if o.Packing == 0 {
		o.Packing = runtime.NumCPU()
	}
	if o.Events == nil {
		o.Events = event.Discard
	}
	spec.Ports, spec.Entries = slices.Sorted(slices.Values(spec.Ports)), slices.Clone(spec.Entries)
	slices.SortFunc(spec.Entries, func(a, b Entry) int { return strings.Compare(a.At, b.At) }) // any order makes the same image
	plans, err := planLayers(ctx, spec, o.Store)
	if err != nil {
		return nil, err
	}
	layers := make([]*layer, len(plans))
	todo := 0
	for i, p := range plans {
		if layers[i], err = o.Layers.find(p, o.Compression); err != nil {
			return nil, err
		}
		if layers[i] == nil {
			todo++
		}
	}
	o.Events(event.Planned{Total: len(plans), Todo: todo})
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(o.Packing)
	for i, p := range plans {
		if layers[i] != nil {
			continue
		}
		group.Go(func() (err error) {
			layers[i], err = o.Layers.make(ctx, p, o)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return assemble(spec, plans, layers, o.Events)
}

// assemble makes the image out of its layers.
func assemble(spec Spec, plans []layerPlan, layers []*layer, events event.Sink) (*Image, error) {
	core, err := newCore(spec, plans, layers)
	if err != nil {
		return nil, fmt.Errorf("make image: %w", err)
	}
	img, err := partial.CompressedToImage(core)
	if err != nil {
		return nil, fmt.Errorf("make image: %w", err)
	}
	digest, err := img.Digest()
	if err != nil {
		return nil, fmt.Errorf("make image: %w", err)
	}
	return &Image{Image: img, Hash: digest, Title: nameOf(spec.Name) + ":" + TagOf(spec.Version), layers: layers, events: events}, nil
}

// Layers implements v1.Image.
func (i *Image) Layers() ([]v1.Layer, error) {
	list := make([]v1.Layer, len(i.layers))
	for n, l := range i.layers {
		list[n] = l
	}
	return list, nil
}

// LayerByDigest implements v1.Image.
func (i *Image) LayerByDigest(digest v1.Hash) (v1.Layer, error) {
	for _, l := range i.layers {
		if l.record.Digest == digest {
			return l, nil
		}
	}
	return i.Image.LayerByDigest(digest) // the configuration
}

// LayerByDiffID implements v1.Image.
func (i *Image) LayerByDiffID(diffID v1.Hash) (v1.Layer, error) {
	for _, l := range i.layers {
		if l.record.DiffID == diffID {
			return l, nil
		}
	}
	return nil, fmt.Errorf("the image has no layer %s", diffID)
}

// TagOf makes a version a tag: what no tag may have becomes a hyphen, such as the plus of build metadata.
func TagOf(version string) string {
	tag := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '_', r == '.', r == '-':
			return r
		}
		return '-'
	}, version)
	tag = strings.TrimLeft(tag, ".-")
	return tag[:min(len(tag), 128)]
}

// nameOf makes a service's name one that images can have.
func nameOf(service string) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-':
			return r
		}
		return '-'
	}, strings.ToLower(service))
	return strings.Trim(name, "-")
}

// owner is the user as numbers.
func (s *Spec) owner() (uid, gid int, err error) {
	u, g, _ := strings.Cut(s.User, ":")
	if uid, err = strconv.Atoi(u); err == nil {
		gid, err = strconv.Atoi(g)
	}
	if err != nil || uid < 0 || gid < 0 {
		return 0, 0, &SpecError{"user", fmt.Sprintf("%q is not two numbers, \"uid:gid\"", s.User)}
	}
	return uid, gid, nil
}

// below tells whether p is strictly inside the folder dir.
func below(p, dir string) bool {
	return dir == "/" && p != "/" || strings.HasPrefix(p, dir+"/")
}

// parents are the folders that p stands in, outermost first, without "/".
func parents(p string) []string {
	var list []string
	for dir := path.Dir(p); dir != "/" && dir != "."; dir = path.Dir(dir) {
		list = append(list, dir)
	}
	slices.Reverse(list)
	return list
}
