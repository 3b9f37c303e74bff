package registry_test

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/artifact"
	"headwater/internal/nix"
	"headwater/internal/registry"
)

const home = "/home/u"

// machine is a Machine with these files and variables.
func machine(files map[string]string, env map[string]string) registry.Machine {
	root := fstest.MapFS{}
	for name, text := range files {
		root[strings.TrimPrefix(name, "/")] = &fstest.MapFile{Data: []byte(text)}
	}
	return registry.Machine{Env: func(name string) string { return env[name] }, Home: home, Root: root}
}

func open(t *testing.T, m registry.Machine, o registry.Options) *registry.Registry {
	t.Helper()
	r, err := registry.Open(m, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// addresses lists what Addresses yields: "URL", "index URL" where a lookup follows, "error: …".
func addresses(t *testing.T, r *registry.Registry, a artifact.Artifact) []string {
	t.Helper()
	var out []string
	for address, err := range r.Addresses(t.Context(), a) {
		switch {
		case err != nil:
			out = append(out, "error: "+err.Error())
		case address.Find != nil:
			out = append(out, "index "+address.URL)
		default:
			out = append(out, address.URL)
		}
	}
	return out
}

var ( // the artifacts of these tests
	goZip   = artifact.Artifact{Ecosystem: artifact.Go, Name: "example.test/Acme/mod", Version: "v1.2.3-RC1", File: "v1.2.3-RC1.zip"}
	npmFile = artifact.Artifact{Ecosystem: artifact.NPM, Name: "left", Version: "1.0.0", File: "left-1.0.0.tgz"}
	scoped  = artifact.Artifact{Ecosystem: artifact.NPM, Name: "@acme/left", Version: "1.0.0", File: "left-1.0.0.tgz"}
	wheel   = artifact.Artifact{Ecosystem: artifact.PyPI, Name: "Left._Hand", Version: "1.0", File: "left_hand-1.0-py3-none-any.whl"}
	jar     = artifact.Artifact{Ecosystem: artifact.Maven, Name: "org.acme.left:left-cli", Version: "7.1", File: "left-cli-7.1.jar"}
	deb     = artifact.Artifact{Ecosystem: artifact.Debian, Name: "left", Version: "1:1.0~b+c", File: "debian/pool/main/l/left/left_1.0~b+c_amd64.deb"}
	secDeb  = artifact.Artifact{Ecosystem: artifact.Debian, Name: "left", Version: "1", File: "debian-security/pool/updates/main/l/left/left_1_amd64.deb"}
	crate   = artifact.Artifact{Ecosystem: artifact.Cargo, Name: "Left", Version: "1.0.0", File: "Left-1.0.0.crate"}
)

func with(a artifact.Artifact, change func(*artifact.Artifact)) artifact.Artifact {
	change(&a)
	return a
}

const own = "/etc/headwater/registries.yaml"

func TestAddresses(t *testing.T) {
	hash := nix.Sum(nix.SHA256, []byte("left"))
	hashed := func(a *artifact.Artifact) { a.Hash = hash }
	hinted := func(a *artifact.Artifact) { a.Hint = "https://hint.example/left.tgz#frag" }
	debianRelease := "ID=debian\nVERSION_CODENAME=\"trixie\"\n"
	tests := []struct {
		name  string
		files map[string]string
		env   map[string]string
		a     artifact.Artifact
		want  []string
	}{
		// The order.
		{name: "all kinds", a: with(with(npmFile, hashed), hinted),
			files: map[string]string{own: "registries: 1\ncontent: [https://content.example/x/]\nnpm: [https://own.example/npm/, https://two.example]\n",
				home + "/.npmrc": "registry=https://client.example/npm/\n"},
			want: []string{"https://content.example/x/sha256/" + hash.Base16(), "https://own.example/npm/left/-/left-1.0.0.tgz",
				"https://two.example/left/-/left-1.0.0.tgz", "https://client.example/npm/left/-/left-1.0.0.tgz", "https://hint.example/left.tgz"}},
		{name: "only", a: with(npmFile, hinted),
			files: map[string]string{own: "registries: 1\nonly: true\nnpm: [https://own.example]\n", home + "/.npmrc": "registry=https://client.example\n"},
			want:  []string{"https://own.example/left/-/left-1.0.0.tgz"}},
		{name: "nothing known", a: npmFile,
			want: []string{`error: find a registry for "npm": no setting names one, and no client was found that knows one`}},
		{name: "each once", a: npmFile, files: map[string]string{own: "registries: 1\nnpm: [https://a.example, https://a.example/]\n", home + "/.npmrc": "registry=https://a.example/\n"},
			want: []string{"https://a.example/left/-/left-1.0.0.tgz"}},
		{name: "user's file before the system's", a: npmFile,
			files: map[string]string{own: "registries: 1\nnpm: [https://system.example]\n", home + "/.config/headwater/registries.yaml": "registries: 1\nnpm: [https://user.example]\nonly: true\n"},
			want:  []string{"https://user.example/left/-/left-1.0.0.tgz"}},
		{name: "file named by the environment", a: npmFile, env: map[string]string{"HEADWATER_REGISTRIES": "/srv/r.yaml"},
			files: map[string]string{own: "registries: 1\nnpm: [https://system.example]\n", "/srv/r.yaml": "registries: 1\nnpm: [https://env.example]\nonly: true\n"},
			want:  []string{"https://env.example/left/-/left-1.0.0.tgz"}},
		{name: "templates", a: with(scoped, hashed), env: map[string]string{"MIRROR": "https://m.example/a"},
			files: map[string]string{own: "registries: 1\nonly: true\ncontent: ['https://c.example/{algo}/{hash}?raw']\nnpm: ['${MIRROR}/{name}/{version}/{file}', 'https://p.example/x/{path}']\n"},
			want:  []string{"https://c.example/sha256/" + hash.Base16() + "?raw", "https://m.example/a/@acme/left/1.0.0/left-1.0.0.tgz", "https://p.example/x/@acme/left/-/left-1.0.0.tgz"}},
		{name: "template of a hash that is not known", a: npmFile, files: map[string]string{own: "registries: 1\nonly: true\nnpm: ['https://c.example/{hash}']\n"}},
		{name: "own scope", a: scoped, files: map[string]string{own: "registries: 1\nonly: true\nnpm: [https://a.example]\nnpm-scopes: {'@acme': [https://s.example]}\n"},
			want: []string{"https://s.example/@acme/left/-/left-1.0.0.tgz"}},
		{name: "folders", a: npmFile, files: map[string]string{own: "registries: 1\nonly: true\nnpm: [/srv/npm, 'file:///srv/more npm']\n"},
			want: []string{"file:///srv/npm/left/-/left-1.0.0.tgz", "file:///srv/more%20npm/left/-/left-1.0.0.tgz"}},
		{name: "by address alone", a: artifact.Artifact{Ecosystem: artifact.URL, Name: "x", File: "x", Hash: hash, Hint: "http://x.example/x"},
			files: map[string]string{own: "registries: 1\ncontent: [https://c.example]\n"},
			want:  []string{"https://c.example/sha256/" + hash.Base16(), "http://x.example/x"}},
		{name: "hint is a local file", a: with(npmFile, func(a *artifact.Artifact) { a.Hint = "file:///etc/passwd" }), files: map[string]string{home + "/.npmrc": "registry=https://a.example"},
			want: []string{"https://a.example/left/-/left-1.0.0.tgz"}},

		// Go.
		{name: "GOPROXY", a: goZip, env: map[string]string{"GOPROXY": "https://a.example/go/|https://b.example,file:///srv/go,direct"},
			want: []string{"https://a.example/go/example.test/!acme/mod/@v/v1.2.3-!r!c1.zip", "https://b.example/example.test/!acme/mod/@v/v1.2.3-!r!c1.zip",
				"file:///srv/go/example.test/!acme/mod/@v/v1.2.3-!r!c1.zip"}},
		{name: "GOPROXY off", a: goZip, env: map[string]string{"GOPROXY": "off,https://never.example"}, files: map[string]string{"/usr/local/go/go.env": "GOPROXY=https://default.example\n"}},
		{name: "GOPROXY saved by go env -w", a: goZip, files: map[string]string{home + "/.config/go/env": "# x\nGOPROXY=https://saved.example\n", "/usr/local/go/go.env": "GOPROXY=https://default.example\n"},
			want: []string{"https://saved.example/example.test/!acme/mod/@v/v1.2.3-!r!c1.zip"}},
		{name: "GOENV off", a: goZip, env: map[string]string{"GOENV": "off"},
			files: map[string]string{home + "/.config/go/env": "GOPROXY=https://saved.example\n", "/usr/local/go/go.env": "GOPROXY=https://default.example,direct\n"},
			want:  []string{"https://default.example/example.test/!acme/mod/@v/v1.2.3-!r!c1.zip"}},
		{name: "GOPRIVATE", a: goZip, env: map[string]string{"GOPROXY": "https://a.example", "GOPRIVATE": "*.test/Acme"}},
		{name: "go where PATH has it", a: with(goZip, func(a *artifact.Artifact) { a.File = "v1.2.3-RC1.mod" }), env: map[string]string{"PATH": "bin:/opt/go/bin"},
			files: map[string]string{"/opt/go/go.env": "GOPROXY=https://default.example,direct\n"},
			want:  []string{"https://default.example/example.test/!acme/mod/@v/v1.2.3-!r!c1.mod"}},

		// npm.
		{name: "npm's default", a: scoped, env: map[string]string{"PATH": "/usr/bin:/opt/node/bin"},
			files: map[string]string{"/opt/node/lib/node_modules/npm/node_modules/npm-registry-fetch/lib/default-opts.js": "module.exports = {\n  registry: 'https://default.example/',\n"},
			want:  []string{"https://default.example/@acme/left/-/left-1.0.0.tgz"}},
		{name: "npm: environment before files", a: npmFile, env: map[string]string{"npm_config_registry": "https://env.example/"}, files: map[string]string{home + "/.npmrc": "registry = https://user.example/\n"},
			want: []string{"https://env.example/left/-/left-1.0.0.tgz"}},
		{name: "npm: user before global", a: npmFile, files: map[string]string{home + "/.npmrc": "; c\nregistry = \"https://user.example/${WHERE}\"\n", "/etc/npmrc": "registry=https://global.example\n"},
			env: map[string]string{"WHERE": "npm"}, want: []string{"https://user.example/npm/left/-/left-1.0.0.tgz"}},
		{name: "npm: scope", a: scoped, files: map[string]string{home + "/.npmrc": "@acme:registry=https://acme.example/\n", "/etc/npmrc": "registry=https://global.example\n"},
			want: []string{"https://acme.example/@acme/left/-/left-1.0.0.tgz"}},
		{name: "npm: global file beside npm", a: npmFile, env: map[string]string{"PATH": "/opt/node/bin"}, files: map[string]string{"/opt/node/bin/npm": "", "/opt/node/etc/npmrc": "registry=https://global.example\n"},
			want: []string{"https://global.example/left/-/left-1.0.0.tgz"}},

		// Python.
		{name: "pip's default", a: wheel, files: map[string]string{"/usr/lib/python3/dist-packages/pip/_internal/models/index.py": "x = 1\nPyPI = PackageIndex(\"https://default.example/\", file_storage_domain=\"f.example\")\n"},
			want: []string{"index https://default.example/simple/left-hand/"}},
		{name: "pip's default out of Python's own wheel", a: wheel, env: map[string]string{"PATH": "/opt/py/bin"},
			files: map[string]string{"/opt/py/lib/python3.13/ensurepip/_bundled/pip-25-py3-none-any.whl": zipped("pip/_internal/models/index.py", "PyPI = PackageIndex(\n    \"https://default.example/\",\n)\n")},
			want:  []string{"index https://default.example/simple/left-hand/"}},
		{name: "pip.conf", a: wheel,
			files: map[string]string{"/etc/pip.conf": "[global]\nindex-url = https://global.example/simple\nextra-index-url:\n  https://x.example/simple\n  https://y.example/simple\n# c\nfind-links = /srv/wheels https://links.example/all.html ./relative\n",
				home + "/.config/pip/pip.conf": "[global]\nindex_url = https://user.example/simple/\n[list]\nindex-url = https://other.example\n"},
			want: []string{"file:///srv/wheels/left_hand-1.0-py3-none-any.whl", "index https://links.example/all.html", "index https://user.example/simple/left-hand/",
				"index https://x.example/simple/left-hand/", "index https://y.example/simple/left-hand/"}},
		{name: "PIP_ variables", a: wheel, env: map[string]string{"PIP_INDEX_URL": "https://env.example/simple", "PIP_CONFIG_FILE": "/dev/null"},
			files: map[string]string{"/etc/pip.conf": "[global]\nindex-url = https://global.example/simple\n"},
			want:  []string{"index https://env.example/simple/left-hand/"}},
		{name: "PIP_NO_INDEX", a: wheel, env: map[string]string{"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/srv/wheels"},
			want: []string{"file:///srv/wheels/left_hand-1.0-py3-none-any.whl"}},
		{name: "uv.toml", a: wheel, files: map[string]string{home + "/.config/uv/uv.toml": "native-tls = true\n[[index]]\nname = \"in-house\"\nurl = \"https://uv.example/simple\"\n[[index]]\nurl = \"https://flat.example/files\"\nformat = \"flat\"\n[[index]]\nurl = \"https://main.example/simple\"\ndefault = true\n"},
			want: []string{"index https://uv.example/simple/left-hand/", "index https://flat.example/files", "index https://main.example/simple/left-hand/"}},
		{name: "UV_ variables", a: wheel, env: map[string]string{"UV_DEFAULT_INDEX": "https://env.example/simple", "UV_INDEX": "a=https://a.example/simple https://b.example/a=b/simple"},
			want: []string{"index https://env.example/simple/left-hand/", "index https://a.example/simple/left-hand/", "index https://b.example/a=b/simple/left-hand/"}},

		// Maven.
		{name: "Maven's default", a: jar, files: map[string]string{"/usr/share/java/maven-model-builder-3.x.jar": zipped("org/apache/maven/model/pom-4.0.0.xml",
			"<repository>\n<id>central</id>\n<name>Central</name>\n<url>https://default.example/maven2</url>")},
			want: []string{"https://default.example/maven2/org/acme/left/left-cli/7.1/left-cli-7.1.jar"}},
		{name: "Maven's mirrors", a: jar, env: map[string]string{"HOST": "https://m.example"},
			files: map[string]string{home + "/.m2/settings.xml": `<settings xmlns="http://maven.example/S"><mirrors>
				<mirror><id>m</id><url>${env.HOST}/maven</url><mirrorOf>*,!internal</mirrorOf></mirror>
				<mirror><id>o</id><url>https://other.example</url><mirrorOf>other</mirrorOf></mirror>
				<mirror><id>n</id><url>https://not.example</url><mirrorOf>*,!central</mirrorOf></mirror>
				<mirror><id>b</id><url>https://blocked.example</url><mirrorOf>*</mirrorOf><blocked>true</blocked></mirror></mirrors>
				<profiles><profile><id>p</id><repositories><repository><id>r</id><url>https://profile.example</url></repository></repositories></profile>
				<profile><id>q</id><repositories><repository><id>r</id><url>https://inactive.example</url></repository></repositories></profile></profiles>
				<activeProfiles><activeProfile>p</activeProfile></activeProfiles></settings>`},
			want: []string{"https://m.example/maven/org/acme/left/left-cli/7.1/left-cli-7.1.jar", "https://profile.example/org/acme/left/left-cli/7.1/left-cli-7.1.jar"}},

		// Debian.
		{name: "apt, one-line", a: deb, files: map[string]string{"/etc/os-release": debianRelease,
			"/etc/apt/sources.list": "# deb http://old.example/debian trixie main\ndeb [ arch=amd64 signed-by=/x.gpg ] https://vendor.example/apt stable main\n" +
				"deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.example/debian/ trixie main contrib\ndeb cdrom:[Debian]/ trixie main\n" +
				"deb http://deb.example/debian-security trixie-security main\ndeb https://docker.example/linux/debian trixie stable\ndeb-src http://src.example/debian trixie main\n"},
			want: []string{"http://deb.example/debian/pool/main/l/left/left_1.0~b+c_amd64.deb", "https://vendor.example/apt/pool/main/l/left/left_1.0~b+c_amd64.deb"}},
		{name: "apt, deb822, security", a: secDeb, files: map[string]string{"/etc/os-release": debianRelease,
			"/etc/apt/sources.list.d/debian.sources": "Types: deb deb-src\nURIs: http://deb.example/debian\nSuites: trixie trixie-updates\nComponents: main\n\n" +
				"# security\nTypes: deb\nURIs: http://sec.example/debian-security\n http://sec2.example/debian-security\nSuites: trixie-security\nComponents: main\n\n" +
				"Enabled: no\nTypes: deb\nURIs: http://off.example\nSuites: trixie-security\nComponents: main\n"},
			want: []string{"http://sec.example/debian-security/pool/updates/main/l/left/left_1_amd64.deb", "http://sec2.example/debian-security/pool/updates/main/l/left/left_1_amd64.deb"}},
		{name: "apt, list of mirrors", a: deb, files: map[string]string{"/etc/os-release": debianRelease, "/etc/apt/mirrors/debian.list": "https://m1.example/debian\tpriority:1\n# x\nhttps://m2.example/debian\n",
			"/etc/apt/sources.list.d/debian.sources": "Types: deb\nURIs: mirror+file:///etc/apt/mirrors/debian.list\nSuites: trixie\nComponents: main\n"},
			want: []string{"https://m1.example/debian/pool/main/l/left/left_1.0~b+c_amd64.deb", "https://m2.example/debian/pool/main/l/left/left_1.0~b+c_amd64.deb"}},
		{name: "apt of another distribution", a: deb, files: map[string]string{"/etc/os-release": "ID=ubuntu\nVERSION_CODENAME=noble\n", "/etc/apt/sources.list": "deb http://u.example/ubuntu noble main\n"},
			want: []string{`error: find a registry for "debian": no setting names one, and no client was found that knows one`}},
		{name: "debootstrap on another distribution", a: deb, env: map[string]string{"PATH": "/usr/sbin"}, files: map[string]string{"/usr/sbin/debootstrap": "VERSION=1\nDEF_MIRROR=\"http://default.example/debian\"\n"},
			want: []string{"http://default.example/debian/pool/main/l/left/left_1.0~b+c_amd64.deb"}},
		{name: "security beside the mirror", a: secDeb, files: map[string]string{own: "registries: 1\nonly: true\ndebian: [https://own.example/debian, https://own.example/deb-proxy]\n"},
			want: []string{"https://own.example/debian-security/pool/updates/main/l/left/left_1_amd64.deb"}},

		// Cargo.
		{name: "cargo's source replacement", a: crate, files: map[string]string{home + "/.cargo/config.toml": "[source.crates-io]\nreplace-with = \"a\"\n[source.a]\nreplace-with = \"b\"\n[registries.b]\nindex = \"sparse+https://crates.example/index/\"\n"},
			want: []string{"index https://crates.example/index/config.json"}},
		{name: "cargo's loop", a: crate, files: map[string]string{home + "/.cargo/config.toml": "[source.crates-io]\nreplace-with = \"a\"\n[source.a]\nreplace-with = \"crates-io\"\n"},
			want: []string{`error: find a registry for "cargo": no setting names one, and no client was found that knows one`}},

		// Hostile names.
		{name: "file leads out", a: with(npmFile, func(a *artifact.Artifact) { a.File = "../../x" }), files: map[string]string{own: "registries: 1\nnpm: [https://a.example]\n"},
			want: []string{`error: find address of headwater:npm/left/1.0.0/..%2F..%2Fx: file "../../x" is not a plain relative path`}},
		{name: "query in a file", a: with(npmFile, func(a *artifact.Artifact) { a.File = "x?y#z%" }), files: map[string]string{own: "registries: 1\nonly: true\nnpm: [https://a.example]\n"},
			want: []string{"https://a.example/left/-/x%3Fy%23z%25"}},
		{name: "no archive", a: with(deb, func(a *artifact.Artifact) { a.File = "elsewhere/pool/x.deb" }),
			want: []string{`error: find address of headwater:debian/left/1:1.0~b+c/elsewhere%2Fpool%2Fx.deb: file "elsewhere/pool/x.deb" does not begin with debian/ or debian-security/`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := addresses(t, open(t, machine(tt.files, tt.env), registry.Options{}), tt.a)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("addresses (-want +got):\n%s", diff)
			}
		})
	}
}

func zipped(name, text string) string {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.Create(name)
	if err == nil {
		_, err = w.Write([]byte(text))
	}
	if err = errors.Join(err, z.Close()); err != nil {
		panic(err)
	}
	return b.String()
}

func TestIndex(t *testing.T) {
	m := machine(map[string]string{own: `registries: 1
only: true
go: [https://a.example]
npm: [https://a.example]
pypi: [https://a.example/simple]
maven: [https://a.example]
cargo: [https://a.example]
`}, nil)
	tests := []struct {
		eco  artifact.Ecosystem
		name string
		want string
	}{
		{artifact.Go, "example.test/Acme", "https://a.example/example.test/!acme/@v/list"},
		{artifact.NPM, "@acme/left", "https://a.example/@acme%2fleft"},
		{artifact.PyPI, "Left._Hand", "https://a.example/simple/left-hand/"},
		{artifact.Maven, "org.acme:left", "https://a.example/org/acme/left/maven-metadata.xml"},
		{artifact.Cargo, "Left", "https://a.example/le/ft/left"},
		{artifact.Cargo, "abc", "https://a.example/3/a/abc"},
		{artifact.Cargo, "ab", "https://a.example/2/ab"},
		{artifact.Debian, "left", "find index of debian left: this ecosystem has no index by name"},
		{artifact.NPM, "../left", `find index of npm "../left": name "../left" is not a plain relative path`},
		{artifact.Maven, "left", `find index of maven left: name "left" is not group:artifact`},
	}
	r := open(t, m, registry.Options{})
	for _, tt := range tests {
		var got []string
		for address, err := range r.Index(t.Context(), tt.eco, tt.name) {
			if err != nil {
				got = append(got, err.Error())
				continue
			}
			got = append(got, address.URL)
		}
		if diff := cmp.Diff([]string{tt.want}, got); diff != "" {
			t.Errorf("%s %s (-want +got):\n%s", tt.eco, tt.name, diff)
		}
	}
}

// What a client takes by default is read out of Debian's package of it where the client is not installed, once, and only when
// nothing before it served.
func TestClientFile(t *testing.T) {
	calls := 0
	options := registry.Options{ClientFile: func(_ context.Context, pkg, file string) ([]byte, error) {
		calls++
		if pkg == "npm" && file == "usr/share/nodejs/npm/node_modules/npm-registry-fetch/lib/default-opts.js" {
			return []byte("  registry: 'https://default.example/',\n"), nil
		}
		return nil, fmt.Errorf("no package %s", pkg)
	}}
	r := open(t, machine(nil, nil), options)
	hinted := with(npmFile, func(a *artifact.Artifact) { a.Hint = "https://hint.example/x" })
	for address := range r.Addresses(t.Context(), hinted) {
		if address.URL != "https://hint.example/x" {
			t.Errorf("first address %s", address)
		}
		break
	}
	if calls != 0 {
		t.Errorf("the package was fetched though the first address was enough")
	}
	for range 2 {
		if diff := cmp.Diff([]string{"https://default.example/left/-/left-1.0.0.tgz"}, addresses(t, r, npmFile)); diff != "" {
			t.Errorf("addresses (-want +got):\n%s", diff)
		}
	}
	if calls != 1 {
		t.Errorf("the package was fetched %d times, want once", calls)
	}
	got := addresses(t, r, jar)
	want := []string{`error: find a registry for "maven": no setting names one, and no client was found that knows one: no package libmaven3-core-java`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("addresses (-want +got):\n%s", diff)
	}
	if got := addresses(t, r, deb); len(got) != 1 || calls != 2 {
		t.Errorf("Debian's own address was looked for in a Debian package: %q", got)
	}
	program := registry.Options{ClientFile: func(_ context.Context, pkg, file string) ([]byte, error) {
		return []byte("\x00sparse+https://it_is\x01 " + pkg + "/" + file + "sparse+https://index.crates.example/\x00https://"), nil
	}}
	var first string
	for address := range open(t, machine(nil, nil), program).Addresses(t.Context(), crate) {
		first = address.URL
		break
	}
	if want := "https://index.crates.example/config.json"; first != want {
		t.Errorf("a crate is looked for at %q, want %q", first, want)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range r.Addresses(cancelled, wheel) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want that the context was cancelled", err)
		}
	}
}

