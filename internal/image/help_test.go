package image_test

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"headwater/internal/image"
	"headwater/internal/nix"
	"headwater/internal/store"
	"headwater/internal/store/storetest"
)

func openStore(t testing.TB) *store.Store {
	t.Helper()
	return storetest.Open(t, storetest.Dir(t))
}

// tree is what a store path has: path → content; "-> x" is a link, a name that ends in "*" an executable file, one in "/" a folder.
type tree map[string]string

// install makes a valid path. "@self@" in a file is the path's own name; candidates are what it may refer to.
func install(t testing.TB, s *store.Store, name string, files tree, candidates ...nix.StorePath) nix.StorePath {
	t.Helper()
	ctx := context.Background()
	var all strings.Builder
	for _, file := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(&all, "%q %q\n", file, files[file])
	}
	p, err := nix.OutputPath(nix.Sum(nix.SHA256, []byte(all.String())), "out", name)
	if err != nil {
		t.Fatal(err)
	}
	dir, remove, err := s.TempDir(ctx)
	if err != nil {
		t.Fatal(err)
	}
	from := filepath.Join(dir, "x")
	if err := os.Mkdir(from, 0o755); err != nil {
		t.Fatal(err)
	}
	for file, content := range files {
		if err := lay(from, file, strings.ReplaceAll(content, "@self@", string(p))); err != nil {
			t.Fatal(err)
		}
	}
	e, err := store.Examine(ctx, from, append(candidates, p))
	if err != nil {
		t.Fatal(err)
	}
	unlock, err := s.Lock(ctx, p)
	if err != nil {
		t.Fatal(err)
	}
	item := store.Install{From: from, Info: store.PathInfo{Path: p, NARHash: e.NARHash, NARSize: e.NARSize, Refs: e.Refs, Ultimate: true}}
	if err := errors.Join(s.Install(ctx, []store.Install{item}), unlock(), remove()); err != nil {
		t.Fatal(err)
	}
	return p
}

func lay(dir, name, content string) error {
	at := filepath.Join(dir, strings.TrimRight(name, "*/"))
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		return err
	}
	if strings.HasSuffix(name, "/") {
		return os.MkdirAll(at, 0o755)
	}
	if target, ok := strings.CutPrefix(content, "-> "); ok {
		return os.Symlink(target, at)
	}
	mode := os.FileMode(0o644)
	if strings.HasSuffix(name, "*") {
		mode = 0o755
	}
	return os.WriteFile(at, []byte(content), mode)
}

// root installs a small runtime root.
func root(t testing.TB, s *store.Store) nix.StorePath {
	t.Helper()
	return install(t, s, "root", tree{
		"usr/bin/sh*": "a shell", "usr/share/doc/x": "read me", "usr/local/": "", "usr/lib64/ld.so*": "loader", "usr/old": "-> share",
		"etc/passwd": "root:x:0:0::/root:/bin/sh\nbuild:x:1000:100::/home/build:/bin/sh\n", "etc/hosts": "", "proc/": "", "bin": "-> usr/bin",
	})
}

// spec is an image of a service with nothing in it but the root.
func spec(root nix.StorePath, entries ...image.Entry) image.Spec {
	return image.Spec{
		Name: "svc", Version: "1.0", Root: root, Entries: entries, User: "1000:1000", Workdir: "/", Entrypoint: []string{"/app/run"},
		Env: map[string]string{"B": "2", "A": "1"}, Labels: map[string]string{"x": "y"},
	}
}

// app is an entry of the application.
func app(at string, p nix.StorePath, sub string) image.Entry {
	return image.Entry{At: at, Path: p, Sub: sub, Component: "app", Stratum: image.Application}
}

func openLayers(t testing.TB, s *store.Store) *image.Layers {
	t.Helper()
	l, err := image.OpenLayers(context.Background(), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// build makes an image and checks that it is one.
func build(t testing.TB, s *store.Store, sp image.Spec, o image.Options) *image.Image {
	t.Helper()
	o.Store = s
	if o.Layers == nil {
		o.Layers = openLayers(t, s)
	}
	img, err := image.Make(context.Background(), sp, o)
	if err != nil {
		t.Fatal(err)
	}
	if o.Compression != image.Zstd { // which that package does not read
		if err := validate.Image(img); err != nil {
			t.Fatal(err)
		}
	}
	return img
}

// list has what every layer has, one entry a line, by the layer's title.
func list(t testing.TB, img v1.Image) map[string][]string {
	t.Helper()
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{}
	for i, l := range layers {
		r, err := l.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		for tr := tar.NewReader(r); ; {
			h, err := tr.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			all[config.History[i].Comment] = append(all[config.History[i].Comment], entryLine(t, h, tr))
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func entryLine(t testing.TB, h *tar.Header, r io.Reader) string {
	t.Helper()
	if !h.ModTime.Equal(time.Unix(1, 0)) || h.Uname != "" || h.Gname != "" {
		t.Errorf("%s has time %v and owner %q:%q", h.Name, h.ModTime, h.Uname, h.Gname)
	}
	line := fmt.Sprintf("%04o %d:%d /%s", h.Mode, h.Uid, h.Gid, h.Name)
	switch h.Typeflag {
	case tar.TypeReg:
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		return line + " " + string(data)
	case tar.TypeSymlink:
		return line + " -> " + h.Linkname
	case tar.TypeLink:
		return line + " = /" + h.Linkname
	}
	return line
}
