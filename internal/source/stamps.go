package source

import (
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"headwater/internal/nix"
)

// settled is how old a file's last change must be for its stamps to tell of the next one. File systems count time in steps, most
// of them of milliseconds, some of two seconds.
const settled = 2 * time.Second

// ErrUnsettled says that the stamps do not tell whether the tree changes.
var ErrUnsettled = errors.New("the tree changed just now, or is not readable")

// Stamps hashes the names of all files with what the file system tells of them: kind and permissions, size, inode, and when content
// and inode last changed, which no program can set. Two trees with the same stamps are the same files. The error is
// ErrUnsettled if a file changed so shortly before now that another change may leave the same stamps.
func (t *Tree) Stamps(now time.Time) (nix.Hash, error) {
	h := nix.NewSummer()
	var stamp []byte
	for _, l := range t.listed {
		if l.err != nil {
			return nix.Hash{}, ErrUnsettled
		}
		var st unix.Stat_t
		if err := unix.Lstat(filepath.Join(t.dir, filepath.FromSlash(l.path)), &st); err != nil {
			return nix.Hash{}, fmt.Errorf("%w: %s: %w", ErrUnsettled, l.path, err)
		}
		if changed := time.Unix(st.Ctim.Unix()); now.Sub(changed) < settled {
			return nix.Hash{}, ErrUnsettled
		}
		stamp = append(stamp[:0], l.path...)
		stamp = append(stamp, 0)
		for _, n := range []uint64{uint64(st.Mode), uint64(st.Size), uint64(st.Dev), st.Ino, uint64(st.Mtim.Nano()), uint64(st.Ctim.Nano())} {
			stamp = binary.LittleEndian.AppendUint64(stamp, n)
		}
		if _, err := h.Write(stamp); err != nil {
			return nix.Hash{}, err
		}
	}
	hash, _ := h.Sum()
	return hash, nil
}
