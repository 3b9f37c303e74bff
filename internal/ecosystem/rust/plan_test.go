package rust_test

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/ecosystem/rust"
	"headwater/internal/plan"
	"headwater/internal/recipe"
)

// planned plans a workspace of a server with two programs, a library and a page, with a Dockerfile of a stage that builds.
func planned(t *testing.T, from, run, copied string, more ...string) *plan.Plan {
	t.Helper()
	files := map[string]string{
		"Dockerfile":          "FROM " + from + " AS build\nWORKDIR /src\nCOPY . .\n" + run + "\nFROM debian:trixie-slim\n" + copied + "\nEXPOSE 80\nCMD [\"/app/server\"]\n",
		"Cargo.toml":          "[workspace]\nmembers = [\"crates/*\", \"page\"]\ndefault-members = [\"crates/server\"]\n",
		"Cargo.lock":          "version = 4\n" + crate("openssl-sys", "0.9.1") + crate("wasm-bindgen", "0.2.100"),
		"crates/a/Cargo.toml": "[package]\nname = \"a\"\n", "crates/a/src/lib.rs": "",
		"crates/server/Cargo.toml":  "[package]\nname = \"server\"\n[[bin]]\nname = \"admin\"\npath = \"src/tool.rs\"\n",
		"crates/server/src/main.rs": "", "crates/server/src/tool.rs": "",
		"page/Cargo.toml": "[package]\nname = \"page\"\n[lib]\ncrate-type = [\"cdylib\"]\n", "page/src/lib.rs": "",
	}
	for i := 0; i+1 < len(more); i += 2 {
		files[more[i]] = more[i+1]
	}
	fsys, names := fstest.MapFS{}, []string(nil)
	for name, text := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
		names = append(names, name)
	}
	p, err := plan.New(plan.NewTree(fsys, names), plan.Options{Name: "x", Release: "1.0", Recognisers: []plan.Recogniser{rust.Recogniser{}}})
	if err != nil {
		t.Fatal(err)
	}
	if p.Recipe == nil {
		t.Fatalf("no recipe: %+v", p.Notes)
	}
	return p
}

// Programs are found where cargo puts them, whichever way it is told what and where.
func TestPlanPrograms(t *testing.T) {
	t.Parallel()
	const copied = "COPY --from=build /src/target/release/server /app/server"
	for name, tt := range map[string]struct {
		run, copied string
		options     map[string]any
	}{
		"default":        {"RUN cargo build --release --locked", copied, map[string]any{}},
		"one program":    {"RUN cargo build -r --bin server --features=x,y -F z", copied, map[string]any{"bins": []string{"server"}, "features": []string{"x", "y", "z"}}},
		"a package":      {"RUN cargo +stable build --release -pserver --no-default-features", copied, map[string]any{"packages": []string{"server"}, "no-default-features": true}},
		"in its folder":  {"RUN cd crates/server && cargo build --release", copied, map[string]any{"packages": []string{"server"}}},
		"by manifest":    {"RUN cargo build --release --manifest-path crates/server/Cargo.toml", copied, map[string]any{"packages": []string{"server"}}},
		"whole":          {"RUN cargo build --release --workspace", copied, map[string]any{"packages": []string{"a", "page", "server"}}},
		"another folder": {"ENV CARGO_TARGET_DIR=/out\nRUN cargo build --release", "COPY --from=build /out/release/server /app/server", map[string]any{}},
		"a cache":        {"RUN --mount=type=cache,target=/src/target cargo build --release && cp target/release/server /x", "COPY --from=build /x /app/server", map[string]any{}},
		"debug":          {"RUN cargo build", "COPY --from=build /src/target/debug/server /app/server", map[string]any{"profile": "dev"}},
		"a profile":      {"RUN cargo build --profile dist", "COPY --from=build /src/target/dist/server /app/server", map[string]any{"profile": "dist"}},
		"musl":           {"RUN cargo build --release --target x86_64-unknown-linux-musl", "COPY --from=build /src/target/x86_64-unknown-linux-musl/release/server /app/server", map[string]any{}},
		"install":        {"RUN cargo install --path crates/server --root /usr", "COPY --from=build /usr/bin/server /app/server", map[string]any{"packages": []string{"server"}}},
		"chef":           {"RUN cargo install cargo-chef && cargo chef prepare && cargo chef cook --release && cargo build --release", copied, map[string]any{}},
		"chef, staged":   {"RUN cargo chef prepare --recipe-path r.json\nFROM rust:1.80-slim AS two\nWORKDIR /src\nCOPY --from=build /src/r.json r.json\nRUN cargo chef cook --recipe-path r.json\nCOPY . .\nRUN cargo build --release", strings.Replace(copied, "build", "two", 1), map[string]any{}},
		"below":          {"WORKDIR /src/no/folder\nRUN cargo build --release -p server", copied, map[string]any{"packages": []string{"server"}}},
		"at the top":     {"RUN rm -rf /src\nWORKDIR /\nCOPY . .\nRUN set -eux; cargo build --release ${EXTRA}", "COPY --from=build /target/release/server /app/server", map[string]any{}},
		"a first build":  {"RUN cargo build --release && rm -r target/release\nRUN cargo build --release --all-features", copied, map[string]any{"all-features": true}},
	} {
		p := planned(t, "rust:1.80-slim", tt.run, tt.copied)
		got := map[string]recipe.Component{}
		for n, c := range p.Recipe.Components {
			got[n] = recipe.Component{Ecosystem: c.Ecosystem, Root: c.Root, Options: c.Options}
		}
		layout := p.Recipe.Package.Layout["/app/server"]
		component, inside, _ := strings.Cut(layout, ":")
		want := map[string]recipe.Component{component: {Ecosystem: "rust", Root: "rust", Options: tt.options}}
		if diff := cmp.Diff(want, got); diff != "" || inside != "bin/server" || p.Uncertain() {
			t.Errorf("%s: layout %q, questions %+v, components (-want +got):\n%s", name, layout, p.Questions, diff)
		}
	}
}

