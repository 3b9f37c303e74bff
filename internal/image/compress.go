package image

import (
	"fmt"
	"io"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Compression is how layers are compressed.
type Compression string

// The compressions. Every runtime reads gzip; zstd is smaller and quicker, and read by those of the last years.
const (
	Gzip Compression = "gzip"
	Zstd Compression = "zstd"
)

// ParseCompression accepts the name of a compression.
func ParseCompression(s string) (Compression, error) {
	switch c := Compression(s); c {
	case Gzip, Zstd:
		return c, nil
	}
	return "", fmt.Errorf("compression %q: want %s or %s", s, Gzip, Zstd)
}

func (c Compression) mediaType() types.MediaType {
	if c == Zstd {
		return types.OCILayerZStd
	}
	return types.OCILayer
}

// gzipLevel is the level that every layer has: it is part of the bytes.
const gzipLevel = 6

// compressTo makes a writer that compresses to w; closing it does not close w. What it writes depends on nothing but what is written
// to it: one goroutine compresses, no time or name is kept.
func (c Compression) compressTo(w io.Writer) (io.WriteCloser, error) {
	if c == Zstd {
		return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedDefault))
	}
	return gzip.NewWriterLevel(w, gzipLevel)
}

// decompress makes a reader of what r is compressed.
func (c Compression) decompress(r io.Reader) (io.ReadCloser, error) {
	if c == Zstd {
		d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		return d.IOReadCloser(), nil
	}
	return gzip.NewReader(r)
}
