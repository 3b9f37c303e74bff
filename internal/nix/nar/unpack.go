package nar

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
)

// Unpack reads one archive from r, to r's end, and makes it the tree at dst, which must not exist while its parent does.
// The tree has the metadata of a store object: files are 0444 or 0555, folders 0555, and all were modified at second 1,
// links too. What was read goes also to the other writers, each in a goroutine of its own, so that a hash is computed
// meanwhile.
//
// If anything fails, nothing is left at dst; what was there before stays. Unpack ends after r's current Read has ended,
// also when ctx is done.
func Unpack(ctx context.Context, r io.Reader, dst string, also ...io.Writer) error {
	f := newFan(1 + len(also))
	defer f.watch(ctx)()
	u := &unpacker{fan: f, dst: dst, work: make(chan *batch, batchCount), free: make(chan *batch, batchCount)}
	for range batchCount {
		u.free <- nil
	}
	f.wg.Go(func() { f.fill(r) })
	for i, w := range also {
		f.wg.Go(func() { f.drain(1+i, w) })
	}
	for range creators {
		f.wg.Go(u.create)
	}
	if err := u.run(NewReader(&fanReader{fan: f})); err != nil {
		f.fail(err)
	}
	close(u.work)
	f.wg.Wait()
	err := f.result()
	if err == nil {
		err = u.seal()
	}
	if err != nil {
		err = fmt.Errorf("unpack NAR to %s: %w", dst, err)
		if u.made {
			err = errors.Join(err, u.remove())
		}
	}
	return err
}

// remove takes away what was made.
func (u *unpacker) remove() error {
	for _, path := range u.folders {
		if err := os.Chmod(path, 0o700); err != nil && !errors.Is(err, fs.ErrNotExist) { // some may be sealed
			return err
		}
	}
	return os.RemoveAll(u.dst)
}

const (
	creators   = 2 // goroutines that create small files
	batchSize  = 256 << 10
	batchCount = 8
)

// unpacker makes a tree: folders, links and big files in the order of the archive, small files in batches by creators.
type unpacker struct {
	*fan
	dst     string
	made    bool     // dst is ours
	folders []string // made so far, parents first
	work    chan *batch
	free    chan *batch
	cur     *batch
}

// batch is some small files and what they hold.
type batch struct {
	buf   []byte
	files []newFile
}

type newFile struct {
	path       string
	executable bool
	off, size  int
}

func (u *unpacker) run(r *Reader) error {
	for {
		e, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		path := u.dst
		if e.Path != "" {
			path += "/" + e.Path
		}
		if len(path) > maxPath {
			return fmt.Errorf("path of %.60q… would be longer than %d bytes", e.Path, maxPath)
		}
		if err := u.entry(e, path, r); err != nil {
			return err
		}
		u.made = true
	}
	u.submit()
	if _, err := r.r.Peek(1); err != io.EOF {
		if err == nil {
			err = malformed("bytes follow its end at %d", r.at)
		}
		return err
	}
	return nil
}

func (u *unpacker) entry(e Entry, path string, r *Reader) error {
	switch {
	case e.Type == Folder:
		u.folders = append(u.folders, path)
		return os.Mkdir(path, 0o700) // its own mode comes last: until then it must be writable
	case e.Type == Link:
		if err := os.Symlink(e.Target, path); err != nil {
			return err
		}
		u.made = true
		return touch(path)
	case e.Size > batchSize/2 || e.Path == "":
		f, err := createFile(path)
		if err != nil {
			return err
		}
		u.made = true
		if _, err := io.CopyBuffer(f, r, make([]byte, min(e.Size, chunkSize)+1)); err != nil {
			return errors.Join(err, f.Close())
		}
		return f.finish(e.Executable)
	}
	return u.small(e, path, r)
}

// small adds a file to the current batch.
func (u *unpacker) small(e Entry, path string, r *Reader) error {
	size := int(e.Size)
	if u.cur != nil && len(u.cur.buf)+size > batchSize {
		u.submit()
	}
	if u.cur == nil {
		select {
		case <-u.stop:
			return u.err
		case u.cur = <-u.free:
		}
		if u.cur == nil {
			u.cur = &batch{} // its buffer grows as needed
		}
	}
	b := u.cur
	off := len(b.buf)
	b.buf = slices.Grow(b.buf, size)[:off+size]
	if _, err := io.ReadFull(r, b.buf[off:]); err != nil {
		return err
	}
	b.files = append(b.files, newFile{path, e.Executable, off, size})
	return nil
}

func (u *unpacker) submit() {
	if u.cur != nil {
		u.work <- u.cur // has room for all
		u.cur = nil
	}
}

// create makes the files of batches as they come, until none comes any more.
func (u *unpacker) create() {
	for b := range u.work {
		for _, n := range b.files {
			if u.result() != nil {
				break
			}
			if err := n.create(b.buf); err != nil {
				u.fail(err)
				break
			}
		}
		b.buf, b.files = b.buf[:0], b.files[:0]
		u.free <- b
	}
}

func (n newFile) create(buf []byte) error {
	f, err := createFile(n.path)
	if err != nil {
		return err
	}
	if _, err := f.Write(buf[n.off : n.off+n.size]); err != nil {
		return errors.Join(err, f.Close())
	}
	return f.finish(n.executable)
}

// seal gives the folders their mode and time, from the innermost out.
func (u *unpacker) seal() error {
	for i := len(u.folders) - 1; i >= 0; i-- {
		if err := os.Chmod(u.folders[i], 0o555); err != nil {
			return err
		}
		if err := touch(u.folders[i]); err != nil {
			return err
		}
	}
	return nil
}
