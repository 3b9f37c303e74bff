package cache

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"

	"headwater/internal/nix"
	"headwater/internal/nix/narinfo"
	"headwater/internal/store"
)

// receive unpacks a path's NAR beside the store and makes sure that it is what info says. moved hears of bytes as they come.
func (c *Cache) receive(ctx context.Context, s *store.Store, info *narinfo.Info, moved func(int64)) (item store.Install, remove func() error, err error) {
	compression, err := compressionOf(info.Compression)
	if err != nil {
		return item, nil, c.fail(info.Path, err)
	}
	err = c.retry(ctx, func() (err error) {
		body, size, err := c.backend.open(ctx, info.URL)
		if err != nil {
			return err
		}
		defer body.Close()
		if size >= 0 && info.FileSize > 0 && size != info.FileSize {
			return fmt.Errorf("%w: %s has %d bytes, its narinfo says %d", ErrFalse, info.URL, size, info.FileSize)
		}
		archive := &archive{info: info, compression: compression, from: &c.decompressor, in: input{r: body, left: mostBytes(info), moved: moved}}
		if a := info.FileHash.Algo(); a != "" {
			archive.in.sum = a.New()
		}
		defer archive.Close() // nothing was written
		item, remove, err = s.ReceiveNAR(ctx, archive, store.PathInfo{
			Path: info.Path, NARHash: info.NARHash, NARSize: info.NARSize, Refs: info.Refs, Deriver: info.Deriver, CA: info.CA, Sigs: info.Sigs,
		})
		if errors.Is(err, store.ErrMismatch) {
			err = fmt.Errorf("%w: %w", ErrFalse, err)
		}
		return err
	})
	if err != nil && byCache(err) {
		err = c.fail(info.Path, err)
	}
	return item, remove, err
}

// byCache tells what is the cache's fault, and not this machine's.
func byCache(err error) bool {
	return errors.Is(err, ErrFalse) || errors.Is(err, ErrAbsent) || errors.Is(err, errUnreadable) || errors.As(err, new(*refusedError)) || ofCache(err)
}

// mostBytes bounds a compressed NAR: no compression makes anything much longer.
func mostBytes(info *narinfo.Info) int64 {
	if info.FileSize > 0 {
		return info.FileSize
	}
	return info.NARSize + info.NARSize/8 + 64<<10
}

// archive reads a NAR out of a compressed file. It ends with io.EOF only if the file was the one that was promised.
type archive struct {
	info        *narinfo.Info
	compression Compression
	from        *decompressor
	in          input
	d           io.ReadCloser // nil before the first Read
}

func (a *archive) Read(b []byte) (int, error) {
	if a.d == nil {
		d, err := a.from.from(a.compression, &a.in)
		if err != nil {
			return 0, a.explain(err)
		}
		a.d = d
	}
	n, err := a.d.Read(b)
	switch {
	case err == io.EOF:
		err = a.finish()
	case err != nil:
		err = a.explain(err)
	}
	return n, err
}

// explain prefers what went wrong when the file was read to what that did to decompressing it.
func (a *archive) explain(err error) error {
	switch {
	case a.in.fault != nil:
		return a.in.fault
	case errors.Is(err, io.ErrUnexpectedEOF) || err == io.EOF: // the latter from one that reads a head
		return fmt.Errorf("%w: %s ends too soon", ErrFalse, a.info.URL)
	}
	return fmt.Errorf("%w: decompress %s: %w", ErrFalse, a.info.URL, err)
}

func (a *archive) finish() error {
	if _, err := io.Copy(io.Discard, &a.in); err != nil {
		return err
	}
	if a.info.FileSize > 0 && a.in.n != a.info.FileSize {
		return fmt.Errorf("%w: %s has %d bytes, its narinfo says %d", ErrFalse, a.info.URL, a.in.n, a.info.FileSize)
	}
	if a.in.sum != nil {
		got, err := nix.NewHash(a.info.FileHash.Algo(), a.in.sum.Sum(nil))
		if err != nil {
			return err
		}
		if got != a.info.FileHash {
			return fmt.Errorf("%w: %s has the hash %s, its narinfo says %s", ErrFalse, a.info.URL, got, a.info.FileHash)
		}
	}
	return io.EOF
}

// Close lets go of what decompressing takes.
func (a *archive) Close() error {
	if a.d == nil {
		return nil
	}
	return a.d.Close()
}

// input is the compressed file as it comes: counted, hashed, bounded.
type input struct {
	r     io.Reader
	left  int64 // bytes that may come
	n     int64
	sum   hash.Hash // nil: nothing to compare with
	moved func(int64)
	fault error
}

func (in *input) Read(b []byte) (int, error) {
	if in.fault != nil {
		return 0, in.fault
	}
	n, err := in.r.Read(b[:min(int64(len(b)), in.left+1)]) // one more, to know that there is more
	in.n += int64(n)
	if in.left -= int64(n); in.left < 0 {
		in.left = 0
		in.fault = fmt.Errorf("%w: the file is longer than it may be, %d bytes", ErrFalse, in.n-1)
		return 0, in.fault
	}
	if in.sum != nil {
		in.sum.Write(b[:n])
	}
	if in.moved != nil {
		in.moved(int64(n))
	}
	if err != nil && err != io.EOF {
		in.fault = err
	}
	return n, err
}
