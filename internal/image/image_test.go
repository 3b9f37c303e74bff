package image_test

import (
	"errors"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"pgregory.net/rapid"

	"headwater/internal/image"
	"headwater/internal/nix"
	"headwater/internal/store"
)

func TestFileSystem(t *testing.T) {
	s := openStore(t)
	r := root(t, s)
	comp := install(t, s, "comp", tree{"run*": "go", "lib/a": "A", "lib/b": "-> a", "more/x": "hidden", "empty/": ""})
	env := install(t, s, "env", tree{"bin/python": "-> /usr/bin/sh", "cfg": "home is @self@"})
	other := install(t, s, "other", tree{"bin/tool*": "run " + string(comp) + " by " + string(env)}, comp, env)
	sp := spec(r,
		app("/app", comp, ""), app("/app/more", other, "bin"), app("/usr/local/lib/x", comp, "lib"), app("/bin/tool", other, "bin/tool"),
		app("/usr/old/y", comp, "lib/a"), app("/opt/link", comp, "lib/b"),
		image.Entry{At: "/opt/venv", Path: env, Component: "env", Stratum: image.Dependencies},
	)
	sp.Links = map[string]string{"/usr/share/doc": "/app", "/app/now": "later", "/data/gone": "x"}
	sp.Volumes = []string{"/data", "/app/empty"}
	got := list(t, build(t, s, sp, image.Options{}))
	want := map[string][]string{
		"runtime root": {
			"0777 0:0 /bin -> usr/bin", "0755 0:0 /etc/", "0644 0:0 /etc/hosts ",
			"0644 0:0 /etc/passwd root:x:0:0::/root:/bin/sh\nbuild:x:1000:100::/home/build:/bin/sh\n",
			"0777 0:0 /lib -> usr/lib", "0777 0:0 /lib64 -> usr/lib64", "0777 0:0 /sbin -> usr/sbin",
			"0755 0:0 /usr/", "0755 0:0 /usr/bin/", "0755 0:0 /usr/bin/sh a shell", "0755 0:0 /usr/lib64/", "0755 0:0 /usr/lib64/ld.so loader",
			"0755 0:0 /usr/local/", "0755 0:0 /usr/share/",
		},
		"dependencies: env": {
			"0755 0:0 /nix/", "0755 0:0 /nix/store/", "0755 0:0 " + string(env) + "/", "0755 0:0 " + string(env) + "/bin/",
			"0777 0:0 " + string(env) + "/bin/python -> /usr/bin/sh", "0644 0:0 " + string(env) + "/cfg home is " + string(env),
			"0755 0:0 /opt/", "0755 0:0 /opt/venv/", "0755 0:0 /opt/venv/bin/", "0777 0:0 /opt/venv/bin/python -> /usr/bin/sh",
			"0644 0:0 /opt/venv/cfg = " + string(env) + "/cfg",
		},
		"application": {
			"0755 0:0 /app/", "0755 0:0 /app/lib/", "0644 0:0 /app/lib/a A", "0777 0:0 /app/lib/b -> a", "0755 0:0 /app/more/",
			"0755 0:0 /app/more/tool run " + string(comp) + " by " + string(env), "0755 0:0 /app/run go",
			"0755 0:0 /nix/", "0755 0:0 /nix/store/", "0755 0:0 " + string(comp) + "/", "0755 0:0 " + string(comp) + "/empty/", "0755 0:0 " + string(comp) + "/lib/",
			"0644 0:0 " + string(comp) + "/lib/a = /app/lib/a", "0777 0:0 " + string(comp) + "/lib/b -> a", "0755 0:0 " + string(comp) + "/more/",
			"0644 0:0 " + string(comp) + "/more/x hidden", "0755 0:0 " + string(comp) + "/run = /app/run",
			"0755 0:0 /opt/", "0644 0:0 /opt/link = /app/lib/a", "0755 0:0 /usr/", "0755 0:0 /usr/bin/", "0755 0:0 /usr/bin/tool = /app/more/tool",
			"0755 0:0 /usr/local/", "0755 0:0 /usr/local/lib/", "0755 0:0 /usr/local/lib/x/", "0644 0:0 /usr/local/lib/x/a = /app/lib/a",
			"0777 0:0 /usr/local/lib/x/b -> a", "0755 0:0 /usr/old/", "0644 0:0 /usr/old/y = /app/lib/a",
		},
		"links and folders": {
			"0755 0:0 /app/", "0755 1000:1000 /app/empty/", "0777 0:0 /app/now -> later", "0755 1000:1000 /data/", "0755 0:0 /dev/",
			"0755 0:0 /home/", "0755 1000:1000 /home/build/", "0755 0:0 /nix/", "0755 0:0 /nix/store/", "0555 0:0 /proc/", "0755 1000:1000 /run/",
			"0555 0:0 /sys/", "1777 0:0 /tmp/", "0755 0:0 /usr/", "0755 0:0 /usr/share/", "0777 0:0 /usr/share/doc -> /app", "0755 0:0 /var/", "1777 0:0 /var/tmp/",
		},
	}
	for _, lines := range want {
		slices.SortFunc(lines, byPath)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// byPath sorts lines as layers are.
func byPath(a, b string) int {
	at := func(line string) string { return strings.TrimSuffix(strings.Fields(line)[2], "/") }
	return strings.Compare(at(a), at(b))
}

func TestConfig(t *testing.T) {
	s := openStore(t)
	sp := spec(root(t, s))
	sp.Ports, sp.Volumes, sp.Cmd, sp.Workdir = []int{9000, 80}, []string{"/data"}, []string{"serve"}, "/app"
	config, err := build(t, s, sp, image.Options{}).ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	want := v1.Config{
		User: "1000:1000", WorkingDir: "/app", Entrypoint: []string{"/app/run"}, Cmd: []string{"serve"}, Env: []string{"A=1", "B=2"},
		Labels: map[string]string{"x": "y"}, ExposedPorts: map[string]struct{}{"80/tcp": {}, "9000/tcp": {}}, Volumes: map[string]struct{}{"/data": {}},
	}
	if diff := cmp.Diff(want, config.Config); diff != "" {
		t.Error(diff)
	}
	if !config.Created.Equal(time.Unix(0, 0)) {
		t.Errorf("an image without a date is of %v", config.Created)
	}
	sp.Created = time.Unix(1700000000, 0)
	if config, err = build(t, s, sp, image.Options{}).ConfigFile(); err != nil || !config.Created.Equal(sp.Created) {
		t.Errorf("an image of %v is of %v: %v", sp.Created, config.Created, err)
	}
}

// What a service's lock names is in layers of its own, wherever a component has it.
func TestStrata(t *testing.T) {
	s := openStore(t)
	r := root(t, s)
	lib := install(t, s, "lib", tree{"l": "library"})
	node := install(t, s, "node", tree{"bin/node*": "interpreter"})
	web := install(t, s, "web", tree{
		"server.js": "import " + string(lib), "node_modules/a/index.js": "a", "node_modules/a/node_modules/b/index.js": "b", "packages/p/node_modules/c.js": "c",
		"packages/q/node_modules/d.js": "d",
	}, lib)
	q := install(t, s, "q", tree{"q.js": "q"})
	sp := spec(r, app("/app", web, ""), app("/app/packages/q", q, ""), image.Entry{At: "/usr/local/bin/node", Path: node, Sub: "bin/node", Component: "nodejs", Stratum: image.Toolchain})
	sp.StratumOf = func(p nix.StorePath) image.Stratum {
		if p == lib {
			return image.Dependencies
		}
		return image.Application
	}
	var got []string
	img := build(t, s, sp, image.Options{})
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	byTitle := list(t, img)
	for _, h := range config.History {
		got = append(got, "# "+h.Comment)
		for _, line := range byTitle[h.Comment] {
			fields := strings.Fields(line)
			if h.Comment != "runtime root" && h.Comment != "links and folders" && !strings.HasSuffix(fields[2], "/") {
				got = append(got, fields[2])
			}
		}
	}
	want := []string{
		"# runtime root", "# toolchain", "/usr/local/bin/node", "# dependencies", string(lib) + "/l", "# dependencies: node_modules",
		"/app/node_modules/a/index.js", "/app/node_modules/a/node_modules/b/index.js", "/app/packages/p/node_modules/c.js",
		"# application", "/app/packages/q/q.js", "/app/server.js", "# links and folders",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestBadLayouts(t *testing.T) {
	s := openStore(t)
	r := root(t, s)
	comp := install(t, s, "comp", tree{"dir/x": "x", "link": "-> dir", "loop": "-> loop", "away": "-> /etc/passwd"})
	for _, c := range []struct {
		name    string
		entries []image.Entry
		want    string
	}{
		{"nothing there", []image.Entry{app("/app", comp, "nowhere")}, "no such file"},
		{"inside of a link", []image.Entry{app("/app", comp, ""), app("/app/link/y", comp, "dir")}, "stands inside /app/link, which is no folder"},
		{"inside of a file", []image.Entry{app("/app", comp, ""), app("/app/dir/x/y", comp, "dir")}, "stands inside /app/dir/x, which is no folder"},
		{"the kernel's", []image.Entry{app("/proc/x", comp, "dir")}, "has its own /proc"},
		{"a link to itself", []image.Entry{app("/app", comp, "loop")}, "too many links"},
		{"a link that leads out", []image.Entry{app("/app", comp, "away")}, "/etc/passwd"},
	} {
		_, err := image.Make(t.Context(), spec(r, c.entries...), image.Options{Store: s, Layers: openLayers(t, s)})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	sp := spec(r)
	sp.User = "me"
	if _, err := image.Make(t.Context(), sp, image.Options{Store: s, Layers: openLayers(t, s)}); !errors.As(err, new(*image.SpecError)) {
		t.Errorf("user %q: %v", sp.User, err)
	}
}

// The same inputs make the same bytes: whatever the order, the workers, the store and what was packed before.
func TestSameDigest(t *testing.T) {
	trees := []tree{
		{"run*": "go", "lib/a": strings.Repeat("a line\n", 20_000)}, {"x": "y", "node_modules/m/i.js": "m"}, {"é/ü": "not ASCII", strings.Repeat("long/", 30) + "name": "deep"},
	}
	stores := []*store.Store{openStore(t), openStore(t)}
	var paths []nix.StorePath
	for _, s := range stores {
		paths = []nix.StorePath{root(t, s)}
		for _, files := range trees {
			paths = append(paths, install(t, s, "comp", files))
		}
	}
	rapid.Check(t, func(t2 *rapid.T) {
		compression := rapid.SampledFrom([]image.Compression{image.Gzip, image.Zstd}).Draw(t2, "compression")
		links := map[string]string{}
		for _, name := range rapid.SliceOfN(rapid.StringMatching(`[a-z]{1,3}`), 0, 4).Draw(t2, "links") {
			links["/l/"+name] = name
		}
		volumes := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"/data", "/srv/x", "/app/0/v", "/home/build"}), 0, 4, rapid.ID[string]).Draw(t2, "volumes")
		digest := func(s *store.Store) v1.Hash {
			var entries []image.Entry
			for i, p := range paths[1:] {
				entries = append(entries, app(path.Join("/app", string(rune('0'+i))), p, ""), image.Entry{At: "/opt/" + string(rune('0'+i)), Path: p, Component: "c", Stratum: image.Dependencies})
			}
			sp := spec(paths[0], rapid.Permutation(entries).Draw(t2, "order")...)
			sp.Links, sp.Volumes = links, rapid.Permutation(volumes).Draw(t2, "order of volumes")
			if rapid.Bool().Draw(t2, "packed anew") {
				if err := os.RemoveAll(filepath.Join(s.Dir(), "nix/var/headwater/layers")); err != nil {
					t.Fatal(err)
				}
			}
			l, err := image.OpenLayers(t.Context(), s)
			if err != nil {
				t.Fatal(err)
			}
			img, err := image.Make(t.Context(), sp, image.Options{Store: s, Layers: l, Compression: compression, Packing: rapid.IntRange(1, 5).Draw(t2, "workers")})
			if err := errors.Join(err, l.Close()); err != nil {
				t.Fatal(err)
			}
			return img.Hash
		}
		if a, b := digest(stores[0]), digest(stores[1]); a != b {
			t.Errorf("%s and %s", a, b)
		}
	})
}

// The bytes are pinned: whoever changes them, by code or by a library, says so here and in image.packing.
func TestGoldenDigest(t *testing.T) {
	s := openStore(t)
	sp := spec(root(t, s), app("/app", install(t, s, "comp", tree{"run*": "go", "lib/a": strings.Repeat("a line\n", 20_000)}), ""))
	for compression, want := range map[image.Compression]string{
		image.Gzip: "sha256:195fd01206161add2c38f25692b428ee6b1e0b118d8ed41c1a25b8804292f9b7", image.Zstd: "sha256:3d377cc1c72f79c97e214e3d1c703d3d74d7fe857db3e726a7350b7aaf5df9b5",
	} {
		if got := build(t, s, sp, image.Options{Compression: compression}).Hash.String(); got != want {
			t.Errorf("%s: digest %s, want %s", compression, got, want)
		}
	}
}

// A change of the application's code changes its layer alone.
func TestOnlyTheApplicationChanges(t *testing.T) {
	s := openStore(t)
	r := root(t, s)
	env := install(t, s, "env", tree{"lib/x.py": "dependency"})
	layers := func(code string) []string {
		web := install(t, s, "app", tree{"main.js": code, "node_modules/m/index.js": "m"})
		img := build(t, s, spec(r, app("/app", web, ""), image.Entry{At: "/opt/venv", Path: env, Component: "env", Stratum: image.Dependencies}), image.Options{})
		m, err := img.Manifest()
		if err != nil {
			t.Fatal(err)
		}
		var list []string
		for _, l := range m.Layers {
			list = append(list, l.Digest.Hex)
		}
		return list
	}
	before, after := layers("one"), layers("two")
	var changed []int
	for i := range before {
		if before[i] != after[i] {
			changed = append(changed, i)
		}
	}
	if len(before) != 5 || !slices.Equal(changed, []int{3}) {
		t.Errorf("of %d layers these changed: %v, want the fourth of five", len(before), changed)
	}
}
