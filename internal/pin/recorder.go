package pin

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"sync"

	"headwater/internal/nix"
)

// recorder is a file system that notes what was read of it: the files by their hash, and those looked for and not there by
// a zero hash. So the lock knows which of the upstream's files it depends on.
type recorder struct {
	fsys   fs.FS
	mu     sync.Mutex
	inputs map[string]nix.Hash
}

// Open implements fs.FS. A file is read whole, since what is noted must be what was seen.
func (r *recorder) Open(name string) (fs.File, error) {
	f, err := r.fsys.Open(name)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			r.note(name, nix.Hash{})
		}
		return nil, err
	}
	fi, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if fi.IsDir() {
		return f, nil
	}
	data, err := io.ReadAll(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	r.note(name, nix.Sum(nix.SHA256, data))
	return &recorded{Reader: bytes.NewReader(data), info: fi}, nil
}

func (r *recorder) note(name string, h nix.Hash) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.inputs[name] = h
}

// recorded is a file that was read whole.
type recorded struct {
	*bytes.Reader
	info fs.FileInfo
}

func (f *recorded) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *recorded) Close() error               { return nil }
