package image

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"headwater/internal/atomicfile"
)

// refName is the annotation by which an OCI layout names its images (image-spec, annotations.md).
const refName = "org.opencontainers.image.ref.name"

// OccupiedError says that something else stands where an image was to be written.
type OccupiedError struct{ Path, Why string }

func (e *OccupiedError) Error() string { return fmt.Sprintf("write image: %s: %s", e.Path, e.Why) }

// Hint says what to do.
func (e *OccupiedError) Hint() string {
	return "name a folder that does not exist, or one that is an OCI layout already"
}

// WriteLayout writes an image to the OCI layout in dir, under the tag of its version; it takes the place of an image of that name.
// A layout that is made new appears as a whole; one that is there keeps its other images, and its index is replaced last.
func (i *Image) WriteLayout(dir, tag string) (err error) {
	dir = filepath.Clean(dir) // "out/" too is what is to appear, not where
	into := dir
	_, err = os.Lstat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		into, err = os.MkdirTemp(filepath.Dir(dir), "."+filepath.Base(dir)+"-*")
		defer func() {
			if err != nil && into != "" {
				err = errors.Join(err, os.RemoveAll(into))
			}
		}()
		if err == nil {
			err = os.Chmod(into, 0o755)
		}
	}
	if err != nil {
		return fmt.Errorf("write image: %w", err)
	}
	index, err := readIndex(into, into == dir)
	if err != nil {
		return err
	}
	if err := i.intoLayout(into, tag, index); err != nil {
		return fmt.Errorf("write image %s: %w", dir, err)
	}
	if into == dir {
		return nil
	}
	if err := os.Rename(into, dir); err != nil {
		return fmt.Errorf("write image: %w", err)
	}
	return nil
}

// readIndex is the index of a layout; must tells that the folder was there, and so has to be one.
func readIndex(dir string, must bool) (*v1.IndexManifest, error) {
	index := &v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex}
	if !must {
		return index, nil
	}
	data, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if entries, listed := os.ReadDir(dir); errors.Is(err, fs.ErrNotExist) && listed == nil && len(entries) == 0 {
		return index, nil
	}
	if err != nil {
		return nil, &OccupiedError{dir, "it is there, and no OCI layout"}
	}
	if err := json.Unmarshal(data, index); err != nil {
		return nil, &OccupiedError{dir, "its index.json is none: " + err.Error()}
	}
	return index, nil
}

// intoLayout writes blobs, then what names them.
func (i *Image) intoLayout(dir, tag string, index *v1.IndexManifest) error {
	d, err := layoutWriter{dir, index}.write(i)
	if err != nil {
		return err
	}
	d.Platform = &v1.Platform{Architecture: "amd64", OS: "linux"}
	listUnder(index, *d, tag)
	if err := atomicfile.Write(filepath.Join(dir, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o644); err != nil {
		return err
	}
	return writeIndex(dir, index)
}

// listUnder has an index name a manifest under a tag, in place of what had it.
func listUnder(index *v1.IndexManifest, d v1.Descriptor, tag string) {
	d.Annotations = map[string]string{refName: tag}
	if i := slices.IndexFunc(index.Manifests, func(o v1.Descriptor) bool { return RefName(o) == tag }); i >= 0 {
		index.Manifests[i] = d
		return
	}
	index.Manifests = append(index.Manifests, d)
}

func writeIndex(dir string, index *v1.IndexManifest) error {
	data, err := json.Marshal(index)
	if err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(dir, "index.json"), data, 0o644)
}

// writeBlob writes a blob that is not there. What is there appeared as a whole, under its digest.
func writeBlob(file string, open func() (io.ReadCloser, error)) error {
	if _, err := os.Lstat(file); err == nil {
		return nil
	}
	r, err := open()
	if err != nil {
		return err
	}
	defer r.Close()
	f, err := os.CreateTemp(filepath.Dir(file), ".blob-*")
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	if err = errors.Join(err, f.Chmod(0o644), f.Close()); err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// WriteArchive writes an image as what "docker load" takes, named NAME:VERSION. The file appears as a whole.
func (i *Image) WriteArchive(file string) (err error) {
	ref, err := name.NewTag(i.Title, name.WithDefaultRegistry(""))
	if err != nil {
		return fmt.Errorf("write image %s: %w", file, err)
	}
	f, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+"-*")
	if err != nil {
		return fmt.Errorf("write image: %w", err)
	}
	err = tarball.Write(ref, i, f)
	if err = errors.Join(err, f.Chmod(0o644), f.Close()); err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write image %s: %w", file, err), os.Remove(f.Name()))
	}
	return nil
}

// Tag is the tag of the image's version.
func (i *Image) Tag() string {
	_, tag, _ := strings.Cut(i.Title, ":") // a name has no colon
	return tag
}
