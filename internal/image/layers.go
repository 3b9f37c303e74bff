package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sys/unix"

	"headwater/internal/atomicfile"
	"headwater/internal/event"
	"headwater/internal/flock"
	"headwater/internal/nix"
	"headwater/internal/store"
)

// Layers is the folder of packed layers beside a store, by what they are made of. Several processes may use it.
//
//	FOLDER/<key>.json            what a plan came to: a record; <key> is a hash of the plan and of whatever else decides the bytes
//	FOLDER/diff-<diff ID>-<compression>.json    the same by the bytes before compression
//	FOLDER/<digest>              the compressed bytes
//	FOLDER/lock                  held shared while layers are in use, alone while they are collected
//
// A record names bytes that were there before it was written. All of it may be deleted at any time that nobody uses it.
type Layers struct {
	dir   string
	store *store.Store
	lock  *os.File
}

// record is what is known of a packed layer.
type record struct {
	DiffID v1.Hash         `json:"diffID"`
	Digest v1.Hash         `json:"digest"`
	Size   int64           `json:"size"`         // bytes, compressed
	Plain  int64           `json:"plain"`        // bytes of the archive
	Paths  []nix.StorePath `json:"paths"`        // what it is made of; it is collected with them
	At     []string        `json:"at,omitempty"` // repositories that were given it, "HOST/NAME"
}

// OpenLayers opens the folder beside a store.
func OpenLayers(ctx context.Context, s *store.Store) (*Layers, error) { return open(ctx, layersOf(s)) }

// OpenLayersIn opens a folder of the caller's own: in an empty one, all that is asked for is packed anew.
func OpenLayersIn(ctx context.Context, s *store.Store, dir string) (*Layers, error) {
	return open(ctx, &Layers{dir: dir, store: s})
}

func open(ctx context.Context, l *Layers) (*Layers, error) {
	if err := os.MkdirAll(l.dir, 0o755); err != nil {
		return nil, fmt.Errorf("open layers: %w", err)
	}
	var err error
	if l.lock, err = l.openLock(os.O_CREATE); err != nil {
		return nil, fmt.Errorf("open layers: %w", err)
	}
	if err := flock.Lock(ctx, l.lock, unix.LOCK_SH); err != nil {
		return nil, fmt.Errorf("open layers: %w", errors.Join(err, l.lock.Close()))
	}
	return l, nil
}

func layersOf(s *store.Store) *Layers {
	return &Layers{dir: filepath.Join(s.Dir(), "nix/var/headwater/layers"), store: s}
}

// openLock opens the folder's lock, with a flag more.
func (l *Layers) openLock(flag int) (*os.File, error) {
	return os.OpenFile(filepath.Join(l.dir, "lock"), os.O_RDWR|flag, 0o644)
}

// Close lets the layers be collected.
func (l *Layers) Close() error { return l.lock.Close() }

// Collect deletes layers that are made of what is not in the store any more, and what broken off runs left. While another process makes or
// pushes an image it deletes nothing. It returns how many bytes became free.
func Collect(ctx context.Context, s *store.Store) (freed int64, err error) {
	l := layersOf(s)
	f, err := l.openLock(0)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("collect layers: %w", err)
	}
	defer f.Close() // also unlocks
	if held, err := flock.Try(f); err != nil {
		return 0, fmt.Errorf("collect layers: %w", err)
	} else if !held {
		return 0, nil
	}
	if freed, err = l.sweep(ctx); err != nil {
		err = fmt.Errorf("collect layers: %w", err)
	}
	return freed, err
}

// sweep deletes records of what is gone, and then what no record names.
func (l *Layers) sweep(ctx context.Context) (freed int64, err error) {
	entries, err := os.ReadDir(l.dir)
	if err != nil {
		return 0, err
	}
	keep := map[string]bool{"lock": true}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".json") || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		r, err := l.read(e.Name())
		if err != nil {
			return 0, err
		}
		if r == nil {
			continue
		}
		valid, err := l.store.Valid(ctx, r.Paths...)
		if err != nil {
			return 0, err
		}
		if len(valid) == len(r.Paths) {
			keep[e.Name()], keep[r.Digest.Hex] = true, true
		}
	}
	for _, e := range entries {
		if keep[e.Name()] {
			continue
		}
		fi, err := e.Info()
		if err == nil {
			err = os.Remove(filepath.Join(l.dir, e.Name()))
		}
		if err != nil {
			return freed, err
		}
		freed += fi.Size()
	}
	return freed, nil
}

