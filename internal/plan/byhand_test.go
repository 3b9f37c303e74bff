package plan_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/plan"
	"headwater/internal/recipe"
)

// What the image's own commands make of what they download is a component, and what is downloaded is pinned like all else.
func TestMadeByHand(t *testing.T) {
	t.Parallel()
	p := planned(t,
		"Dockerfile", `FROM python:3.13-slim-trixie AS extension
RUN apt-get update && apt-get install -y gcc libfoo-dev wget unzip
WORKDIR /ext
ARG V=1.2
COPY patch.h .
RUN wget -q https://files.example/foo-${V}.zip && unzip foo-${V}.zip && wget https://files.example/raw/ext.c?name=9 -O ext.c && \
    gcc -fPIC -shared ext.c `+"`pkg-config --cflags foo`"+` -o libext.so

FROM python:3.13-slim-trixie
WORKDIR /app
COPY serve.py .
COPY --from=extension /ext/libext.so ./libext.so
RUN for f in $(cat fonts.txt); do wget -P /app/fonts "$f"; done
ADD https://files.example/tool /usr/local/bin/tool
RUN curl -o /app/helper https://files.example/helper && chmod 0755 /app/helper
CMD ["python", "serve.py"]
`,
		"serve.py", "", "patch.h", "", "fonts.txt", "")
	want := recipe.Component{
		Ecosystem: "plain", Root: "plain", Src: []string{"patch.h"}, Env: map[string]string{"V": "1.2"},
		Uses: []recipe.Use{
			{Component: "downloads", Path: "ext/foo-1.2.zip", At: "foo-1.2.zip"}, {Component: "downloads", Path: "ext/ext.c", At: "ext.c"},
		},
		Build:  []string{"unzip foo-${V}.zip && gcc -fPIC -shared ext.c $(pkg-config --cflags foo) -o libext.so"},
		Output: map[string]string{"libext.so": "libext.so"}, Options: map[string]any{},
	}
	if diff := cmp.Diff(want, p.Recipe.Components["extension"]); diff != "" {
		t.Error(diff)
	}
	downloads := map[string]string{"ext/foo-1.2.zip": "https://files.example/foo-1.2.zip", "ext/ext.c": "https://files.example/raw/ext.c?name=9"}
	if diff := cmp.Diff(downloads, p.Recipe.Components["downloads"].Download); diff != "" {
		t.Error(diff)
	}
	if got := p.Recipe.Package.Layout["/app/libext.so"]; got != "extension:libext.so" {
		t.Errorf("/app/libext.so is %q", got)
	}
	for _, at := range []string{"/usr/local/bin/tool", "/app/helper"} { // programs come from a distribution or are built
		if _, has := p.Recipe.Package.Layout[at]; has || !about(p, "package.layout."+at) {
			t.Errorf("no question is open on %s", at)
		}
	}
}

// A list of addresses in the tree is followed, and a download in a pipe is nothing that a component could stand for.
func TestDownloads(t *testing.T) {
	t.Parallel()
	p := planned(t,
		"Dockerfile", `FROM python:3.13-slim-trixie AS data
WORKDIR /data
RUN curl -s https://files.example/d.tgz | untar --to words.bin

FROM python:3.13-slim-trixie
WORKDIR /app
COPY serve.py fonts.txt ./
COPY --from=data /data/words.bin .
RUN for f in $(cat fonts.txt); do wget -P static/fonts "$f"; done
CMD ["python", "serve.py"]
`,
		"serve.py", "", "fonts.txt", "https://files.example/a.woff2\nhttps://files.example/b.woff2\n")
	want := map[string]string{"app/static/fonts/a.woff2": "https://files.example/a.woff2", "app/static/fonts/b.woff2": "https://files.example/b.woff2"}
	if diff := cmp.Diff(want, p.Recipe.Components["downloads"].Download); diff != "" {
		t.Error(diff)
	}
	if got := p.Recipe.Package.Layout["/app/static/fonts/b.woff2"]; got != "downloads:app/static/fonts/b.woff2" {
		t.Errorf("the font is %q", got)
	}
	if !about(p, "package.layout") {
		t.Error("no question is open on words.bin")
	}
}

// A clone that a project's manifest names is a part of the product; of one that nothing names it is only asked.
func TestClones(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		manifest  string
		uncertain bool
	}{
		{"module example.org/x\n\ngo 1.25\n", false},
		{"module example.org/x\n\ngo 1.25\n\nreplace example.org/api => ./gen-api\n", true},
	} {
		p := planned(t,
			"Dockerfile", `FROM golang:1.25 AS build
WORKDIR /src
COPY . .
RUN git clone https://git.example/api.git gen-api && go build -o bin/x .
FROM debian:trixie
COPY --from=build /src/bin/x /x
CMD ["/x"]
`,
			"go.mod", c.manifest, "go.sum", "", "main.go", "package main\n")
		if p.Uncertain() != c.uncertain {
			t.Errorf("with %q the plan is uncertain: %t, want %t: %v", c.manifest, p.Uncertain(), c.uncertain, p.Questions)
		}
		if !slices.ContainsFunc(p.Questions, func(q plan.Question) bool { return strings.Contains(q.Ask, "git.example/api.git") }) {
			t.Errorf("nobody asks for the clone: %v", p.Questions)
		}
	}
}

// Each address of one download is named, and so is a package file.
func TestDownloadsOfOneCommand(t *testing.T) {
	t.Parallel()
	p := planned(t, "Dockerfile", "FROM debian\nWORKDIR /app\nRUN curl --fail --remote-name-all https://files.example/a.txt https://files.example/b.txt && curl -fsSLO https://files.example/c.deb && dpkg --install ./c.deb\nCOPY run .\nCMD [\"/app/run\"]\n", "run", "")
	var said []string
	for _, r := range p.Remarks {
		if strings.HasPrefix(r.Text, "the upstream's image ") {
			said = append(said, strings.TrimPrefix(r.Text, "the upstream's image "))
		}
	}
	want := []string{"downloads https://files.example/a.txt", "downloads https://files.example/b.txt", "downloads https://files.example/c.deb", "installs the package file ./c.deb"}
	if diff := cmp.Diff(want, said); diff != "" {
		t.Error(diff)
	}
	if p.Recipe.Package.Layout["/app/b.txt"] != "downloads:app/b.txt" {
		t.Errorf("the layout is %v", p.Recipe.Package.Layout)
	}
}