// To read a client's package a Debian file is fetched. Where its mirror fails, the snapshot service is the next to be asked, whose address
// stands in a package as well: nobody waits for himself, alone or crosswise.
func TestClientFileWhoseOwnFetchAsksOn(t *testing.T) {
	var r *registry.Registry
	var reading sync.Mutex // whoever reads packages reads one list of them
	options := registry.Options{ClientFile: func(ctx context.Context, pkg, file string) ([]byte, error) {
		reading.Lock()
		defer reading.Unlock()
		for range r.Addresses(ctx, deb) { // all of them fail
		}
		return nil, errors.New("the mirror is down")
	}}
	r = open(t, machine(nil, nil), options).At(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	done := make(chan struct{})
	go func() {
		defer close(done)
		var group sync.WaitGroup
		for _, a := range []artifact.Artifact{npmFile, deb, wheel, deb} {
			group.Go(func() {
				for range r.Addresses(context.Background(), a) {
				}
			})
		}
		group.Wait()
	}()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("somebody waits for himself")
	}
}

func TestSnapshot(t *testing.T) {
	m := machine(map[string]string{own: "registries: 1\ndebian: [https://own.example/debian]\nsnapshot: [https://snap.example/]\n"}, nil)
	r := open(t, m, registry.Options{})
	const rest = "/pool/main/l/left/left_1.0~b+c_amd64.deb"
	if diff := cmp.Diff([]string{"https://own.example/debian" + rest}, addresses(t, r, deb)); diff != "" {
		t.Errorf("without a date (-want +got):\n%s", diff)
	}
	dated := r.At(time.Date(2026, 2, 3, 5, 5, 6, 0, time.FixedZone("", 3600)))
	want := []string{"https://own.example/debian" + rest, "https://snap.example/archive/debian/20260203T040506Z" + rest}
	if diff := cmp.Diff(want, addresses(t, dated, deb)); diff != "" {
		t.Errorf("with a date (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"https://own.example/debian" + rest}, addresses(t, r, deb)); diff != "" {
		t.Errorf("At changed its receiver (-want +got):\n%s", diff)
	}
}

func TestAuthorization(t *testing.T) {
	const token = "s3cr3t"
	files := map[string]string{
		own: "registries: 1\nmaven: ['https://reader:${TOKEN}@own.example/maven']\n",
		home + "/.npmrc": "registry=http://plain.example:4873/\n//npm.example/acme/:_authToken=${TOKEN}\n//npm.example/:_auth=b3RoZXI=\n" +
			"//plain.example:4873/:_authToken=plain\n//user.example/:username=u\n//user.example/:_password=cHc=\n",
		home + "/.netrc":             "# c\nmachine net.example login l\n password p\nmacdef init\nmachine no.example login x password y\n\nmachine net2.example login m password q\ndefault login all password all\n",
		home + "/.m2/settings.xml":   `<settings><mirrors><mirror><id>m</id><url>https://mvn.example/repo</url><mirrorOf>central</mirrorOf></mirror></mirrors><servers><server><id>m</id><username>u</username><password>p</password></server></servers></settings>`,
		home + "/.config/uv/uv.toml": "[[index]]\nname = \"in-house\"\nurl = \"https://uv.example/simple\"\n",
	}
	env := map[string]string{"TOKEN": token, "UV_INDEX_IN_HOUSE_USERNAME": "u", "UV_INDEX_IN_HOUSE_PASSWORD": "p", "GOPROXY": "https://g:h@go.example/x,direct"}
	basic := func(user, password string) string {
		req := &http.Request{Header: http.Header{}}
		req.SetBasicAuth(user, password)
		return req.Header.Get("Authorization")
	}
	tests := []struct{ url, want string }{
		{"https://own.example/maven/x", basic("reader", token)},
		{"https://OWN.example:443/other", basic("reader", token)},
		{"http://own.example/maven/x", ""},
		{"https://own.example:8443/maven/x", ""},
		{"https://npm.example/acme/left", "Bearer " + token},
		{"https://npm.example/acmeleft", "Basic b3RoZXI="},
		{"https://npm.example/acme/../left", "Basic b3RoZXI="},
		{"https://evil.npm.example/acme/left", ""},
		{"http://npm.example/acme/left", ""},
		{"http://plain.example:4873/left", "Bearer plain"},
		{"http://plain.example/left", ""},
		{"https://user.example/", basic("u", "pw")},
		{"https://net.example/x", basic("l", "p")},
		{"https://net2.example/x", basic("m", "q")},
		{"http://net.example/x", ""},
		{"https://no.example/x", ""},
		{"https://unknown.example/", ""},
		{"https://mvn.example/repo/x.jar", basic("u", "p")},
		{"https://mvn.example/other/x.jar", ""},
		{"https://uv.example/files/x.whl", basic("u", "p")},
		{"https://go.example/x", basic("g", "h")},
	}
	r := open(t, machine(files, env), registry.Options{})
	for _, tt := range tests {
		u, err := url.Parse(tt.url)
		if err != nil {
			t.Fatal(err)
		}
		got, err := r.Authorization(u)
		if err != nil || got != tt.want {
			t.Errorf("%s: %q, %v; want %q", tt.url, got, err, tt.want)
		}
	}
	for _, a := range []artifact.Artifact{jar, npmFile, goZip, wheel} {
		for address, err := range r.Addresses(t.Context(), a) {
			if text := fmt.Sprintf("%+v %v", address, err); strings.Contains(text, token) || strings.Contains(text, "g:h") {
				t.Errorf("address has a secret: %s", text)
			}
		}
	}
}

// A client's file that cannot be understood stops only what that client is for, and its secrets do not show.
func TestBrokenSettings(t *testing.T) {
	const token = "s3cr3t"
	files := map[string]string{
		home + "/.m2/settings.xml":          "<settings><mirrors>",
		home + "/.config/uv/uv.toml":        "x = [",
		home + "/.npmrc":                    "registry=https://u:" + token + "@:%zz/\n",
		home + "/.config/go/env":            "GOPROXY=ssh://u:" + token + "@a.example\n",
		home + "/.cargo/config.toml":        "[source",
		"/etc/os-release":                   "ID=debian\nVERSION_CODENAME=trixie\n",
		"/etc/apt/sources.list.d/x.sources": "Types: deb\nURIs: http:///x\nSuites: trixie\nComponents: main\n",
	}
	r := open(t, machine(files, nil), registry.Options{})
	for _, a := range []artifact.Artifact{jar, wheel, npmFile, goZip, crate, deb} {
		got := addresses(t, r, a)
		if len(got) != 1 || !strings.HasPrefix(got[0], "error: read ") || strings.Contains(got[0], token) {
			t.Errorf("%s: %q", a.Ecosystem, got)
		}
	}
}

func TestBrokenMirrors(t *testing.T) {
	tests := []struct{ text, want string }{
		{"registries: 2\n", `format 2 (key "registries"), this program reads 1`},
		{"registries: 1\nnmp: []\n", "field nmp not found"},
		{"registries: 1\n---\nregistries: 1\n", "more than one YAML document"},
		{"registries: 1\nnpm: [ftp://a.example, https://]\n", `npm[0] has scheme "ftp", want https, http or file`},
		{"registries: 1\nnpm: [ftp://a.example, https://]\n", `npm[1] names no host`},
		{"registries: 1\nnpm: ['https://{name}.example/']\n", "has braces in its host"},
		{"registries: 1\nnpm: ['https://a.example/?a=b']\n", "has a query"},
		{"registries: 1\nnpm: ['https://a.example/{nam}']\n", "unknown placeholder"},
		{"registries: 1\nnpm: ['https://u:${TOKEN}@a.example']\n", "${TOKEN} is not set"},
		{"registries: 1\nnpm: ['https://u:s3cr3t@a.example:port']\n", "is not a URL"},
		{"registries: 1\nnpm-scopes: {acme: []}\n", `"acme" is not a scope`},
		{"registries: 1\nfulcio: ftp://a.example\n", `fulcio has scheme "ftp", want https, http or file`},
		{"registries: 1\nfulcio: 'https://u:s3cr3t@a.example'\n", "fulcio has credentials"},
		{"registries: 1\ntimestamp: 'https://a.example/{name}'\n", "timestamp has a placeholder"},
	}
	for _, tt := range tests {
		_, err := registry.Open(machine(map[string]string{own: tt.text}, nil), registry.Options{})
		if !errors.As(err, new(*registry.SettingsError)) || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%q: error %v, want %q", tt.text, err, tt.want)
		}
	}
	if _, err := registry.Open(machine(nil, map[string]string{"HEADWATER_REGISTRIES": "/none.yaml"}), registry.Options{}); err == nil {
		t.Error("a named file that does not exist is no error")
	}
}

