package rootfs

import (
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"

	"headwater/internal/nix"
	"headwater/internal/rootfs/index"
)

// maxContents is the largest Contents, unpacked, in bytes; Debian's largest has 600 MB.
const maxContents = 4 << 30

// Search gives visit the files of the suites' packages, in order of preference, as index.ScanContents does, until done says that
// it is enough; done is asked after each index. An index is big (tens of megabytes packed), so it is never held in memory. A suite
// without such an index has no files of its own. What cannot be read is in the error; the rest is given all the same.
func (r *Resolver) Search(ctx context.Context, suites []string, visit func(path, packages []byte), done func() bool) error {
	var errs []error
	for _, suite := range suites {
		rel, err := r.release(ctx, suite)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, a := range []string{arch, "all"} {
			if err := r.contents(ctx, suite, "Contents-"+a+".gz", rel, visit); err != nil {
				errs = append(errs, fmt.Errorf("suite %s: %w", suite, err))
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if done() {
				return nil
			}
		}
	}
	return errors.Join(errs...)
}

func (r *Resolver) contents(ctx context.Context, suite, name string, rel *index.Release, visit func(path, packages []byte)) error {
	want, ok := rel.Files["main/"+name]
	if !ok {
		return nil
	}
	return r.get(ctx, suite, indexPaths("main/", name, want, rel), want, func(file string) error {
		return scanContents(ctx, file, want, visit)
	})
}

// scanContents reads a packed Contents, once its hash is known to be what InRelease says.
func scanContents(ctx context.Context, file string, want index.File, visit func(path, packages []byte)) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, io.LimitReader(f, want.Size+1)); err != nil {
		return err
	}
	if h, err := nix.NewHash(nix.SHA256, sum.Sum(nil)); err != nil || h != want.Hash {
		return errors.Join(errWrong, err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	text, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	limited := &io.LimitedReader{R: &stoppable{ctx, text}, N: maxContents}
	if err := index.ScanContents(limited, visit); err != nil {
		return err
	}
	if limited.N == 0 {
		return fmt.Errorf("is larger than %d bytes", int64(maxContents))
	}
	return nil
}

// stoppable ends reading when ctx is done.
type stoppable struct {
	ctx context.Context
	r   io.Reader
}

func (s *stoppable) Read(b []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.r.Read(b)
}
