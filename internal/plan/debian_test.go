package plan_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/plan"
	"headwater/internal/recipe"
)

// What an image is made from and what it installs becomes a root of Debian packages.
func TestRuntimeRoot(t *testing.T) {
	t.Parallel()
	trixie := []string{"trixie", "trixie-security"}
	tests := []struct {
		from, run string
		want      recipe.Root
		asks      string // key of a question
	}{
		{"debian:bookworm-slim", "apt-get update && apt-get install -y --no-install-recommends libpq5 curl=7.* && rm -rf /var/lib/apt/lists/*", recipe.Root{Suites: trixie, Packages: []string{"curl", "libpq5"}}, ""},
		{"debian", "apt-get install -y libssl1.1 libicu67 libglib2.0-0 netcat apt-transport-https gnupg", recipe.Root{Suites: trixie, Packages: []string{"libglib2.0-0t64", "libicu76", "libssl3t64", "netcat-openbsd"}}, ""},
		{"debian", "apt-get install -y libpcre3 git", recipe.Root{Suites: trixie, Packages: []string{"git"}}, "roots"},
		{"debian", "apt-get install -y gcc git && apt-get purge -y gcc", recipe.Root{Suites: trixie, Packages: []string{"git"}}, ""},
		{"alpine:3.21", "apk add --no-cache ca-certificates tzdata libpq su-exec tini icu-libs", recipe.Root{Suites: trixie, Packages: []string{"ca-certificates", "libicu76", "libpq5", "tzdata"}}, ""},
		{"alpine", "apk add --no-cache --virtual .build build-base && apk add bash && apk del .build", recipe.Root{Suites: trixie, Packages: []string{"bash"}}, ""},
		{"alpine", "apk add py3-yaml font-inter", recipe.Root{Suites: trixie, Packages: []string{"fonts-inter", "python3-yaml"}}, ""},
		{"alpine", "apk add openssh-client-default sshpass mpv libwebpmux", recipe.Root{Suites: trixie, Packages: []string{"libwebpmux3", "mpv", "openssh-client", "sshpass"}}, ""},
		{"alpine", "apk add some-odd-thing", recipe.Root{Suites: trixie, Packages: []string{}}, "roots"},
		{"python:3.13.7-slim-trixie", "true", recipe.Root{Suites: trixie, Packages: []string{"ca-certificates", "python-is-python3", "python3", "tzdata"}}, ""},
		{"docker.io/library/python:3.11-alpine", "apk add libmagic", recipe.Root{Suites: []string{"bookworm", "bookworm-security"}, Packages: []string{"ca-certificates", "libmagic1", "python-is-python3", "python3", "tzdata"}}, ""},
		{"python:3.11-alpine", "apk add icu-libs", recipe.Root{Suites: []string{"bookworm", "bookworm-security"}, Packages: []string{"ca-certificates", "libicu72", "python-is-python3", "python3", "tzdata"}}, ""},
		{"python:3.10-slim", "apt-get install -y libldap-2.5", recipe.Root{Suites: []string{"bookworm", "bookworm-security"}, Packages: []string{"ca-certificates", "libldap-2.5-0", "python-is-python3", "python3", "tzdata"}}, "roots"},
		{"debian", "apt-get install -y libldap-2.5", recipe.Root{Suites: trixie, Packages: []string{"libldap2"}}, ""},
		{"python:3.14", "true", recipe.Root{Suites: []string{"forky"}, Packages: []string{"ca-certificates", "python-is-python3", "python3", "tzdata"}}, ""},
		{"python:3.14", "apt-get install -y libxml2 libpq5", recipe.Root{Suites: []string{"forky"}, Packages: []string{"ca-certificates", "libpq5", "libxml2-16", "python-is-python3", "python3", "tzdata"}}, ""},
		{"python:3.12", "true", recipe.Root{Suites: trixie, Packages: []string{"ca-certificates", "python-is-python3", "python3", "tzdata"}}, "roots"},
		{"gcr.io/distroless/base-debian12:nonroot", "true", recipe.Root{Suites: trixie, Packages: []string{"ca-certificates", "tzdata"}}, ""},
		{"gcr.io/distroless/java21-debian12", "true", recipe.Root{Suites: trixie, Packages: []string{"ca-certificates", "openjdk-21-jre-headless"}}, ""},
		{"scratch", "true", recipe.Root{Suites: trixie, Packages: []string{}}, ""},
		{"registry.example/own/fips-python:3.14.2-slim@sha256:46c0658052e43ad303da39e461ad106c499a03fabd3512d05ff586e506507242", "true", recipe.Root{Suites: []string{"forky"}, Packages: []string{"ca-certificates", "python-is-python3", "python3", "tzdata"}}, "roots.runtime"},
		{"registry.example/own/base:7", "true", recipe.Root{Suites: trixie, Packages: []string{}}, "roots.runtime"},
	}
	for _, c := range tests {
		t.Run(c.from+" "+c.run, func(t *testing.T) {
			t.Parallel()
			p := planned(t, "Dockerfile", "FROM "+c.from+"\nRUN "+c.run+"\nCOPY run /run.sh\nENTRYPOINT [\"/run.sh\"]\n", "run", "")
			if diff := cmp.Diff(c.want, p.Recipe.Roots["runtime"]); diff != "" {
				t.Error(diff)
			}
			if about(p, "roots") != (c.asks != "") || !about(p, c.asks) {
				t.Errorf("%+v", p.Questions)
			}
		})
	}
}

