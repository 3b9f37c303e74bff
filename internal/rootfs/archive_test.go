package rootfs_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"

	"headwater/internal/artifact"
	"headwater/internal/nix"
	"headwater/internal/rootfs"
	"headwater/internal/rootfs/debtest"
)

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// archive is an Archive in a folder: files by an artifact's File.
type archive struct {
	t   *testing.T
	dir string
	key *openpgp.Entity

	mu    sync.Mutex
	asked []string // Files, in order
}

func newArchive(t *testing.T) *archive {
	t.Helper()
	key, err := openpgp.NewEntity("archive", "", "archive@mirror.example", &packet.Config{
		Time: func() time.Time { return noon.Add(-time.Hour) }, Algorithm: packet.PubKeyAlgoEdDSA,
	})
	if err != nil {
		t.Fatal(err)
	}
	return &archive{t: t, dir: t.TempDir(), key: key}
}

func (a *archive) Get(_ context.Context, art artifact.Artifact) (string, artifact.Artifact, error) {
	if art.Ecosystem != artifact.Debian {
		return "", art, fmt.Errorf("asked for an artifact of %s", art.Ecosystem)
	}
	a.mu.Lock()
	a.asked = append(a.asked, art.File)
	a.mu.Unlock()
	name := filepath.Join(a.dir, art.File)
	data, err := os.ReadFile(name)
	if err != nil {
		return "", art, err
	}
	art.Hash, art.Size = nix.Sum(nix.SHA256, data), int64(len(data))
	return name, art, nil
}

func (a *archive) write(file string, data []byte) {
	a.t.Helper()
	name := filepath.Join(a.dir, file)
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, data, 0o644)); err != nil {
		a.t.Fatal(err)
	}
}

func (a *archive) keys() string {
	a.t.Helper()
	var b bytes.Buffer
	w, err := armor.Encode(&b, openpgp.PublicKeyType, nil)
	if err != nil {
		a.t.Fatal(err)
	}
	if err := errors.Join(a.key.Serialize(w), w.Close()); err != nil {
		a.t.Fatal(err)
	}
	return b.String()
}

// publish makes a suite of packages, written down one a line: "name version field: value; field: value". A package that is
// among debs has that content, others a made-up file.
func (a *archive) publish(suite, packages string, debs map[string][]byte) {
	a.t.Helper()
	top := "debian"
	if strings.HasSuffix(suite, "-security") {
		top = "debian-security"
	}
	var index strings.Builder
	for line := range strings.Lines(packages) {
		head, fields, _ := strings.Cut(strings.TrimSpace(line), ": ")
		words := strings.Fields(head)
		if len(words) == 0 {
			continue
		}
		name, version := words[0], words[1]
		file := "pool/main/" + name + "_" + version + ".deb"
		deb, ok := debs[name]
		if !ok {
			deb = []byte(name + version)
		}
		a.write(top+"/"+file, deb)
		fmt.Fprintf(&index, "Package: %s\nVersion: %s\nArchitecture: amd64\nFilename: %s\nSize: %d\nSHA256: %s\n", name, version, file, len(deb), nix.Sum(nix.SHA256, deb).Base16())
		if len(words) > 2 {
			for field := range strings.SplitSeq(words[2]+": "+fields, "; ") {
				index.WriteString(field + "\n")
			}
		}
		index.WriteString("\n")
	}
	xz := debtest.Compress(a.t, "xz", []byte(index.String()))
	folder := top + "/dists/" + suite + "/"
	a.write(folder+"main/binary-amd64/Packages.xz", xz)
	a.write(folder+"InRelease", []byte(a.sign(fmt.Sprintf(
		"Suite: %s\nCodename: %s\nDate: Mon, 04 May 2026 11:00:00 UTC\nValid-Until: Mon, 11 May 2026 11:00:00 UTC\nAcquire-By-Hash: yes\nArchitectures: amd64\nSHA256:\n %s %d main/binary-amd64/Packages.xz\n",
		suite, suite, nix.Sum(nix.SHA256, xz).Base16(), len(xz),
	))))
}

func (a *archive) sign(text string) string {
	a.t.Helper()
	var b bytes.Buffer
	w, err := clearsign.Encode(&b, a.key.PrivateKey, &packet.Config{Time: func() time.Time { return noon }})
	if err != nil {
		a.t.Fatal(err)
	}
	_, err = io.WriteString(w, text)
	if err := errors.Join(err, w.Close()); err != nil {
		a.t.Fatal(err)
	}
	return b.String() + "\n"
}

func (a *archive) resolver() *rootfs.Resolver {
	return rootfs.NewResolver(rootfs.Options{Archive: a, At: noon, Keys: a.keys()})
}
