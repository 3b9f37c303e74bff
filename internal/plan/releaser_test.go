package plan_test

import (
	"slices"
	"strings"
	"testing"

	"headwater/internal/plan"
)

// What a GoReleaser configuration says is expanded as far as the release tells, and nothing of it is guessed.
func TestReleaserTemplates(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{
		{"v-{{.Version}}", "v-1.2.3"},
		{"v-{{ .Tag }}", "v-v1.2.3"},
		{`v-{{ trimprefix .Tag "v" }}`, "v-1.2.3"},
		{"v-{{.ProjectName}}-{{ .Os }}-{{.Arch}}", "v-thing-linux-amd64"},
		{"v-{{ .Env.FLAVOUR }}{{ .Env.OTHER }}", "v-sweet"},
		{"v-{{ if .IsSnapshot }}x{{ else }}y{{ end }}", "v-y"},
		{"v-{{.Commit}}x{{ .CommitDate }}", "v-x"},
		{`v-{{ envOrDefault "A" "b" }}`, "v-b"},
		{"v-x{{ .Version", ""},
		{"v-x{{ nothing .Version }}", ""},
		{"v-x{{ range 1000000000 }}y{{ end }}", ""},
		{`v-x{{ printf "%1000000000d" 1 }}`, ""},
		{"v-x{{ .Version" + strings.Repeat(" ", 1<<14) + "}}", ""},
	} {
		config := "project_name: thing\nenv: [FLAVOUR=sweet]\nbefore: {hooks: ['bake " + strings.ReplaceAll(c.text, "'", "''") + "']}\nbuilds: [{goos: [plan9]}]\ndockers: [{extra_files: ['" + c.want + "', a.sh]}]\n"
		p, err := plan.New(tree("Dockerfile", "FROM debian:trixie\nCOPY "+orNone(c.want)+" /app\nCOPY a.sh /a.sh\nCMD [\"/app\"]\n", ".goreleaser.yml", config, "a.sh", "#!/bin/sh\n"), plan.Options{Release: "v1.2.3", Recognisers: []plan.Recogniser{baker{}}})
		if err != nil {
			t.Fatal(err)
		}
		if _, got, _ := strings.Cut(p.Recipe.Package.Layout["/app"], ":"); got != c.want {
			t.Errorf("%.40s: the image has %q, want %q; %+v", c.text, got, c.want, p.Questions)
		}
		if c.want != "" && !strings.Contains(p.Recipe.Package.Layout["/a.sh"], "a.sh") {
			t.Errorf("%.40s: what stands beside it is not there", c.text)
		}
	}
}

func orNone(name string) string {
	if name == "" {
		return "none"
	}
	return name
}

// What is copied with all that a folder will have, and what is done to a program afterwards, is followed.
func TestReleaserHooks(t *testing.T) {
	t.Parallel()
	config := "builds: [{hooks: {pre: ['bake pages/x', 'mkdir to', 'cp -r pages/* to'], post: ['bake extra', 'pack {{ .Path }}', 'cosign sign-blob {{ .Path }}']}, ldflags: x}]\ndockers: [{extra_files: [to, extra, start.sh]}]\n"
	p, err := plan.New(tree("Dockerfile", "FROM debian:trixie\nCOPY to /to\nCOPY extra /extra\nENTRYPOINT [\"/start.sh\"]\nCOPY start.sh /start.sh\n", ".goreleaser.yml", config, "start.sh",
		"#!/bin/sh\nPUID=${PUID:-0}\nPGID=${PGID:-0}\nexec su-exec $PUID:$PGID \"$@\"\n"), plan.Options{Release: "1", Recognisers: []plan.Recogniser{baker{}}})
	if err != nil {
		t.Fatal(err)
	}
	for at, want := range map[string]string{"/to/x": ":pages/x", "/extra": ":extra"} {
		if got := p.Recipe.Package.Layout[at]; !strings.HasSuffix(got, want) {
			t.Errorf("%s is %q, want …%s; %+v", at, got, want, p.Questions)
		}
	}
	if !slices.ContainsFunc(p.Questions, func(q plan.Question) bool {
		return q.Main && strings.Contains(q.Ask, `changed by "pack /goreleaser/app"`)
	}) {
		t.Errorf("nothing asks for what is done to the program: %+v", p.Questions)
	}
	if p.Recipe.Package.User != "" {
		t.Errorf("it runs as %q", p.Recipe.Package.User)
	}
}