func TestBases(t *testing.T) {
	r := open(t, machine(map[string]string{own: "registries: 1\nnpm: [https://own.example]\n", "/etc/npmrc": "registry=https://client.example\n"}, nil), registry.Options{})
	got, err := r.Bases(t.Context(), registry.NPM)
	want := []registry.Base{{URL: "https://own.example", From: "npm[0] in " + own}, {URL: "https://client.example", From: "registry in /etc/npmrc"}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("bases (-want +got):\n%s%v", diff, err)
	}
	var unknown *registry.UnknownError
	if _, err := r.Bases(t.Context(), registry.PyPI); !errors.As(err, &unknown) || !strings.Contains(unknown.Hint(), `"pypi"`) {
		t.Errorf("error %v, want an UnknownError with a hint", err)
	}
}

// Whose word counts, the operator's file alone says.
func TestAuthority(t *testing.T) {
	r := open(t, machine(map[string]string{own: "registries: 1\nonly: true\ntimestamp: 'https://u:${PASSWORD}@time.example/tsr/'\n"}, map[string]string{"PASSWORD": "s3cr3t"}), registry.Options{})
	got, ok := r.Authority(registry.Timestamp)
	if diff := cmp.Diff(registry.Base{URL: "https://time.example/tsr", From: "timestamp in " + own}, got); diff != "" || !ok {
		t.Errorf("(-want +got):\n%s%v", diff, ok)
	}
	u, err := url.Parse(got.URL)
	if err != nil {
		t.Fatal(err)
	}
	if header, err := r.Authorization(u); err != nil || !strings.HasPrefix(header, "Basic ") {
		t.Errorf("it is asked with %q, %v", header, err)
	}
	if _, ok := r.Authority(registry.Fulcio); ok {
		t.Error("one that is not set is known")
	}
}