// What an image takes out of another, and what Debian has in a package, is that package.
func TestFilesOfPackages(t *testing.T) {
	t.Parallel()
	p := planned(t, "Dockerfile", "FROM alpine AS files\nRUN apk add ca-certificates mailcap\nFROM busybox\nCOPY --from=files /etc/mime.types /etc/ca-certificates.conf /etc/\nCOPY run /run.sh\nENTRYPOINT [\"/run.sh\"]\n", "run", "")
	if diff := cmp.Diff([]string{"ca-certificates", "media-types"}, p.Recipe.Roots["runtime"].Packages); diff != "" || about(p, "package.layout") {
		t.Error(diff, p.Questions)
	}
}

// Whatever stands in the files that are read, planning ends, twice with the same, and what it plans is a recipe or says why it is none.
func FuzzNew(f *testing.F) {
	f.Add("FROM debian AS a\nARG X=1\nRUN bake a.bin\nFROM a\nCOPY --from=a /a.bin /\nCMD [\"/a.bin\"]\n", "services: {a: {build: ., command: x, ports: [\"1:2\"]}}\n", "image:\n\tdocker build -t a .\n",
		"jobs: {a: {steps: [{run: bake b}, {uses: docker/build-push-action@v6, with: {tags: \"a:1\"}}]}}\n", "*\n!a\n", "before: {hooks: [bake d]}\nbuilds: [{main: ./x, flags: -trimpath, ldflags: ['{{.Version}}']}]\ndockers: [{extra_files: [d, x], build_flag_templates: ['--build-arg=A={{.Tag}}']}]\n")
	f.Add("FROM x\nCOPY --from=y /uv /bin/\nUSER a\nHEALTHCHECK CMD curl http://localhost/${A:-${B}}\n", "services:\n  p: {image: postgres, environment: [A=$A]}\n  a: &a {image: a, environment: {D: postgres://u@p/d}}\n  b: {<<: *a, command: [\"migrate\"], user: \"1\"}\n",
		"V ?= $(shell x) # y\n%: ; docker build $(V)\n", "jobs: {a: {strategy: {matrix: {f: [a, b]}}, steps: [{uses: ./x}, {uses: docker/build-push-action@v6, with: {file: \"${{ matrix.f }}\"}}]}}\n", "**/x\n", "dockers_v2: [{ids: [a], build_args: {A: '{{ if .X }}y{{ end }}'}}]\nbuilds: {}\n")
	f.Add("FROM debian AS a\nRUN task b -- x && bake a.bin\nFROM a\nCOPY --from=a /a.bin /\nCMD [\"/a.bin\"]\n", "", "vars: {A: {sh: 'echo {{.B}}'}}\nincludes: {c: .}\ntasks:\n  a: docker build -t {{.A | default \"b\"}} .\n  b:\n    deps: [a]\n    dir: '{{.A}}'\n    cmds: [{task: ':a', vars: {A: x}}, {for: [1], cmd: x}, 'bake a.bin']\n", "", "", "")
	f.Add("FROM debian AS a\nCOPY <<EOF /e\nA=$B\nEOF\nRUN cat >>/e <<EOF\nC='d'\nEOF\nRUN . /e; echo $A | tee -a /f/g <<< x; ln -s /f /h && ln -s /h/g g && sh /h/g; bake $(cat g)\nFROM a\nCOPY --from=a /h/g /e /\nCMD [\"/e\"]\n",
		"services: {a: {build: ., env_file: [a, .env], environment: {A: $A}}}\n", "a:\n\techo b > c; . ./c\n", "steps: [{image: plugins/docker, settings: {repo: a, tags: [b], build_args: {A: $B}}}, {commands: [bake d > e]}]\n", "", "")
	f.Fuzz(func(t *testing.T, dockerfile, compose, makefile, workflow, ignore, releaser string) {
		files := tree("Dockerfile", dockerfile, "compose.yml", compose, "Makefile", makefile, "Taskfile.yml", makefile, ".github/workflows/x.yml", workflow, ".woodpecker.yml", workflow, ".env", compose, ".dockerignore", ignore, ".goreleaser.yaml", releaser, "a", "", "x/action.yml", "runs: {steps: [{run: bake c, shell: sh}]}")
		one, err := plan.New(files, plan.Options{Recognisers: []plan.Recogniser{baker{}}})
		if err != nil {
			return
		}
		two, err := plan.New(files, plan.Options{Recognisers: []plan.Recogniser{baker{}}})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(one, two); diff != "" {
			t.Error(diff)
		}
		if one.Recipe != nil && one.Recipe.Check() != nil && !one.Uncertain() {
			t.Errorf("%v", one.Recipe.Check())
		}
	})
}

