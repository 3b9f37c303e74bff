package rootfs

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"github.com/xi2/xz"

	"headwater/internal/artifact"
	"headwater/internal/nix"
	"headwater/internal/rootfs/index"
)

// Limits of what an archive may serve; Debian's own largest are a tenth of these.
const (
	maxRelease  = 16 << 20  // bytes of InRelease
	maxPackages = 768 << 20 // bytes of Packages, unpacked
	maxDict     = 64 << 20  // bytes of an xz stream's dictionary
)

// read fetches and reads a suite's index of packages, unless it has been.
func (r *Resolver) read(ctx context.Context, s *suite) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.packages != nil {
		return nil
	}
	rel, err := r.release(ctx, s.name)
	if err != nil {
		return err
	}
	text, err := r.index(ctx, s.name, rel)
	if err != nil {
		return fmt.Errorf("suite %s: %w", s.name, err)
	}
	packages, err := index.ParsePackages(text)
	if err != nil {
		return fmt.Errorf("suite %s: %w", s.name, err)
	}
	s.packages = packages
	return nil
}

// dist is the folder of a suite, as an artifact's File has it.
func dist(suite string) string { return archiveOf(suite) + "/dists/" + suite + "/" }

func (r *Resolver) release(ctx context.Context, suite string) (*index.Release, error) {
	if suite == "" || strings.Trim(suite, "abcdefghijklmnopqrstuvwxyz0123456789-.") != "" {
		return nil, fmt.Errorf("suite %q: is no suite's name", suite)
	}
	file, _, err := r.options.Archive.Get(ctx, artifact.Artifact{Ecosystem: artifact.Debian, Name: suite, File: dist(suite) + "InRelease"})
	if err != nil {
		return nil, fmt.Errorf("suite %s: InRelease: %w", suite, err)
	}
	data, err := readFile(file, maxRelease)
	if err != nil {
		return nil, fmt.Errorf("suite %s: InRelease: %w", suite, err)
	}
	return index.ParseRelease(data, index.Check{Keys: r.options.Keys, Suite: suite, Arch: arch, At: r.options.At, AsOf: r.options.AsOf})
}

// index fetches Packages in the first form that the suite has.
func (r *Resolver) index(ctx context.Context, suite string, rel *index.Release) (string, error) {
	folder := "main/binary-" + arch + "/"
	for _, name := range []string{"Packages.xz", "Packages.gz"} {
		want, ok := rel.Files[folder+name]
		if !ok {
			continue
		}
		paths := indexPaths(folder, name, want, rel)
		var data []byte
		err := r.get(ctx, suite, paths, want, func(file string) (err error) {
			if data, err = readFile(file, want.Size); err == nil && nix.Sum(nix.SHA256, data) != want.Hash {
				err = errWrong
			}
			return err
		})
		if err != nil {
			return "", err
		}
		text, err := decompress(name, data)
		if err != nil {
			return "", fmt.Errorf("%s%s: %w", folder, name, err)
		}
		return text, nil
	}
	return "", fmt.Errorf("InRelease lists no %sPackages.xz or .gz", folder)
}

// indexPaths is where an index may be, below its suite's folder.
func indexPaths(folder, name string, f index.File, rel *index.Release) []string {
	paths := []string{folder + name}
	if rel.ByHash {
		// By its hash an index is still there when the suite has just changed.
		paths = []string{folder + "by-hash/SHA256/" + f.Hash.Base16(), folder + name}
	}
	return paths
}

// errWrong says that a file has another hash than the suite's signed InRelease says.
var errWrong = errors.New("is not what InRelease says")

// get gives use the file at the first of the paths that has it and that use takes. The archive checks the hash; so does use,
// since all that a lock pins follows from it.
func (r *Resolver) get(ctx context.Context, suite string, paths []string, want index.File, use func(file string) error) error {
	var errs []error
	for _, p := range paths {
		a := artifact.Artifact{Ecosystem: artifact.Debian, Name: suite, File: dist(suite) + p, Hash: want.Hash, Size: want.Size}
		file, _, err := r.options.Archive.Get(ctx, a)
		if err == nil {
			err = use(file)
		}
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		errs = append(errs, fmt.Errorf("%s: %w", path.Clean(p), err))
	}
	return errors.Join(errs...)
}

func readFile(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("is larger than %d bytes", limit)
	}
	return data, nil
}

func decompress(name string, data []byte) (string, error) {
	var in io.Reader
	var err error
	if strings.HasSuffix(name, ".xz") {
		in, err = xz.NewReader(bytes.NewReader(data), maxDict)
	} else {
		in, err = gzip.NewReader(bytes.NewReader(data))
	}
	if err != nil {
		return "", err
	}
	var text strings.Builder
	text.Grow(min(8*len(data), maxPackages))
	n, err := io.Copy(&text, io.LimitReader(in, maxPackages+1))
	if err != nil {
		return "", err
	}
	if n > maxPackages {
		return "", fmt.Errorf("is larger than %d bytes", maxPackages)
	}
	return text.String(), nil
}
