package plan_test

import (
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/plan"
)

// baker is an ecosystem of one program: "bake FILE…" makes files in the working directory.
type baker struct{}

func (baker) Recognise(c plan.Command, s *plan.Stage) (bool, error) {
	if path.Base(c.Args[0]) != "bake" {
		return false, nil
	}
	b := s.BuildAt("plain", c.Dir, c.Evidence)
	b.Commands = append(b.Commands, c)
	for _, out := range c.Args[1:] {
		s.Makes(b, plan.Output{At: plan.Abs(c.Dir, out), File: path.Ext(out) != ""}, c.Evidence)
	}
	return true, nil
}

func planned(t *testing.T, files ...string) *plan.Plan {
	t.Helper()
	p, err := plan.New(tree(files...), plan.Options{Recognisers: []plan.Recogniser{baker{}}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// main is a Dockerfile that starts a program by a name.
func main(name string) string {
	return "FROM debian AS build\nWORKDIR /src\nCOPY . .\nRUN bake app.bin\nFROM debian:trixie\nCOPY --from=build /src/app.bin /app/app.bin\nENTRYPOINT [\"/app/app.bin\", \"" + name + "\"]\n"
}

// Which image ships is told by what builds it and by what it is, whatever decoys stand beside it.
func TestWhichImageShips(t *testing.T) {
	t.Parallel()
	workflow := func(steps string) string {
		return "on: {push: {}}\njobs:\n  image:\n    steps:\n" + steps
	}
	tests := []struct {
		name  string
		files []string
		want  string // what the entry point says
	}{
		{"a dev container", []string{".devcontainer/Dockerfile", main("dev"), "docker/Dockerfile", main("right")}, "right"},
		{"an agent's image in a folder, with the tree's name", []string{
			"package.json", `{"name": "ferry"}`, "docker/Dockerfile", strings.Replace(main("right"), "FROM debian:trixie", "FROM debian:trixie AS release", 1) + "FROM release AS nightly\n",
			"agent/Dockerfile", "FROM debian:trixie\nCOPY build/agent /agent\nENTRYPOINT [\"/agent\", \"agent\"]\n",
			"all.sh", "docker build -f docker/Dockerfile --target nightly -t x/ferry:nightly .\nmystery agent && docker build -t x/ferry:agent agent\n",
		}, "right"},
		{"what is made before it is not known", []string{
			"Dockerfile", "FROM debian:trixie\nCOPY app.bin /app/app.bin\nENTRYPOINT [\"/app/app.bin\", \"wrong\"]\n", "release.sh", "mystery app.bin\ndocker build -t x/app:latest .\n",
			"Dockerfile-whole", main("right"),
		}, "right"},
		{"an image to try", []string{
			"docker/Dockerfile", strings.Replace(main("right"), "FROM debian:trixie", "FROM debian:trixie AS app", 1) + "FROM app AS app-plus\nENTRYPOINT [\"/app/app.bin\", \"plus\"]\n",
			"run.sh", "docker build -f docker/Dockerfile -t x/app:local .\n",
			"build.sh", "docker build -f docker/Dockerfile --target app -t x/app:latest .\ndocker build -f docker/Dockerfile --target app-plus -t x/app:latest-plus .\n",
		}, "right"},
		{"an image for tests", []string{"test/Dockerfile", main("test"), "deploy/Dockerfile", main("right")}, "right"},
		{"an image that is made of the published one, and sent nowhere", []string{
			"docker/Dockerfile", main("right"), "docker/judge/Dockerfile", "FROM thing:built\nCOPY docker/judge/start /start\nENTRYPOINT [\"/app/app.bin\", \"judge\"]\n", "docker/judge/start", "",
			"scripts/judge.sh", "docker build -t thing:built -f docker/Dockerfile .\ndocker build -f docker/judge/Dockerfile .\n",
			".github/workflows/a.yml", workflow("    - run: scripts/judge.sh\n"),
			".github/workflows/b.yml", workflow("    - {uses: docker/build-push-action@v6, with: {push: 'true', file: docker/Dockerfile}}\n"),
		}, "right"},
		{"one that a task with variables of its own builds", []string{
			"Taskfile.yml", "version: '3'\nenv: {PORT: 9000}\ntasks: {image: {cmds: ['docker build -f deploy/a/Dockerfile .']}}\n", "deploy/a/Dockerfile", main("right"), "deploy/b/Dockerfile", main("wrong"),
		}, "right"},
		{"one on a base of the tree's, whose owner only the forge knows", []string{
			"docker/base/Dockerfile", "FROM debian\nENTRYPOINT [\"/app/app.bin\", \"base\"]\n",
			"docker/live/Dockerfile", "FROM someone/base:latest\nWORKDIR /src\nCOPY . .\nRUN bake app.bin && mv app.bin /app/app.bin\nCMD [\"live\"]\n",
			".github/workflows/a.yml", workflow("    - {uses: docker/build-push-action@v6, with: {push: 'true', file: docker/base/Dockerfile, tags: '${{ vars.OWNER }}/base:latest'}}\n"),
		}, "base"},
		{"a documentation site", []string{"website/Dockerfile", main("docs"), "deploy/image/Dockerfile", main("right")}, "right"},
		{"a variant by its file's name", []string{"Dockerfile", main("right"), "Dockerfile.rootless", main("rootless")}, "right"},
		{"a variant by its file's name, and no plain name", []string{"docker/alpine.Dockerfile", main("alpine"), "docker/default.Dockerfile", main("right")}, "right"},
		{"an image to package in", []string{
			"packaging/debian/Dockerfile", "FROM debian\nADD . /src\nCMD [\"/src/build.sh\"]\n", "packaging/docker/alpine/Dockerfile", main("right"), "build.sh", "",
		}, "right"},
		{"the tags of a pipeline, whatever the folder is called", []string{
			"docker/alpine/Dockerfile", main("right"), "docker/plain/Dockerfile", main("distroless"),
			".github/workflows/image.yml", workflow(`
      - {id: a, uses: docker/metadata-action@v5, with: {images: example.invalid/app}}
      - {id: b, uses: docker/metadata-action@v5, with: {images: example.invalid/app, flavor: "suffix=-distroless,onlatest=true"}}
      - uses: docker/build-push-action@v6
        with: {context: ., file: docker/plain/Dockerfile, tags: "${{ steps.b.outputs.tags }}"}
      - uses: docker/build-push-action@v6
        with: {context: ., file: docker/alpine/Dockerfile, tags: "${{ steps.a.outputs.tags }}"}
`),
		}, "right"},
		{"the stage that a pipeline builds, not the last", []string{
			"Dockerfile", main("right") + "FROM debian AS extra\nCMD [\"extra\"]\n",
			".github/workflows/image.yml", workflow("      - {uses: docker/build-push-action@v6, with: {target: '1', tags: 'app:1.0'}}\n      - {uses: docker/build-push-action@v6, with: {target: extra, tags: 'app:1.0-plus'}}\n"),
		}, "right"},
		{"the stage that a script builds", []string{
			"Dockerfile", strings.Replace(main("right"), "FROM debian:trixie", "FROM debian:trixie AS app", 1) + "FROM app AS app-plus\nENTRYPOINT [\"plus\"]\n",
			"scripts/image.sh", "docker buildx build --target app-plus -t app:latest-plus .\ndocker buildx build --target app -t app:latest .\n",
		}, "right"},
		{"the stage of a release, where only variants are built", []string{
			"Dockerfile", strings.Replace(main("right"), "FROM debian:trixie", "FROM debian:trixie AS release", 1) + "FROM release AS nightly\nENTRYPOINT [\"nightly\"]\n",
			"package.json", `{"scripts": {"nightly": "docker build -t app:nightly --target nightly ."}}`,
		}, "right"},
		{"the one that compose builds", []string{
			"one/Dockerfile", main("one"), "two/Dockerfile", main("right"),
			"compose.yml", "services: {app: {build: {context: ., dockerfile: two/Dockerfile}}}\n",
		}, "right"},
		{"not the agent's, whatever its tag", []string{
			"build/Dockerfile.agent", main("agent"), "build/Dockerfile.server", main("right"),
			"image.sh", "docker build -f build/Dockerfile.agent -t x/team:next .\ndocker build -f build/Dockerfile.server -t x/team:next .\n",
		}, "right"},
		{"a stage that is called like who runs things, not an integration test", []string{
			".docker/Dockerfile-build", strings.Replace(main("right"), "FROM debian:trixie", "FROM debian:trixie AS runner", 1), "lib/integrationtest/Dockerfile", main("test"),
		}, "right"},
		{"the one that compose builds and starts, of those that a pipeline builds", []string{
			"one/Dockerfile", main("one"), "two/Dockerfile", main("right"),
			"compose.yml", "services: {app: {build: {context: ., dockerfile: two/Dockerfile}}}\n",
			".github/workflows/image.yml", workflow("      - {uses: docker/build-push-action@v6, with: {file: one/Dockerfile, tags: 'tool:1.0'}}\n      - {uses: docker/build-push-action@v6, with: {file: two/Dockerfile, tags: 'app:1.0'}}\n"),
		}, "right"},
		{"one that needs nothing from elsewhere", []string{
			"Dockerfile", "FROM debian\nCOPY app.bin /app/app.bin\nENTRYPOINT [\"/app/app.bin\", \"prebuilt\"]\n", "Dockerfile-build", main("right"),
		}, "right"},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := planned(t, c.files...)
			if p.Uncertain() {
				t.Errorf("uncertain: %+v", p.Questions)
			}
			if diff := cmp.Diff([]string{"/app/app.bin", c.want}, p.Recipe.Package.Command); diff != "" {
				t.Error(diff)
			}
			if problems := p.Recipe.Check(); problems != nil {
				t.Error(problems)
			}
		})
	}
}

// Two services of one tree that nothing tells apart are an open question, and the plan is no success.
func TestTwoServicesAreAQuestion(t *testing.T) {
	t.Parallel()
	p := planned(t,
		"api/Dockerfile", "FROM debian AS build\nWORKDIR /api\nCOPY api .\nRUN bake api.bin\nFROM debian\nCOPY --from=build /api/api.bin /\nENTRYPOINT [\"/api.bin\"]\n", "api/x", "",
		"web/Dockerfile", "FROM debian AS build\nWORKDIR /web\nCOPY web .\nRUN bake web.bin\nFROM debian\nCOPY --from=build /web/web.bin /\nENTRYPOINT [\"/web.bin\"]\n", "web/x", "",
	)
	i := slices.IndexFunc(p.Questions, func(q plan.Question) bool { return q.About == "package" })
	if i < 0 || !p.Uncertain() || len(p.Questions[i].Looked) != 2 {
		t.Errorf("%+v", p.Questions)
	}
}

// What is made before an image is built, by the pipeline's steps, by what a Makefile's target needs, or by another job, stands in what
// the image copies.
func TestWhatIsMadeBeforeTheImage(t *testing.T) {
	t.Parallel()
	const image = "FROM debian\nWORKDIR /app\nCOPY web/dist ./web\nCMD [\"sh\", \"/app/start\"]\n"
	tests := []struct {
		name  string
		files []string
	}{
		{"by a step of the pipeline", []string{".github/workflows/x.yml", `
jobs:
  image:
    env: {OUT: dist}
    steps:
      - uses: actions/checkout@v4
      - run: |
          bake "$OUT"
        working-directory: web
      - uses: docker/build-push-action@v6
        with: {context: .}
`}},
		{"by another job, as an artifact", []string{".github/workflows/x.yml", `
jobs:
  a-image:
    needs: web
    steps:
      - uses: actions/download-artifact@v4
        with: {name: site, path: web/dist}
      - uses: docker/build-push-action@v6
  web:
    defaults: {run: {working-directory: web}}
    steps:
      - run: bake dist
      - uses: actions/upload-artifact@v4
        with: {name: site, path: web/dist}
`}},
		{"by a target that the image's target needs", []string{"Makefile", "image: site\n\tdocker build -t app .\nsite:\n\tcd web && bake dist\n"}},
		{"by a script before it", []string{"package.json", `{"scripts": {"image": "cd web && bake dist && cd .. && docker build -t app ."}}`}},
		{"in a container, over the tree", []string{"Makefile", "image:\n\tdocker run --rm -it -v \"$$PWD/.:/tree\" -w /tree/web tool:1 bake dist\n\tdocker build -t app .\n"}},
		{"in a service of a compose file, over the tree", []string{
			"Makefile", "image:\n\tcd web && docker compose -f ../gen/compose.yml run --rm --user 0:0 gen bake /local/web/dist\n\tdocker build -t app .\n",
			"gen/compose.yml", "services: {gen: {image: 'example.invalid/gen:1', volumes: ['..:/local']}}\n",
		}},
		{"by an action of the tree", []string{
			".github/actions/prepare/action.yml", "runs:\n  using: composite\n  steps:\n    - {shell: bash, run: 'cd web; bake dist'}\n",
			".github/workflows/x.yml", "jobs: {image: {steps: [{uses: ./.github/actions/prepare}, {uses: docker/build-push-action@v6}]}}\n",
		}},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := planned(t, append(c.files, "Dockerfile", image, "web/index.ts", "")...)
			if p.Uncertain() {
				t.Errorf("uncertain: %+v", p.Questions)
			}
			component, part, _ := strings.Cut(p.Recipe.Package.Layout["/app/web"], ":")
			if made := p.Recipe.Components[component].Build; len(p.Recipe.Package.Layout) != 1 || path.Base(part) != "dist" || len(made) != 1 || !strings.HasPrefix(made[0], "bake ") {
				t.Errorf("%+v", p.Recipe)
			}
		})
	}
	t.Run("by nobody", func(t *testing.T) {
		t.Parallel()
		if p := planned(t, "Dockerfile", image, "web/index.ts", ""); !p.Uncertain() {
			t.Errorf("%+v", p.Questions)
		}
	})
}