// read reads a record. It is nil if there is none that this program understands, or if the bytes it names are gone.
func (l *Layers) read(name string) (*record, error) {
	data, err := os.ReadFile(filepath.Join(l.dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read layer: %w", err)
	}
	r := new(record)
	if json.Unmarshal(data, r) != nil || len(r.Digest.Hex) != sha256.Size*2 || filepath.Base(r.Digest.Hex) != r.Digest.Hex {
		return nil, nil
	}
	fi, err := os.Stat(l.blob(r.Digest))
	if errors.Is(err, fs.ErrNotExist) || err == nil && fi.Size() != r.Size {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read layer: %w", err)
	}
	return r, nil
}

func (l *Layers) write(name string, r *record) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := atomicfile.Write(filepath.Join(l.dir, name), data, 0o644); err != nil {
		return fmt.Errorf("write layer: %w", err)
	}
	return nil
}

// File is where a layer's compressed bytes are, or would be.
func (l *Layers) File(digest v1.Hash) string { return l.blob(digest) }

func (l *Layers) blob(digest v1.Hash) string { return filepath.Join(l.dir, digest.Hex) }

// packing is the version of how plans become bytes: it changes with pack.
const packing = 1

// maker is what decides a layer's bytes besides its plan: the archive's and the compression's code.
func maker() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	text := info.GoVersion
	for _, d := range info.Deps {
		if strings.HasSuffix(d.Path, "/compress") {
			text += " " + d.Path + " " + d.Version
		}
	}
	return text
}

func (p *layerPlan) key(c Compression) (string, error) {
	text, err := json.Marshal([]any{packing, maker(), c, p})
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]) + ".json", err
}

func diffKey(diffID v1.Hash, c Compression) string {
	text := sha256.Sum256([]byte(maker()))
	return fmt.Sprintf("diff-%s-%s-%x.json", diffID.Hex, c, text[:8])
}

// find is a layer that was packed before, nil if none was.
func (l *Layers) find(p layerPlan, c Compression) (*layer, error) {
	key, err := p.key(c)
	if err != nil {
		return nil, err
	}
	r, err := l.read(key)
	if r == nil || err != nil {
		return nil, err
	}
	return l.layer(p, c, key, r), nil
}

func (l *Layers) layer(p layerPlan, c Compression, key string, r *record) *layer {
	return &layer{record: r, title: p.title, compression: c, layers: l, key: key}
}

// make packs and compresses a layer.
func (l *Layers) make(ctx context.Context, p layerPlan, o Options) (made *layer, err error) {
	node := event.Node{ID: "layer " + p.title, Kind: "layer", Name: p.title}
	o.Events(event.Started{Node: node})
	began := time.Now()
	defer func() { o.Events(event.Finished{Node: node, Duration: time.Since(began), Err: err}) }()
	c := o.Compression
	key, err := p.key(c)
	if err != nil {
		return nil, err
	}
	var r *record
	if p.shared { // of other store paths, and yet the same bytes, it may be there
		plain := sha256.New()
		if err := p.pack(ctx, plain, l.store.RealPath); err != nil {
			return nil, err
		}
		if r, err = l.read(diffKey(hashOf(plain), c)); err != nil {
			return nil, err
		}
	}
	if r == nil {
		if r, err = l.compress(ctx, p, c, node, o.Events); err != nil {
			return nil, err
		}
	}
	r.Paths = p.paths()
	if err := l.write(diffKey(r.DiffID, c), r); err != nil {
		return nil, err
	}
	return l.layer(p, c, key, r), l.write(key, r)
}

