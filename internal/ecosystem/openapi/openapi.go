package openapi

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"regexp"
	"strings"

	"headwater/internal/artifact"
	"headwater/internal/dag"
	"headwater/internal/ecosystem"
	"headwater/internal/lock"
	"headwater/internal/nix"
)

// toolchain is the generator's name in a recipe's toolchains, and artifactName its name in Maven repositories.
const (
	toolchain    = "openapi-generator"
	artifactName = "org.openapitools:openapi-generator-cli"
)

// OpenAPI is the ecosystem "openapi".
type OpenAPI struct{}

// New makes it.
func New() OpenAPI { return OpenAPI{} }

// Name implements ecosystem.Ecosystem.
func (OpenAPI) Name() string { return "openapi" }

// Toolchains implements ecosystem.Toolchainer.
func (OpenAPI) Toolchains() []string { return []string{toolchain} }

// The versions of openapi-generator: 7.14.0, 5.0.0-beta3.
var versionPattern = regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.]+)?$`)

// LockToolchain implements ecosystem.Toolchainer. The jar is checked against the SHA-1 that every Maven repository keeps beside
// a file (Maven Repository Layout, "checksums"); it tells a broken download apart, and the lock's own hash guards from then on.
func (OpenAPI) LockToolchain(ctx context.Context, _, version string, net ecosystem.Network) ([]lock.Artifact, error) {
	if !versionPattern.MatchString(version) || strings.HasSuffix(version, "-SNAPSHOT") {
		return nil, fmt.Errorf("%q is not an exact version of openapi-generator like 7.14.0", version)
	}
	jar := artifact.Artifact{Ecosystem: artifact.Maven, Name: artifactName, Version: version, File: "openapi-generator-cli-" + version + ".jar"}
	sum := jar
	sum.File += ".sha1"
	sumFile, _, err := net.Get(ctx, sum)
	if err != nil {
		return nil, err
	}
	want, err := readSum(sumFile)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", sum.Ref(), err)
	}
	jarFile, got, err := net.Get(ctx, jar)
	if err != nil {
		return nil, err
	}
	have, err := sha1Of(jarFile)
	if err != nil {
		return nil, fmt.Errorf("check %s: %w", jar.Ref(), err)
	}
	if have != want {
		return nil, fmt.Errorf("check %s: the repository says its SHA-1 is %s, what was downloaded has %s", jar.Ref(), want, have)
	}
	return []lock.Artifact{{
		Ecosystem: got.Ecosystem, Name: got.Name, Version: got.Version, File: got.File, Hash: got.Hash, Size: got.Size,
	}}, nil
}

// readSum reads a .sha1 file: the hash in hex, at times followed by a file name.
func readSum(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	data, err := io.ReadAll(io.LimitReader(f, 4096))
	if err = errors.Join(err, f.Close()); err != nil {
		return "", err
	}
	return ParseSum(data)
}

// ParseSum reads the content of a .sha1 file.
func ParseSum(data []byte) (string, error) {
	word, _, _ := strings.Cut(strings.TrimSpace(string(data)), " ")
	h, err := nix.ParseHash(nix.SHA1, strings.ToLower(word))
	if err != nil || len(word) != hex.EncodedLen(sha1.Size) {
		return "", errors.New("is not a SHA-1 in hex")
	}
	return h.Base16(), nil
}

func sha1Of(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	h := sha1.New()
	_, err = io.Copy(h, f)
	return hex.EncodeToString(h.Sum(nil)), errors.Join(err, f.Close())
}

// Lock implements ecosystem.Ecosystem. All that a component needs are the generator and the source; what the options say is
// checked here already.
func (OpenAPI) Lock(_ context.Context, r ecosystem.LockRequest) (lock.Component, error) {
	if _, err := parseOptions(r.Component); err != nil {
		return lock.Component{}, err
	}
	if _, ok := r.Recipe.Toolchains[toolchain]; !ok {
		return lock.Component{}, errNoToolchain
	}
	return lock.Component{}, nil
}

var errNoToolchain = errors.New("the recipe's toolchains name no openapi-generator: add an exact version, such as openapi-generator: 7.14.0")

// Derive implements ecosystem.Ecosystem.
func (OpenAPI) Derive(r ecosystem.DeriveRequest) (*dag.Node, error) {
	o, err := parseOptions(r.Component)
	if err != nil {
		return nil, err
	}
	list := r.Toolchains[toolchain]
	if len(list) != 1 {
		return nil, fmt.Errorf("the lock has %d artifacts for the toolchain %s, want 1: run headwater lock", len(list), toolchain)
	}
	if err := o.checkFiles(r.Source.FS(), r.Component.Dir); err != nil {
		return nil, err
	}
	jar, err := r.Maker.Fetch(list[0].Artifact())
	if err != nil {
		return nil, err
	}
	mounts, err := o.mounts(r)
	if err != nil {
		return nil, err
	}
	return r.Build(ecosystem.Build{
		Mounts: mounts, Inputs: []*dag.Node{jar}, Prepare: o.script(string(jar.Path())), Output: map[string]string{".": o.Into},
	})
}

// mounts lays the templates where the configuration looks for them as well, if that is outside of the source: the generator refuses a
// configuration whose folder is not there, whatever else it is told.
func (o options) mounts(r ecosystem.DeriveRequest) ([]dag.Mount, error) {
	if o.Config == "" || o.Templates == "" {
		return nil, nil
	}
	data, err := fs.ReadFile(r.Source.FS(), path.Join(r.Component.Dir, o.Config))
	if err != nil {
		return nil, err
	}
	at := path.Clean(templateDir(data))
	if !path.IsAbs(at) || strings.HasPrefix(at+"/", r.SourceTop()+"/") {
		return nil, nil
	}
	src, err := r.Source.Node()
	return []dag.Mount{{From: src, Path: path.Join(r.Component.Dir, o.Templates), At: at}}, err
}