// A tracked placeholder does not hide what is made in its place.
func TestPlaceholder(t *testing.T) {
	t.Parallel()
	p := planned(t,
		"Dockerfile", "FROM debian AS build\nWORKDIR /src\nCOPY . .\nRUN bake app.bin\nFROM debian\nCOPY --from=build /src/app.bin /app.bin\nCMD [\"/app.bin\"]\n",
		"dist/index.html", "placeholder", "web/x.ts", "",
		"Makefile", "image:\n\t(cd web && bake ../dist)\n\tdocker build .\n",
	)
	uses := 0
	for _, c := range p.Recipe.Components {
		for _, u := range c.Uses {
			if u.At == "dist" {
				uses++
			}
		}
	}
	if uses != 1 {
		t.Errorf("%+v", p.Recipe.Components)
	}
}

// Build arguments are those of who builds the image: a part that is off by default is there.
func TestArguments(t *testing.T) {
	t.Parallel()
	p := planned(t,
		"Dockerfile", "FROM debian AS build\nARG UI=0\nWORKDIR /src\nCOPY . .\nRUN if [ \"$UI\" = 1 ]; then bake ui; else mkdir ui; fi\nFROM debian\nCOPY --from=build /src/ui /ui\nCMD [\"/x\"]\n",
		"Makefile", "WITH ?= 1 # the user interface\nimage:\n\tdocker build --build-arg UI=$(WITH) -t app:latest .\n",
	)
	if diff := cmp.Diff(map[string]string{"/ui": "plain:ui"}, p.Recipe.Package.Layout); diff != "" {
		t.Error(diff)
	}
}

