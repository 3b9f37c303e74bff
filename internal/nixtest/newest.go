package nixtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"headwater/internal/atomicfile"
	"headwater/internal/lock"
	"headwater/internal/recipe"
	"headwater/internal/rootfs"
	"headwater/internal/rootfs/index"
	"headwater/internal/roottest"
	"headwater/internal/store"
)

// newestFor is how long the testing suite's Nix that was found is taken for the newest.
const newestFor = 24 * time.Hour

// found is what a file beside the store says of the newest Nix, so that not every test has to ask for it.
type found struct {
	At   time.Time `json:"at"`
	Root lock.Root `json:"root"`
}

// newest is where the root with the newest Nix is. Debian's testing suite changes daily and old packages leave the mirrors,
// so nothing of it can be pinned in a file of this repository: it is resolved when a test runs, at most once a day.
func newest(ctx context.Context) (dir string, err error) {
	s, err := roottest.OpenStore(ctx)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	file := filepath.Join(s.Dir(), "newest-nix.json")
	f, err := readFound(file)
	if err != nil {
		return "", err
	}
	if age := time.Since(f.At); age >= 0 && age < newestFor {
		dir, err := roottest.Valid(ctx, s, string(Newest), f.Root)
		if err != nil || dir != "" {
			return dir, err
		}
	}
	if f, err = resolveNewest(ctx, s); err != nil {
		return "", err
	}
	if err := writeFound(file, f); err != nil {
		return "", err
	}
	return roottest.Valid(ctx, s, string(Newest), f.Root)
}

// readFound reads the file; the zero value if there is none.
func readFound(file string) (f found, err error) {
	data, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return found{}, nil
	}
	if err != nil {
		return found{}, err
	}
	if err := json.Unmarshal(data, &f); err != nil {
		return found{}, fmt.Errorf("%s: %w; delete it", file, err)
	}
	return f, nil
}

func writeFound(file string, f found) error {
	data, err := json.Marshal(f)
	if err != nil {
		return err
	}
	return atomicfile.Write(file, data, 0o600)
}

// resolveNewest finds the packages and unpacks them into the store.
func resolveNewest(ctx context.Context, s *store.Store) (found, error) {
	now := time.Now().UTC().Truncate(time.Second)
	network, closeNetwork, err := roottest.Archive(s, now)
	if err != nil {
		return found{}, err
	}
	defer closeNetwork()
	root := lock.Root{Suites: []string{string(Newest)}, Wanted: []string{"nix-bin"}}
	want := recipe.Root{Suites: root.Suites, Packages: root.Wanted}
	root.Packages, err = rootfs.NewResolver(rootfs.Options{Archive: network, At: now}).Resolve(ctx, want)
	var expired *index.ExpiredError
	if errors.As(err, &expired) {
		// A mirror that stands still serves what was signed and valid once. For a test that is new enough; the signature is
		// checked as always. Locking, of course, refuses it unless told the date.
		root.Packages, err = rootfs.NewResolver(rootfs.Options{Archive: network, At: now, AsOf: expired.Until}).Resolve(ctx, want)
	}
	if err != nil {
		return found{}, err
	}
	root.NARHash, err = rootfs.Pin(ctx, rootfs.PinRequest{Name: string(Newest), Packages: root.Packages, Archive: network, Store: s})
	return found{At: now, Root: root}, err
}