// compress brings a layer's bytes into the folder.
func (l *Layers) compress(ctx context.Context, p layerPlan, c Compression, node event.Node, events event.Sink) (r *record, err error) {
	f, err := os.CreateTemp(l.dir, ".layer-*")
	if err != nil {
		return nil, fmt.Errorf("pack layer: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	packed := &counter{w: f, hash: sha256.New()}
	z, err := c.compressTo(packed)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	plain := &counter{w: z, hash: sha256.New(), tell: func(n int64) { events(event.Progress{Node: node, Done: n}) }}
	err = p.pack(ctx, plain, l.store.RealPath)
	if err := errors.Join(err, z.Close(), f.Chmod(0o644), f.Close()); err != nil {
		return nil, fmt.Errorf("pack layer %s: %w", p.title, err)
	}
	r = &record{DiffID: hashOf(plain.hash), Digest: hashOf(packed.hash), Size: packed.n, Plain: plain.n}
	return r, os.Rename(f.Name(), l.blob(r.Digest))
}

func hashOf(h hash.Hash) v1.Hash {
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(h.Sum(nil))}
}

// counter hashes and counts what goes to w.
type counter struct {
	w    io.Writer
	hash hash.Hash
	n    int64
	tell func(n int64) // now and then; may be nil
	told int64
}

// tellEach is how many bytes go by between two words of progress.
const tellEach = 4 << 20

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.hash.Write(b[:n])
	c.n += int64(n)
	if c.tell != nil && c.n-c.told >= tellEach {
		c.told = c.n
		c.tell(c.n)
	}
	return n, err
}

// layer is a packed layer, as go-containerregistry takes it.
type layer struct {
	*record
	title       string
	compression Compression
	layers      *Layers
	key         string
}

// Digest implements v1.Layer.
func (x *layer) Digest() (v1.Hash, error) { return x.record.Digest, nil }

// DiffID implements v1.Layer.
func (x *layer) DiffID() (v1.Hash, error) { return x.record.DiffID, nil }

// Size implements v1.Layer.
func (x *layer) Size() (int64, error) { return x.record.Size, nil }

// MediaType implements v1.Layer.
func (x *layer) MediaType() (types.MediaType, error) { return x.compression.mediaType(), nil }

// Compressed implements v1.Layer.
func (x *layer) Compressed() (io.ReadCloser, error) {
	name := x.layers.blob(x.record.Digest)
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &DamagedError{x.title, name}
	}
	if err != nil {
		return nil, fmt.Errorf("read layer %s: %w", x.title, err)
	}
	return &checked{File: f, hash: sha256.New(), layer: x}, nil
}

// Uncompressed implements v1.Layer.
func (x *layer) Uncompressed() (io.ReadCloser, error) {
	packed, err := x.Compressed()
	if err != nil {
		return nil, err
	}
	plain, err := x.compression.decompress(packed)
	if err != nil {
		return nil, errors.Join(err, packed.Close())
	}
	return &both{plain, packed}, nil
}

// both closes what decompresses and what is decompressed.
type both struct {
	io.ReadCloser
	packed io.Closer
}

func (b *both) Close() error { return errors.Join(b.ReadCloser.Close(), b.packed.Close()) }

// DamagedError says that a layer's bytes are not those that were written, or gone. The next run makes them again.
type DamagedError struct{ Layer, File string }

func (e *DamagedError) Error() string {
	return fmt.Sprintf("layer %s: %s is not what was written, or gone", e.Layer, e.File)
}

// Hint says what to do.
func (e *DamagedError) Hint() string {
	return "run it again, which packs the layer anew; a disk may be failing"
}

// checked compares what it reads with the layer's digest.
type checked struct {
	*os.File
	hash  hash.Hash
	n     int64
	layer *layer
}

func (c *checked) Read(b []byte) (int, error) {
	n, err := c.File.Read(b)
	c.hash.Write(b[:n])
	c.n += int64(n)
	// The last bytes are held back where they are wrong: whoever counts bytes never asks for the end.
	if (n > 0 && c.n >= c.layer.record.Size || err == io.EOF) && (c.n != c.layer.record.Size || hashOf(c.hash) != c.layer.record.Digest) {
		return 0, errors.Join(&DamagedError{c.layer.title, c.Name()}, os.Remove(c.Name()))
	}
	return n, err
}

// WriteTo keeps the file's own from being used, which would not compare.
func (c *checked) WriteTo(w io.Writer) (int64, error) {
	return io.Copy(w, struct{ io.Reader }{c})
}

// note remembers that a repository has the layer.
func (x *layer) note(repository string) error {
	if slices.Contains(x.record.At, repository) {
		return nil
	}
	x.record.At = append(x.record.At, repository)
	slices.Sort(x.record.At)
	return x.layers.write(x.key, x.record)
}
