package rootfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"headwater/internal/rootfs/control"
	"headwater/internal/rootfs/deb"
	"headwater/internal/rootfs/solve"
)

// maxFile is the largest file that File returns, in bytes: some clients have their settings built into the program.
const maxFile = 64 << 20

// File returns a file of a suite's package, verified as a root's packages are. file is its path in the package without a
// leading slash; it may be a link to another file of the package. The error is fs.ErrNotExist where the package has no such file.
func (r *Resolver) File(ctx context.Context, suite, pkg, file string) ([]byte, error) {
	data, err := r.file(ctx, suite, pkg, file)
	if err != nil {
		return nil, fmt.Errorf("read %s of package %s (%s): %w", file, pkg, suite, err)
	}
	return data, nil
}

func (r *Resolver) file(ctx context.Context, suite, name, file string) ([]byte, error) {
	list, err := r.load(ctx, []string{suite})
	if err != nil {
		return nil, err
	}
	p := newPool(list)
	var pkg *solve.Package
	for _, found := range p.Find(control.Relation{Name: name}) {
		if found.Name == name {
			pkg = found
			break
		}
	}
	if err := p.err; err != nil {
		return nil, err
	}
	if pkg == nil {
		return nil, errors.New("the suite has no such package")
	}
	a, err := p.artifact(pkg)
	if err != nil {
		return nil, err
	}
	at, _, err := r.options.Archive.Get(ctx, a.Artifact())
	if err != nil {
		return nil, err
	}
	for range 8 { // links
		data, link, err := readEntry(at, file)
		if err != nil || link == "" {
			return data, err
		}
		file = link
	}
	return nil, errors.New("too many links")
}

// readEntry returns a file of a package, or where it leads if it is a link.
func readEntry(at, name string) (data []byte, link string, err error) {
	f, err := os.Open(at)
	if err != nil {
		return nil, "", err
	}
	defer f.Close()
	r, err := deb.NewReader(f, deb.Limits{})
	if err != nil {
		return nil, "", err
	}
	defer r.Close()
	for {
		e, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil, "", os.ErrNotExist
		}
		if err != nil {
			return nil, "", err
		}
		switch {
		case e.Path != name:
		case e.Kind == deb.File && e.Size > maxFile:
			return nil, "", fmt.Errorf("is larger than %d bytes", maxFile)
		case e.Kind == deb.File:
			data, err := io.ReadAll(r)
			return data, "", err
		case e.Kind == deb.Link && path.IsAbs(e.Target):
			return nil, strings.TrimPrefix(path.Clean(e.Target), "/"), nil
		case e.Kind == deb.Link:
			return nil, path.Join(path.Dir(name), e.Target), nil
		case e.Kind == deb.HardLink:
			return nil, e.Target, nil
		default:
			return nil, "", errors.New("is no file")
		}
	}
}
