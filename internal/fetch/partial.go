package fetch

import (
	"compress/gzip"
	"fmt"
	"hash"
	"io"
	"os"
	"path"
	"slices"
	"time"

	"headwater/internal/artifact"
	"headwater/internal/nix"
)

// partial is a file being downloaded, "<dst>.part", made by open, with the hash of what it has so far.
type partial struct {
	dst      string
	file     *os.File
	want     artifact.Artifact
	max      int64
	progress func(done, total int64)

	hash      hash.Hash
	size      int64  // bytes written and hashed
	validator string // entity tag or date that must still hold for more bytes to fit what is there; "" if none
	from      string // the address that the bytes are from
	encoding  string // how the bytes are encoded: "" or "gzip"
	total     int64  // what the server says the whole is; 0 if it does not say
	resumed   bool   // the bytes came in more than one piece
	whole     bool   // the end of the last piece was marked, not just a closed connection
	told      time.Time
}

func newPartial(dst string, a artifact.Artifact, max int64, progress func(done, total int64)) (*partial, error) {
	if progress == nil {
		progress = func(int64, int64) {}
	}
	p := &partial{dst: dst, want: a, max: max, progress: progress}
	p.hash = p.algo().New()
	if p.hash == nil {
		return nil, fmt.Errorf("unknown hash algorithm %q", p.algo())
	}
	return p, nil
}

// open makes the file, if there is none yet. That is left until there is something to write, because many more downloads may
// wait for their turn than files can be open.
func (p *partial) open() error {
	if p.file != nil {
		return nil
	}
	f, err := os.OpenFile(p.dst+".part", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return &localError{err}
	}
	p.file = f
	return nil
}

func (p *partial) algo() nix.Algo {
	if p.want.Hash.IsZero() {
		return nix.SHA256
	}
	return p.want.Hash.Algo()
}

// limit is how many bytes may be written: one more than right is enough to know.
func (p *partial) limit() int64 {
	if p.want.Size == 0 {
		return p.max
	}
	if p.encoding != "" {
		return p.want.Size + p.want.Size/8 + 1<<16 // what cannot be compressed grows a little
	}
	return p.want.Size
}

// Write appends and hashes.
func (p *partial) Write(b []byte) (int, error) {
	if p.size+int64(len(b)) > p.limit() {
		if p.want.Size != 0 {
			return 0, &WrongContentError{WantHash: p.want.Hash, WantSize: p.want.Size, GotSize: p.size + int64(len(b))}
		}
		return 0, &refusedError{fmt.Sprintf("is larger than %d bytes", p.limit())}
	}
	n, err := p.file.Write(b)
	p.hash.Write(b[:n])
	p.size += int64(n)
	if err != nil {
		return n, &localError{err}
	}
	if now := time.Now(); now.Sub(p.told) > 50*time.Millisecond {
		p.told = now
		p.progress(p.size, p.expected())
	}
	return n, nil
}

func (p *partial) expected() int64 {
	if p.want.Size != 0 {
		return p.want.Size
	}
	return p.total
}

// reset empties the file.
func (p *partial) reset() error {
	if p.size == 0 && !p.resumed {
		p.total, p.validator, p.encoding = 0, "", ""
		return nil
	}
	p.hash.Reset()
	p.size, p.total, p.validator, p.encoding, p.resumed = 0, 0, "", "", false
	if err := p.file.Truncate(0); err != nil {
		return &localError{err}
	}
	if _, err := p.file.Seek(0, io.SeekStart); err != nil {
		return &localError{err}
	}
	return nil
}

func (p *partial) sum() nix.Hash {
	h, err := nix.NewHash(p.algo(), p.hash.Sum(nil))
	if err != nil {
		return nix.Hash{} // cannot be: the digest is the algorithm's own
	}
	return h
}

// check compares what is there with what is wanted. Bytes that are missing give a laterError.
func (p *partial) check() error {
	if p.encoding != "" && (p.want.Hash.IsZero() || p.sum() != p.want.Hash) {
		if err := p.decode(); err != nil {
			return err
		}
	}
	switch {
	case p.want.Size != 0 && p.size < p.want.Size:
		return &laterError{err: fmt.Errorf("cut short after %d of %d bytes", p.size, p.want.Size)}
	case p.want.Size != 0 && p.size > p.want.Size:
		return &WrongContentError{WantHash: p.want.Hash, WantSize: p.want.Size, GotSize: p.size}
	case !p.want.Hash.IsZero() && p.sum() != p.want.Hash:
		return &WrongContentError{WantHash: p.want.Hash, GotHash: p.sum(), WantSize: p.want.Size, GotSize: p.size}
	case p.want.Hash.IsZero() && p.want.Size == 0 && !p.whole:
		return &refusedError{"the server does not mark the end of the file, so it cannot be known to be whole"}
	}
	return nil
}

// decode undoes a content encoding that was not asked for. If the file's own compression was declared as one (a common
// mistake of servers), it is left as it is: a .tar.gz is to stay one.
func (p *partial) decode() error {
	if _, err := p.file.Seek(0, io.SeekStart); err != nil {
		return &localError{err}
	}
	z, err := gzip.NewReader(p.file)
	if err != nil {
		return fmt.Errorf("undo content encoding gzip: %w", err)
	}
	out, err := newPartial(p.dst+".decoded", p.want, p.max, nil)
	if err != nil {
		return err
	}
	defer out.remove()
	if err := out.open(); err != nil {
		return err
	}
	if _, err := io.Copy(out, z); err != nil {
		return fmt.Errorf("undo content encoding gzip: %w", err)
	}
	if p.want.Hash.IsZero() && slices.Contains([]string{".gz", ".tgz"}, path.Ext(p.want.File)) && !out.startsGzip() {
		return nil
	}
	p.file, out.file = out.file, p.file
	old := p.dst + ".part"
	if err := os.Rename(out.dst+".part", old); err != nil {
		return &localError{err}
	}
	p.hash, p.size, p.encoding = out.hash, out.size, ""
	return nil
}

func (p *partial) startsGzip() bool {
	magic := make([]byte, 2)
	_, err := p.file.ReadAt(magic, 0)
	return err == nil && magic[0] == 0x1f && magic[1] == 0x8b
}

// finish puts the file into its place.
func (p *partial) finish() error {
	if err := p.file.Close(); err != nil {
		return err
	}
	if err := os.Rename(p.dst+".part", p.dst); err != nil {
		return err
	}
	p.progress(p.size, p.size)
	return nil
}

// remove takes the partial file away; after finish there is none. Errors do not matter: the folder is the caller's to clear.
func (p *partial) remove() {
	if p.file == nil {
		return
	}
	p.file.Close()
	os.Remove(p.dst + ".part")
}