func TestProxy(t *testing.T) {
	r := open(t, machine(nil, map[string]string{"https_proxy": "http://proxy.example:3128", "NO_PROXY": "direct.example"}), registry.Options{})
	for raw, want := range map[string]string{"https://a.example": "http://proxy.example:3128", "https://direct.example": "", "http://a.example": ""} {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		proxy, err := r.Proxy(&http.Request{URL: u})
		if got := fmt.Sprint(proxy); err != nil || got != want && !(want == "" && proxy == nil) {
			t.Errorf("%s: proxy %v, %v; want %q", raw, proxy, err, want)
		}
	}
}

// A caching proxy that is set for apt alone is used for apt's archives alone.
func TestAptProxy(t *testing.T) {
	sources := "Types: deb\nURIs: http://deb.example/debian https://tls.example/debian\nSuites: trixie\nComponents: main\n"
	tests := []struct {
		conf string
		want [3]string // for an archive over http, one over https, another host
	}{
		{"", [3]string{"http://env.example:1", "<nil>", "http://env.example:1"}},
		{"Acquire::http::Proxy \"http://apt.example:3142\"; // c\n", [3]string{"http://apt.example:3142", "http://apt.example:3142", "http://env.example:1"}},
		{"# c\nAcquire { Retries \"3\"; http { /* ; */ Proxy \"http://apt.example:3142\"; }; https::Proxy \"DIRECT\"; };\n",
			[3]string{"http://apt.example:3142", "<nil>", "http://env.example:1"}},
		{"Acquire { http { Proxy \"http://apt", [3]string{"http://env.example:1", "<nil>", "http://env.example:1"}},
	}
	for _, tt := range tests {
		r := open(t, machine(map[string]string{
			"/etc/os-release": "ID=debian\nVERSION_CODENAME=trixie\n", "/etc/apt/sources.list.d/d.sources": sources, "/etc/apt/apt.conf.d/02proxy": tt.conf,
		}, map[string]string{"http_proxy": "http://env.example:1"}), registry.Options{})
		var got [3]string
		for i, raw := range []string{"http://deb.example/x", "https://tls.example/x", "http://other.example/x"} {
			u, err := url.Parse(raw)
			if err != nil {
				t.Fatal(err)
			}
			proxy, err := r.Proxy(&http.Request{URL: u})
			if err != nil {
				t.Fatal(err)
			}
			got[i] = "<nil>"
			if proxy != nil {
				got[i] = proxy.String()
			}
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.conf, diff)
		}
	}
}