// An image that is made from another of the same tree has what that one has.
func TestOwnBaseImage(t *testing.T) {
	t.Parallel()
	p := planned(t,
		"docker/base.dockerfile", "FROM debian:trixie AS slim\nRUN apt-get install -y sqlite3\nFROM slim AS full\nRUN apt-get install -y chromium\n",
		"docker/dockerfile", "FROM example/app:base\nCOPY app /app\nENTRYPOINT [\"tini\", \"--\", \"/app/run\"]\n", "app/run", "",
		"package.json", `{"scripts": {"base": "docker buildx build -f docker/base.dockerfile --target slim -t example/app:base ."}}`,
	)
	if p.Uncertain() {
		t.Errorf("uncertain: %+v", p.Questions)
	}
	if diff := cmp.Diff([]string{"sqlite3"}, p.Recipe.Roots["runtime"].Packages); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"/app/run"}, p.Recipe.Package.Command); diff != "" {
		t.Error(diff)
	}
}

// What an ignore file names is not copied; a Dockerfile's own ignore file is the one that holds.
func TestIgnoreFile(t *testing.T) {
	t.Parallel()
	files := []string{
		"Dockerfile", "FROM debian\nCOPY --exclude=*.md . /app\nCMD [\"/app/run\"]\n",
		"run", "", "doc/a", "", "doc/b", "", "src/x.c", "", "src/x.md", "", "notes.md", "",
		".dockerignore", "*\n!src\n!run\n!notes.md\nsrc/*.md\n",
	}
	p := planned(t, files...)
	if diff := cmp.Diff([]string{"**", "!.dockerignore", "!Dockerfile", "!doc", "!notes.md", "!src/x.md"}, p.Recipe.Components["source"].Src); diff != "" {
		t.Error(diff)
	}
	p = planned(t, append(files, "Dockerfile.dockerignore", "doc/a\n")...)
	if diff := cmp.Diff([]string{"**", "!doc/a", "!notes.md"}, p.Recipe.Components["source"].Src); diff != "" {
		t.Error(diff)
	}
}

