package sandbox

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// identity is who the builder really is: the host's ids that UID and GID stand for.
type identity struct {
	uid, gid int
	// other says that these are not the caller's own. A caller who is root must not lend builders its id: whoever is user 0
	// may write /proc/sys and /proc/sysrq-trigger, whatever namespaces and capabilities it has.
	other bool
}

// otherID belongs to nobody: it lies above all ranges that systemd and distributions give to users and containers.
const otherID = 0x70000000 + UID

func chooseIdentity() (identity, error) {
	own := identity{uid: os.Geteuid(), gid: os.Getegid()}
	if own.uid != 0 {
		return own, nil
	}
	uid, err := mappedID("/proc/self/uid_map")
	if err != nil {
		return identity{}, err
	}
	gid, err := mappedID("/proc/self/gid_map")
	if err != nil {
		return identity{}, err
	}
	if uid == 0 || gid == 0 {
		// The only ids of a user namespace, whose root is not the host's.
		return own, nil
	}
	return identity{uid: uid, gid: gid, other: true}, nil
}

// mappedID is otherID if it exists in the caller's user namespace, else the highest id that does.
func mappedID(file string) (int, error) {
	f, err := os.Open(file)
	if err != nil {
		return 0, err
	}
	defer f.Close() // only read
	highest := 0
	for s := bufio.NewScanner(f); s.Scan(); {
		var inside, outside, n int
		if _, err := fmt.Sscan(s.Text(), &inside, &outside, &n); err != nil {
			return 0, fmt.Errorf("read %s: %q: %w", file, s.Text(), err)
		}
		if inside <= otherID && otherID < inside+n {
			return otherID, nil
		}
		highest = max(highest, inside+n-1)
	}
	return highest, nil
}

// give hands the folders that the builder writes to, with what is in them, to who it will be.
func (id identity) give(dirs ...string) error {
	if !id.other {
		return nil
	}
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(p string, _ os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return os.Lchown(p, id.uid, id.gid)
		})
		if err != nil {
			return fmt.Errorf("give %s to the builder: %w", dir, err)
		}
	}
	return nil
}

// overlapping paths would let one mount hide another.
func (s *Spec) check() error {
	dirs := []string{s.StoreDir, s.Outputs, s.Build, s.Tmp}
	for i, d := range dirs {
		if !filepath.IsAbs(d) || filepath.Clean(d) != d {
			return fmt.Errorf("folder %q is not an absolute path", d)
		}
		for _, other := range dirs[:i] {
			if strings.HasPrefix(d+"/", other+"/") || strings.HasPrefix(other+"/", d+"/") {
				return fmt.Errorf("folders %s and %s overlap", other, d)
			}
		}
	}
	return nil
}