func TestRedact(t *testing.T) {
	for raw, want := range map[string]string{
		"https://u:p@a.example/x?sig=1#f": "https://a.example/x?…",
		"https://a.example/x":             "https://a.example/x",
		"https://u:p@a.example:x/":        "(address that does not parse)",
	} {
		if got := registry.Redact(raw); got != want {
			t.Errorf("%s: %s, want %s", raw, got, want)
		}
	}
}

func TestFindCrate(t *testing.T) {
	a := with(crate, func(a *artifact.Artifact) { a.Hash = nix.Sum(nix.SHA256, nil) })
	tests := []struct{ dl, want string }{
		{"https://dl.example/crates", "https://dl.example/crates/Left/1.0.0/download"},
		{"https://dl.example/{prefix}/{lowerprefix}/{crate}-{version}-{sha256-checksum}", "https://dl.example/Le/ft/le/ft/Left-1.0.0-" + a.Hash.Base16()},
		{"/api/{crate}", "https://i.example/api/Left"},
		{"http://dl.example", "error"},
		{"file:///etc", "error"},
		{"", "error"},
	}
	r := open(t, machine(map[string]string{own: "registries: 1\nonly: true\ncargo: [https://i.example/x]\n"}, nil), registry.Options{})
	for address := range r.Addresses(t.Context(), a) {
		for _, tt := range tests {
			got, err := address.Find(registry.Document{URL: address.URL, Body: []byte(`{"dl":"` + tt.dl + `"}`)})
			if err != nil {
				got = "error"
			}
			if got != tt.want {
				t.Errorf("dl %q: %s, %v; want %s", tt.dl, got, err, tt.want)
			}
		}
	}
}

