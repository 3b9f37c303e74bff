package cache

import (
	"compress/bzip2"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
	fastxz "github.com/xi2/xz"
)

// Compression is how NARs are compressed in a cache.
type Compression string

// The compressions that can be written. Those and bzip2 and gzip can be read.
const (
	Zstd Compression = "zstd"
	XZ   Compression = "xz"
	None Compression = "none"
)

// Compressions that can only be read.
const (
	bzip2Compression Compression = "bzip2"
	gzipCompression  Compression = "gzip"
)

// ParseCompression accepts what can be written.
func ParseCompression(s string) (Compression, error) {
	switch c := Compression(s); c {
	case Zstd, XZ, None:
		return c, nil
	}
	return "", fmt.Errorf("compression %q: want %s, %s or %s", s, Zstd, XZ, None)
}

// compressionOf accepts what can be read.
func compressionOf(s string) (Compression, error) {
	switch c := Compression(s); c {
	case Zstd, XZ, None, bzip2Compression, gzipCompression:
		return c, nil
	}
	return "", fmt.Errorf("%w: compression %q is not known", errUnreadable, s)
}

// errUnreadable says that a cache has a path in a form that this program does not read.
var errUnreadable = errors.New("cannot be read")

// suffix is what Nix appends to a NAR's name.
func (c Compression) suffix() string {
	switch c {
	case Zstd:
		return ".zst"
	case XZ:
		return ".xz"
	}
	return ""
}

// What decompressing may take, whatever a stream asks for: bytes.
const (
	maxZstdWindow = 128 << 20 // zstd --long
	maxXZDict     = 128 << 20 // xz -9 takes half
)

// decompressor makes readers that decompress, of which zstd's are costly and used again.
type decompressor struct{ idle sync.Pool } // of *zstd.Decoder

// from makes a reader of what r is compressed. It reads r to its end. Close it.
func (x *decompressor) from(c Compression, r io.Reader) (io.ReadCloser, error) {
	switch c {
	case None:
		return io.NopCloser(r), nil
	case Zstd:
		d, ok := x.idle.Get().(*zstd.Decoder)
		if !ok {
			var err error
			if d, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxZstdWindow), zstd.WithDecoderLowmem(true)); err != nil {
				return nil, err
			}
		}
		return &pooledDecoder{d, &x.idle}, d.Reset(r)
	case XZ:
		d, err := fastxz.NewReader(r, maxXZDict)
		if err != nil {
			return nil, err
		}
		return io.NopCloser(d), nil
	case gzipCompression:
		return gzip.NewReader(r)
	case bzip2Compression:
		return io.NopCloser(bzip2.NewReader(r)), nil
	}
	return nil, fmt.Errorf("%w: compression %q", errUnreadable, c)
}

// compressor makes writers that compress, of which zstd's are costly and used again. What they write depends on nothing but what
// is written to them.
type compressor struct {
	compression Compression
	idle        sync.Pool // of *zstd.Encoder
}

// to makes a writer that compresses size bytes to w. Closing it does not close w.
func (c *compressor) to(w io.Writer, size int64) (io.WriteCloser, error) {
	switch c.compression {
	case None:
		return nopCloser{w}, nil
	case XZ:
		return xz.NewWriter(w)
	}
	e, ok := c.idle.Get().(*zstd.Encoder)
	if !ok {
		var err error
		if e, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true)); err != nil {
			return nil, err
		}
	}
	e.ResetContentSize(w, size) // small windows for small NARs: whoever decompresses needs as much memory
	return &pooled{e, &c.idle}, nil
}

// pooledDecoder goes back to where it came from when it is closed.
type pooledDecoder struct {
	*zstd.Decoder
	idle *sync.Pool
}

func (p *pooledDecoder) Close() error {
	err := p.Reset(nil) // lets go of what it read from
	p.idle.Put(p.Decoder)
	return err
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// pooled goes back to where it came from when it is closed.
type pooled struct {
	*zstd.Encoder
	idle *sync.Pool
}

func (p *pooled) Close() error {
	err := p.Encoder.Close()
	if err == nil {
		p.idle.Put(p.Encoder)
	}
	return err
}

// narName is the name of a compressed NAR in the standard layout.
func narName(fileHash string, c Compression) string {
	return strings.Join([]string{"nar/", fileHash, ".nar", c.suffix()}, "")
}
