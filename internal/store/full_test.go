package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"headwater/internal/nix"
	"headwater/internal/nix/nar"
	"headwater/internal/store"
)

// A full disk ends an operation with an error that says so. Nothing half-made is valid or left, and collecting, which needs
// a little room itself, makes room again. Each size leaves another step without room.
func TestFullDisk(t *testing.T) {
	for _, op := range []string{"import", "texts", "install"} {
		for _, kib := range []int{8500, 9000, 9100, 9200, 9400, 9700} {
			t.Run(fmt.Sprintf("%s/%dK", op, kib), func(t *testing.T) { runFull(t, op, kib) })
		}
	}
	t.Run("open/40K", func(t *testing.T) { runFull(t, "open", 40) })
}

func runFull(t *testing.T, op string, kib int) {
	c := startChild(t, &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}, "fill", t.TempDir(), strconv.Itoa(kib), op)
	for c.lines.Scan() {
		t.Log(c.lines.Text())
	}
	if err := c.cmd.Wait(); err != nil {
		t.Errorf("%v: %s", err, c.errs)
	}
}

// fill mounts a small file system and fills it by adding to a store.
func fill(dir, kib, op string) error {
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+kib+"k"); err != nil {
		return fmt.Errorf("mount tmpfs: %w", err)
	}
	ctx := context.Background()
	s, err := store.Open(ctx, filepath.Join(dir, "store"), store.Options{Now: clock})
	if op == "open" {
		return wantFull("open", err)
	}
	if err != nil {
		return err
	}
	add := map[string]func(context.Context, *store.Store, int) error{"import": importRandom, "texts": addRandom, "install": installRandom}[op]
	for range 3 {
		if err := fillBy(ctx, s, op, add); err != nil {
			return err
		}
		if s, err = emptyAgain(ctx, s); err != nil {
			return err
		}
	}
	return s.Close()
}

func wantFull(op string, err error) error {
	if !errors.Is(err, unix.ENOSPC) {
		return fmt.Errorf("%s: got %w, want no space", op, err)
	}
	fmt.Println(op, "says:", err)
	return nil
}

func fillBy(ctx context.Context, s *store.Store, name string, add func(context.Context, *store.Store, int) error) error {
	for i := 0; ; i++ {
		if i > 100_000 {
			return errors.New("the disk does not fill")
		}
		if err := add(ctx, s, i); err != nil {
			if err := wantFull(fmt.Sprint(name, " ", i), err); err != nil {
				return err
			}
			break
		}
	}
	return nothingHalf(ctx, s)
}

func nothingHalf(ctx context.Context, s *store.Store) error {
	r, err := s.Verify(ctx, store.VerifyOptions{Contents: true})
	if err != nil {
		return err
	}
	if len(r.Problems) > 0 {
		return fmt.Errorf("problems: %v", r.Problems)
	}
	for _, name := range r.Leftovers {
		if !strings.HasSuffix(name, ".lock") {
			return fmt.Errorf("left: %v", r.Leftovers)
		}
	}
	left, err := filepath.Glob(filepath.Join(s.Dir(), "nix/var/headwater/tmp/*/*"))
	if err != nil || len(left) > 0 {
		return fmt.Errorf("left: %v, %w", left, err)
	}
	return nil
}

// emptyAgain reopens the full store and collects it.
func emptyAgain(ctx context.Context, s *store.Store) (*store.Store, error) {
	if err := s.Close(); err != nil {
		return nil, fmt.Errorf("close: %w", err)
	}
	s, err := store.Open(ctx, s.Dir(), store.Options{Now: clock})
	if err != nil {
		return nil, err
	}
	r, err := s.GC(ctx, store.GCOptions{})
	if err != nil {
		return nil, err
	}
	fmt.Println("freed", r.Freed, "bytes of", len(r.Dead), "paths")
	if r.Live > 0 {
		return nil, fmt.Errorf("%d paths live", r.Live)
	}
	return s, installRandom(ctx, s, -1)
}

func randomBytes(i int) []byte {
	b := make([]byte, 10_000)
	r := rand.New(rand.NewPCG(uint64(i), 7))
	for k := range b {
		b[k] = byte(r.Uint32())
	}
	return b
}

func addRandom(ctx context.Context, s *store.Store, i int) error {
	_, err := s.AddTexts(ctx, []store.Text{{Name: "one", Content: string(randomBytes(i))}, {Name: "two", Content: fmt.Sprint(i)}})
	return err
}

func importRandom(ctx context.Context, s *store.Store, i int) error {
	var buf bytes.Buffer
	f, err := os.CreateTemp("", "fill")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(randomBytes(i))
	if err := errors.Join(err, f.Close(), os.Chmod(f.Name(), 0o444), nar.Dump(&buf, f.Name())); err != nil {
		return err
	}
	p, err := nix.OutputPath(nix.Sum(nix.SHA256, fmt.Append(nil, i)), "out", "imported")
	if err != nil {
		return err
	}
	return s.ImportNAR(ctx, &buf, store.PathInfo{Path: p, NARHash: nix.Sum(nix.SHA256, buf.Bytes()), NARSize: int64(buf.Len())})
}

func installRandom(ctx context.Context, s *store.Store, i int) (err error) {
	tmp, remove, err := s.TempDir(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	from := filepath.Join(tmp, "x")
	if err := errors.Join(os.Mkdir(from, 0o755), os.WriteFile(filepath.Join(from, "f"), randomBytes(i), 0o644)); err != nil {
		return err
	}
	p, err := nix.OutputPath(nix.Sum(nix.SHA256, fmt.Append(nil, i)), "out", "installed")
	if err != nil {
		return err
	}
	e, err := store.Examine(ctx, from, nil)
	if err != nil {
		return err
	}
	return s.Install(ctx, []store.Install{{From: from, Info: store.PathInfo{Path: p, NARHash: e.NARHash, NARSize: e.NARSize}}})
}
