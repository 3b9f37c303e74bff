package sbom

import (
	"fmt"
	"net/url"
	"path"
	"strings"

	"github.com/package-url/packageurl-go"

	"headwater/internal/artifact"
	"headwater/internal/lock"
)

// goToolchain is how the package URL of Go's own releases begins, of which programs have the standard library.
const goToolchain = "pkg:golang/golang.org/toolchain@"

// packageURL names an artifact as the package URL specification has it for its ecosystem (purl-spec, types). What no registry has is
// generic, with its checksum.
func packageURL(a lock.Artifact, download bool) (string, error) {
	var p packageurl.PackageURL
	at := func(kind, name, sep string, qualifiers map[string]string) {
		namespace := ""
		if i := strings.LastIndex(name, sep); i >= 0 {
			namespace, name = name[:i], name[i+1:]
		}
		p = *packageurl.NewPackageURL(kind, namespace, name, a.Version, packageurl.QualifiersFromMap(qualifiers), "")
	}
	switch {
	case download:
		at(packageurl.TypeGeneric, path.Base(a.File), "/", checksum(a))
	case a.Ecosystem == artifact.Debian:
		qualifiers := map[string]string{}
		if suite, _, _ := strings.Cut(a.Role, "-security"); suite != "" {
			qualifiers["distro"] = suite
		}
		if i := strings.LastIndexByte(a.File, '_'); i >= 0 {
			qualifiers["arch"] = strings.TrimSuffix(a.File[i+1:], ".deb")
		}
		at(packageurl.TypeDebian, "debian/"+a.Name, "/", qualifiers)
	case a.Ecosystem == artifact.Go:
		at(packageurl.TypeGolang, a.Name, "/", nil)
	case a.Ecosystem == artifact.NPM:
		at(packageurl.TypeNPM, a.Name, "/", nil)
	case a.Ecosystem == artifact.PyPI:
		at(packageurl.TypePyPi, a.Name, "\x00", nil)
	case a.Ecosystem == artifact.Cargo:
		at(packageurl.TypeCargo, a.Name, "\x00", nil)
	case a.Ecosystem == artifact.Maven:
		at(packageurl.TypeMaven, a.Name, ":", nil)
	default:
		at(packageurl.TypeGeneric, a.Name, "/", checksum(a))
	}
	if err := p.Normalize(); err != nil {
		return "", fmt.Errorf("name %s as a package URL: %w", a.Artifact().Title(), err)
	}
	return p.ToString(), nil
}

func checksum(a lock.Artifact) map[string]string {
	return map[string]string{"checksum": string(a.Hash.Algo()) + ":" + a.Hash.Base16()}
}

// publicAddress is an address without user, password and query, "" for what is none of the network.
func publicAddress(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" {
		return ""
	}
	u.User, u.RawQuery = nil, ""
	return u.String()
}
