package golang_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/ecosystem/golang"
	"headwater/internal/plan"
	"headwater/internal/recipe"
)

// planned plans a tree of one image, which builds in a stage and ships what stands at /out or where copy says.
func planned(t *testing.T, image, run, copied string, files map[string]string) *plan.Plan {
	t.Helper()
	fsys := fstest.MapFS{"Dockerfile": {Data: []byte("FROM " + image + " AS build\nWORKDIR /src\nCOPY . .\nRUN " + run +
		"\nFROM debian:trixie\nCOPY --from=build " + copied + " /usr/local/bin/app\nCMD [\"/usr/local/bin/app\"]\n")}}
	for name, text := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	p, err := plan.New(plan.NewTree(fsys, slices.Collect(maps.Keys(fsys))), plan.Options{
		Name: "shop", Release: "1", Recognisers: []plan.Recogniser{golang.Recogniser{}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Folders that stand in for modules go along with what a program needs; a workspace may need any.
func TestRecogniseReplacedModules(t *testing.T) {
	t.Parallel()
	tree := map[string]string{
		"go.mod": "module shop.example/app\n\ngo 1.25\n\nrequire shop.example/own v0.0.0\n\nreplace shop.example/own => ./libs/own\n\nreplace shop.example/other => ./libs/other\n", "go.sum": "",
		"main.go": "package main\n\nimport _ \"shop.example/own\"\n\nfunc main() {}\n", "libs/own/go.mod": "module shop.example/own\n", "libs/own/own.go": "package own\n", "libs/other/go.mod": "module shop.example/other\n",
	}
	src := func() []string {
		return planned(t, "golang:1.25-alpine", "CGO_ENABLED=0 go build -o /out/app .", "/out/app", tree).Recipe.Components["app"].Src
	}
	if diff := cmp.Diff([]string{"go.mod", "go.sum", "libs/own", "*.go"}, src()); diff != "" {
		t.Error(diff)
	}
	tree["go.work"] = "go 1.25\n\nuse .\n"
	if diff := cmp.Diff([]string{"**"}, src()); diff != "" {
		t.Error(diff)
	}
}

// What go build is told becomes a component: packages, flags, cgo, and where the program stands, however it is called.
func TestRecogniseBuild(t *testing.T) {
	t.Parallel()
	tree := map[string]string{
		"go.mod": "module shop.example/app/v2\n\ngo 1.25.3\n", "go.sum": "", "main.go": "package main\n\nimport _ \"shop.example/app/v2/lib\"\n\nfunc main() {}\n",
		"lib/lib.go": "package lib\n", "cmd/tool/tool.go": "package main\n\nfunc main() {}\n", "web/package.json": "{}", "unused/x.go": "package unused\n",
	}
	for name, c := range map[string]struct {
		image, run, copied string
		options            map[string]any
		src                []string
		layout, version    string
	}{
		"the top": {
			"golang:1.26-alpine", "CGO_ENABLED=0 go build -o /out/app", "/out/app",
			map[string]any{"packages": []string{"."}}, []string{"go.mod", "go.sum", "*.go", "lib"}, "app:bin/app", "1.26",
		},
		"a package, flags, a folder": {
			"golang:1", "CGO_ENABLED=0 GOFLAGS=-tags=a go build -trimpath -ldflags \"-s -X main.Commit= -X 'a.example/x/v.Date=' -X 'a.example/x/v.Built=' -w\" -tags=b,c -o /out/ ./cmd/tool", "/out/tool",
			map[string]any{"packages": []string{"./cmd/tool"}, "ldflags": "-s -w", "tags": []string{"b", "c", "a"}}, []string{"go.mod", "go.sum", "cmd"}, "tool:bin/tool", "1",
		},
		"another folder, a compiler": {
			"debian:trixie", "apt-get install -y gcc golang && cd cmd/tool && go build", "/src/cmd/tool/tool",
			map[string]any{"packages": []string{"./cmd/tool"}, "cgo": true}, []string{"go.mod", "go.sum", "cmd"}, "tool:bin/tool", "1.25.3",
		},
		"installed": {
			"golang:1.26.8", "CGO_ENABLED=0 go install ./cmd/tool", "/go/bin/tool",
			map[string]any{"packages": []string{"./cmd/tool"}}, []string{"go.mod", "go.sum", "cmd"}, "tool:bin/tool", "1.26.8",
		},
		"the newest Go": {
			"registry.example/library/golang:alpine3.23", "CGO_ENABLED=0 go install ./cmd/tool", "/go/bin/tool",
			map[string]any{"packages": []string{"./cmd/tool"}}, []string{"go.mod", "go.sum", "cmd"}, "tool:bin/tool", "1.25",
		},
		"an image to build in": {
			"registry.example/team/build:1.26.1-linux-amd64", "CGO_ENABLED=0 go build -o /out/tool ./cmd/tool", "/out/tool",
			map[string]any{"packages": []string{"./cmd/tool"}}, []string{"go.mod", "go.sum", "cmd"}, "tool:bin/tool", "1.26.1",
		},
		"an older image": {
			"golang:1.24-trixie", "CGO_ENABLED=0 go install ./cmd/tool", "/go/bin/tool",
			map[string]any{"packages": []string{"./cmd/tool"}}, []string{"go.mod", "go.sum", "cmd"}, "tool:bin/tool", "1.25.3",
		},
	} {
		p := planned(t, c.image, c.run, c.copied, tree)
		component, _, _ := strings.Cut(c.layout, ":")
		got, ok := p.Recipe.Components[component]
		if !ok {
			t.Errorf("%s: no component %s among %v", name, component, slices.Sorted(maps.Keys(p.Recipe.Components)))
			continue
		}
		want := recipe.Component{Ecosystem: "go", Root: "go", Src: c.src, Options: c.options}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if at := p.Recipe.Package.Layout["/usr/local/bin/app"]; at != c.layout {
			t.Errorf("%s: the program is %q, want %q", name, at, c.layout)
		}
		if v := p.Recipe.Toolchains["go"]; v != c.version {
			t.Errorf("%s: Go is %q, want %q", name, v, c.version)
		}
	}
}

// What a tool packs into a program before it is compiled is missing without that, unless the tree has what the tool wrote.
func TestRecognisePackedFiles(t *testing.T) {
	t.Parallel()
	tree := map[string]string{
		"go.mod": "module shop.example/app\n\ngo 1.26\n", "main.go": "package main\n\nimport _ \"github.com/gobuffalo/packr/v2\"\n\nfunc main() {}\n",
	}
	if p := planned(t, "golang:1.26", "CGO_ENABLED=0 go build -o /out/app", "/out/app", tree); !p.Uncertain() {
		t.Errorf("nothing packs, and the plan is sure: %+v", p.Questions)
	}
	tree["main-packr.go"] = "package main\n"
	if p := planned(t, "golang:1.26", "CGO_ENABLED=0 go build -o /out/app", "/out/app", tree); p.Uncertain() {
		t.Errorf("the tree has what was packed: %+v", p.Questions)
	}
}

// What a program embeds is what a web project writes there, though a stub stands in its place; what nothing makes leaves the main
// product in doubt.
func TestRecogniseEmbeds(t *testing.T) {
	t.Parallel()
	tree := map[string]string{
		"go.mod": "module shop.example/app\n\ngo 1.26\n", "main.go": "package main\n\nimport \"embed\"\n\n//go:embed ui/dist\nvar ui embed.FS\n\nfunc main() {}\n",
	}
	uncertain := planned(t, "golang:1.26", "CGO_ENABLED=0 go build -o /out/app", "/out/app", tree)
	if !uncertain.Uncertain() {
		t.Errorf("nothing makes ui/dist, and the plan is sure: %+v", uncertain.Questions)
	}
	tree["ui/dist/index.html"] = "a stub"
	if p := planned(t, "golang:1.26", "CGO_ENABLED=0 go build -o /out/app", "/out/app", tree); p.Uncertain() {
		t.Errorf("the tree has ui/dist: %+v", p.Questions)
	}
	tree["web/package.json"] = `{"scripts": {"release": "bundle --outDir ../ui/dist"}}`
	p := planned(t, "golang:1.26", "CGO_ENABLED=0 go build -o /out/app", "/out/app", tree)
	// No ecosystem here knows npm; that it must be run is what matters.
	if !slices.ContainsFunc(p.Questions, func(q plan.Question) bool {
		return q.Main && strings.Contains(q.Ask, "release") && strings.Contains(q.Ask, "ui/dist")
	}) {
		t.Errorf("nobody asks for the script that writes ui/dist: %+v", p.Questions)
	}
}