// The suite is the one that has the Rust that is asked for; crates bring what they need of the system.
func TestPlanRoot(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		from, toolchain, suite string
		questions              int
	}{
		"an old one":      {"rust:1.70", "", "trixie", 0},
		"none":            {"rust:slim", "", "trixie", 0},
		"the image's":     {"rust:1.89-slim", "", "forky", 0},
		"the toolchain's": {"rust:slim", "[toolchain]\nchannel = \"1.90.0\"\n", "forky", 0},
		"a channel":       {"rust:slim", "[toolchain]\nchannel = \"stable\"\n", "trixie", 0},
		"a coming one":    {"rust:slim", "[toolchain]\nchannel = \"1.999\"\n", "forky", 1},
	} {
		p := planned(t, tt.from, "RUN cargo build --release", "COPY --from=build /src/target/release/server /app/server", "rust-toolchain.toml", tt.toolchain)
		r := p.Recipe.Roots["rust"]
		asked := 0
		for _, q := range p.Questions {
			if q.About == "roots" {
				asked++
			}
		}
		told := slices.ContainsFunc(p.Remarks, func(r plan.Remark) bool { return strings.Contains(r.Text, "the newest Rust") })
		if told != (name == "none" || name == "a channel") {
			t.Errorf("%s: that the image has the newest is told: %v", name, told)
		}
		if diff := cmp.Diff([]string{"cargo", "libssl-dev", "pkg-config", "rustc"}, r.Packages); diff != "" || r.Suites[0] != tt.suite || asked != tt.questions {
			t.Errorf("%s: suites %v, questions %+v, packages %s", name, r.Suites, p.Questions, diff)
		}
	}
}

// wasm-pack's folder is made by cargo and wasm-bindgen, for the crate whose folder it is called in.
func TestPlanWasmPack(t *testing.T) {
	t.Parallel()
	p := planned(t, "rust:1.80", "RUN cd page && wasm-pack build --target web --release --out-dir ../www/pkg", "COPY --from=build /src/www/pkg /www/pkg\nCOPY page/src /app/server")
	component, inside, _ := strings.Cut(p.Recipe.Package.Layout["/www/pkg"], ":")
	c := p.Recipe.Components[component]
	want := map[string]any{"lib": true, "packages": []string{"page"}, "target": "wasm32-unknown-unknown", "bindgen": "web"}
	if diff := cmp.Diff(want, c.Options); diff != "" || c.Dir != "page" || inside != "pkg" {
		t.Errorf("component %q %+v, layout %v: %s", component, c, p.Recipe.Package.Layout, diff)
	}
}

// Variables that the sources ask for while they are compiled are kept, and that for the version is the release.
func TestPlanVariables(t *testing.T) {
	t.Parallel()
	p := planned(t, "rust:1.80", "ARG SHOP_VERSION\nARG STRIPES=7\nARG OTHER=1\nENV HOME=/root\nRUN cargo build --release", "COPY --from=build /src/target/release/server /app/server",
		"crates/server/build.rs", "fn main() { std::env::var(\"STRIPES\"); std::env::var(\"HOME\"); }", "crates/server/src/main.rs", "const V: &str = env!(\"SHOP_VERSION\"); fn main() { std::env::var(\"OTHER\"); }")
	if diff := cmp.Diff(map[string]string{"SHOP_VERSION": "1.0", "STRIPES": "7"}, p.Recipe.Components["server"].Env); diff != "" {
		t.Error(diff)
	}
}

// What cannot be known is asked.
func TestPlanAsks(t *testing.T) {
	t.Parallel()
	const copied = "COPY --from=build /src/target/release/server /app/server"
	for name, tt := range map[string]struct{ run, ask string }{
		"no manifest":   {"RUN cd /other && cargo build --release", "no Cargo.toml of the tree stands"},
		"trunk":         {"RUN cargo build --release && trunk build", "trunk bundles"},
		"a debug build": {"RUN cargo build && mv target/debug target/release", "compiled for development"},
		"a task":        {"RUN cargo build --release && cargo xtask dist", "cargo xtask dist"},
		"another":       {"RUN cargo build --release && cargo build --release --target wasm32-wasip1", "wasm32-wasip1"},
	} {
		p := planned(t, "rust:1.80", tt.run, copied)
		var all strings.Builder
		for _, q := range p.Questions {
			all.WriteString(q.Ask + "\n")
		}
		if !strings.Contains(all.String(), tt.ask) {
			t.Errorf("%s: asked %q, want a question with %q", name, all.String(), tt.ask)
		}
	}
}