// What is cloned before an image is built is not made of the tree: what needs it is an open question.
func TestClone(t *testing.T) {
	t.Parallel()
	p := planned(t,
		"Dockerfile", "FROM debian AS build\nWORKDIR /src\nCOPY . .\nCOPY client ./client\nRUN bake app.bin\nFROM debian\nCOPY --from=build /src/app.bin /app.bin\nCMD [\"/app.bin\"]\n",
		"schema.yml", "", "Makefile", "image:\n\tmkdir client\n\tgit clone --depth 1 https://forge.example/client.git client\n\tcp schema.yml client\n\tdocker build .\n",
	)
	if !p.Uncertain() {
		t.Errorf("%+v %+v", p.Questions, p.Recipe.Components)
	}
}

// A published image stays the one that ships, though something of it is made by nobody knows what, while one that is made of it is all known.
func TestPublishedImageShips(t *testing.T) {
	t.Parallel()
	p := planned(t,
		"docker/Dockerfile", "FROM debian AS parts\nRUN assemble /parts\n"+strings.Replace(main("right"), "ENTRYPOINT", "COPY --from=parts /parts/usr /usr\nENTRYPOINT", 1),
		"docker/judge/Dockerfile", "FROM thing:built\nCOPY docker/judge/start /start\nENTRYPOINT [\"/app/app.bin\", \"judge\"]\n", "docker/judge/start", "",
		"scripts/judge.sh", "docker build -t thing:built -f docker/Dockerfile .\ndocker build -f docker/judge/Dockerfile .\n",
		".github/workflows/a.yml", "jobs: {a: {steps: [{run: scripts/judge.sh}]}}\n",
		".github/workflows/b.yml", "jobs: {b: {steps: [{uses: docker/build-push-action@v6, with: {push: 'true', file: docker/Dockerfile}}]}}\n",
	)
	if diff := cmp.Diff([]string{"/app/app.bin", "right"}, p.Recipe.Package.Command); diff != "" || !p.Uncertain() {
		t.Errorf("%s%+v", diff, p.Remarks)
	}
}

// Git's own folder is in no release's source: an image that takes it, to ask for its version, is not asked about.
func TestFolderOfGit(t *testing.T) {
	t.Parallel()
	dockerfile := strings.Replace(main("x"), "COPY . .\n", "COPY . .\nCOPY .git .git/\nCOPY .git/HEAD head\n", 1)
	p := planned(t, "Dockerfile", dockerfile, "a", "")
	if p.Uncertain() || about(p, "package.layout") {
		t.Errorf("%+v", p.Questions)
	}
	if !slices.ContainsFunc(p.Remarks, func(r plan.Remark) bool { return strings.Contains(r.Text, "git's own folder") }) {
		t.Errorf("nothing tells of it: %+v", p.Remarks)
	}
}