// Builds in images that install other packages have other roots, also where a component is called like its ecosystem.
func TestBuildRoots(t *testing.T) {
	t.Parallel()
	p := planned(t, "Dockerfile", "FROM debian AS guide\nRUN apt-get install -y pandoc\nWORKDIR /guide\nCOPY guide.md .\nRUN pandoc guide.md -o guide.html\n"+
		"FROM debian AS plain\nRUN apt-get install -y asciidoctor\nWORKDIR /notes\nCOPY notes.adoc .\nRUN asciidoctor notes.adoc -o notes.html\n"+
		"FROM debian\nCOPY --from=guide /guide/guide.html /app/guide.html\nCOPY --from=plain /notes/notes.html /app/notes.html\nCMD [\"/app/run\"]\n", "guide.md", "", "notes.adoc", "")
	needs := map[string]string{"asciidoctor": "asciidoctor", "pandoc": "pandoc"}
	for name, c := range p.Recipe.Components {
		for program, pkg := range needs {
			if strings.Contains(strings.Join(c.Build, " "), program) {
				delete(needs, program)
				if diff := cmp.Diff([]string{pkg}, p.Recipe.Roots[c.Root].Packages); diff != "" {
					t.Errorf("%s in root %s: %s", name, c.Root, diff)
				}
			}
		}
	}
	if len(needs) > 0 {
		t.Errorf("no component runs %v: %+v", needs, p.Recipe.Components)
	}
}
