package plan_test

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/plan"
)

// tree makes a tree of files given as path and content in turn.
func tree(files ...string) *plan.Tree {
	fsys, names := fstest.MapFS{}, []string(nil)
	for i := 0; i+1 < len(files); i += 2 {
		fsys[files[i]] = &fstest.MapFile{Data: []byte(files[i+1])}
		names = append(names, files[i])
	}
	return plan.NewTree(fsys, names)
}

// seen is a Recogniser that knows every program and notes what it is called with.
type seen struct{ commands []string }

func (r *seen) Recognise(c plan.Command, _ *plan.Stage) (bool, error) {
	r.commands = append(r.commands, c.Evidence.String()+" "+c.Dir+" "+c.Text())
	return true, nil
}

// What shells, make and scripts call is found, whichever way it is called, with what is known expanded.
func TestCommands(t *testing.T) {
	t.Parallel()
	r := &seen{}
	_, err := plan.New(tree(
		"Dockerfile", `ARG GO=1.26
FROM golang:${GO} AS build
ARG MODE=fast
ARG TARGETARCH
WORKDIR /src
COPY . .
RUN if [ "$MODE" = fast ]; then build --quick; else build --slow; fi && \
    (cd web && bundle) ; make OUT=/out/x app
RUN <<EOS
second "$TARGETARCH"
sh tools/gen.sh one | filter
EOS
FROM scratch
COPY --from=build /src/nothing /
`,
		"Makefile", "V := 1\nFLAGS = -X $(V)\napp: gen\n\tlink $(FLAGS) -o $(OUT)\ngen:\n\t@generate $@\n",
		"tools/gen.sh", "#!/bin/sh\nset -e\ncd \"$(dirname \"$0\")\"\nfor x in a b; do step \"$1\" $x; done\n",
	), plan.Options{Recognisers: []plan.Recogniser{r}})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"Dockerfile:7 /src build --quick", "Dockerfile:7 /src/web bundle", "Makefile:6 /src generate gen", "Makefile:4 /src link -X 1 -o /out/x",
		"Dockerfile:10 /src second amd64", "tools/gen.sh:4 /src/tools step one a", "tools/gen.sh:4 /src/tools step one b", "Dockerfile:11 /src filter",
	}
	if diff := cmp.Diff(want, r.commands); diff != "" {
		t.Error(diff)
	}
}

// A loop that waits for what is not here is gone through once.
func TestShellThatWaits(t *testing.T) {
	t.Parallel()
	const image = "FROM debian AS build\nWORKDIR /src\nRUN while true; do curl http://localhost; sleep 1; done; until ready; do sleep 5; done; bake made\nFROM debian:trixie\nCOPY --from=build /src/made /app\nCMD [\"/app\"]\n"
	p, err := plan.New(tree("Dockerfile", image), plan.Options{Recognisers: []plan.Recogniser{baker{}}})
	if err != nil || !strings.HasSuffix(p.Recipe.Package.Layout["/app"], ":made") {
		t.Errorf("%v %+v", err, p)
	}
}

// Helpers for compiling for other platforms are not part of what is made, and do what they are called for.
func TestCrossTools(t *testing.T) {
	t.Parallel()
	const image = "FROM registry.example/team/xx AS xx\nFROM debian AS build\nCOPY --from=xx / /\nRUN xx-apt-get install -y libtide-dev xx-c-essentials\nWORKDIR /src\nCOPY . .\nRUN xx-info env && bake made && xx-verify made\n" +
		"FROM debian:trixie\nCOPY --from=build /src/made /app\nEXPOSE 80\nHEALTHCHECK CMD curl localhost:80/up\nCMD [\"/app\"]\n"
	p, err := plan.New(tree("Dockerfile", image), plan.Options{Release: "1", Recognisers: []plan.Recogniser{baker{}}})
	if err != nil || !strings.HasSuffix(p.Recipe.Package.Layout["/app"], ":made") || len(p.Questions) != 1 { // which path is its health
		t.Errorf("%v %+v", err, p)
	}
	p, err = plan.New(tree("Dockerfile", strings.Replace(image, "bake made", "unknown", 1)), plan.Options{Recognisers: []plan.Recogniser{baker{}}})
	if err != nil || !p.Uncertain() {
		t.Errorf("what nothing makes is taken for the helpers': %v %+v", err, p)
	}
}

// What could not be followed is told with the command that it is about, not with all that led there.
func TestWhatIsNotFollowedIsToldOnce(t *testing.T) {
	t.Parallel()
	p, err := plan.New(tree("Dockerfile", "FROM scratch\nCMD [\"/x\"]\n", "Makefile", "image:\n\t$(MAKE) image && docker build .\n"), plan.Options{})
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(p.Remarks, func(r plan.Remark) bool { return strings.Contains(r.Text, "was not followed") })
	if i < 0 || len(p.Remarks[i].Text) > 200 {
		t.Errorf("%+v", p.Remarks)
	}
}

// A text that does not end is an error, not a plan that does not end.
func TestShellThatDoesNotEnd(t *testing.T) {
	t.Parallel()
	p, err := plan.New(tree("Dockerfile", "FROM scratch\nRUN while :; do :; done\n"), plan.Options{})
	if err != nil || len(p.Remarks) != 1 || !p.Uncertain() {
		t.Errorf("%v %+v", err, p)
	}
}

// A downloaded script that installs a tool whose calls are followed is known for that; any other is a command that nobody knows.
func TestDownloadedInstallers(t *testing.T) {
	t.Parallel()
	for url, asks := range map[string]bool{"https://tools.example/uv/0.8/install.sh": false, "https://tools.example/wonder/install.sh": true, "https://tools.example/juvenile.sh": true} {
		dockerfile := strings.Replace(main("x"), "RUN bake", "ADD "+url+" /get.sh\nRUN chmod +x /get.sh && /get.sh\nRUN bake", 1)
		p := planned(t, "Dockerfile", dockerfile, "a", "")
		if about(p, "components") != asks {
			t.Errorf("%s: %+v", url, p.Questions)
		}
		if !slices.ContainsFunc(p.Remarks, func(r plan.Remark) bool { return strings.Contains(r.Text, "downloads "+url) }) {
			t.Errorf("%s: nothing tells of the download: %+v", url, p.Remarks)
		}
	}
}