// Whatever stands in a setting, an address that comes out is of a known scheme and shows no user part.
func FuzzSettings(f *testing.F) {
	f.Add("registry=https://u:p@a.example/\n@acme:registry=https://b.example\n//b.example/:_authToken=x\n")
	f.Add("[global]\nindex-url = https://u:p@a.example/simple\n  more\n[install]\nfind-links: /x y\n")
	f.Add("GOPROXY=https://a.example|file:///x,off\n")
	f.Add("deb [signed-by=x] http://a.example/debian trixie main\n")
	f.Add("Types: deb\nURIs: http://a.example\nSuites: trixie\nComponents: main\n\nTypes: deb\n")
	f.Add("<settings><mirrors><mirror><mirrorOf>*</mirrorOf><url>https://a.example</url></mirror></mirrors></settings>")
	f.Add("[[index]]\nurl = \"https://a.example\"\n[source.crates-io]\nreplace-with = \"x\"\n[source.x]\nregistry = \"sparse+https://a.example\"\n")
	f.Add("Acquire { http { Proxy \"http://a.example\"; }; };")
	f.Add("machine a.example login b password c\nmacdef x\n\nmachine\n")
	f.Add("registries: 1\nnpm: ['https://a.example/{file}']\npypi: [/x]\n")
	f.Fuzz(func(t *testing.T, text string) {
		files := map[string]string{"/etc/os-release": "ID=debian\nVERSION_CODENAME=trixie\n"}
		for _, name := range []string{home + "/.npmrc", "/etc/pip.conf", home + "/.config/go/env", "/etc/apt/sources.list", "/etc/apt/sources.list.d/a.sources", "/etc/apt/apt.conf",
			home + "/.m2/settings.xml", home + "/.config/uv/uv.toml", home + "/.cargo/config.toml", home + "/.netrc"} {
			files[name] = text
		}
		check := func(r *registry.Registry) {
			for _, a := range []artifact.Artifact{goZip, npmFile, scoped, wheel, jar, deb, secDeb, crate} {
				for address, err := range r.Addresses(t.Context(), a) {
					if err != nil {
						continue
					}
					u, err := url.Parse(address.URL)
					if err != nil {
						t.Fatalf("address %q: %v", address.URL, err)
					}
					if u.User != nil || !slices.Contains([]string{"https", "http", "file"}, u.Scheme) {
						t.Errorf("address %q", address.URL)
					}
					if _, err := r.Authorization(u); err != nil {
						t.Errorf("authorization for %s: %v", address.URL, err)
					}
					if _, err := r.Proxy(&http.Request{URL: u}); err != nil {
						t.Errorf("proxy for %s: %v", address.URL, err)
					}
				}
			}
		}
		check(open(t, machine(files, nil), registry.Options{}))
		if r, err := registry.Open(machine(map[string]string{own: text}, nil), registry.Options{}); err == nil {
			check(r)
		}
	})
}

// An artifact that a recipe has another place for is asked for there, and by hash at the operator's mirrors; others are where they were.
func TestReplacing(t *testing.T) {
	known := npmFile
	known.Hash = nix.Sum(nix.SHA256, nil)
	for name, c := range map[string]struct {
		place, only string
		a           artifact.Artifact
		want        []string
	}{
		"a place":         {"https://old.example/left.tgz", "false", npmFile, []string{"https://old.example/left.tgz"}},
		"a known hash":    {"https://old.example/left.tgz", "false", known, []string{"https://cache.example/sha256/" + known.Hash.Base16(), "https://old.example/left.tgz"}},
		"only mirrors":    {"https://old.example/left.tgz", "true", npmFile, []string{`error: https://old.example/left.tgz is not asked, since registries.yaml says "only"`}},
		"a file":          {"file:///recipe/left.tgz", "true", npmFile, []string{"file:///recipe/left.tgz"}},
		"another package": {"https://old.example/left.tgz", "true", scoped, []string{"https://npm.example/@acme/left/-/left-1.0.0.tgz"}},
	} {
		settings := "registries: 1\nonly: " + c.only + "\ncontent: [https://cache.example]\nnpm: [https://npm.example]\n"
		r := open(t, machine(map[string]string{home + "/.config/headwater/registries.yaml": settings}, nil), registry.Options{})
		r = r.Replacing(func(a artifact.Artifact) (registry.Address, bool) {
			return registry.Address{URL: c.place, From: "test"}, a.Name == npmFile.Name
		}).At(time.Time{})
		if diff := cmp.Diff(c.want, addresses(t, r, c.a)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}
