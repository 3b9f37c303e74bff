package plan_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/plan"
	"headwater/internal/recipe"
)

// What a command writes, whichever way, is what later ones read, run and copy.
func TestWrittenFiles(t *testing.T) {
	t.Parallel()
	for name, run := range map[string]string{
		"echo":            `RUN echo "NAME=made" > /env` + "\nRUN . /env && bake $NAME",
		"printf, twice":   `RUN printf 'A=ma\n' >/env; printf '%s\n' 'B=de' >>/env` + "\nRUN . /env && bake $A$B",
		"a here-document": "RUN cat > /env <<EOF\nNAME=made\nEOF\nRUN . /env && bake $NAME",
		"tee":             "RUN tee /env <<EOF && true\nNAME=made\nEOF\nRUN . /env && bake $NAME",
		"COPY":            "ARG X=ma\nCOPY <<EOF /env\nNAME=\"${X}de\"\nEOF\nRUN . /env && bake $NAME",
		"a script":        "RUN echo 'bake $1' > go.sh && chmod \"$UNSET\" go.sh\nRUN ./go.sh made",
		"read back":       "RUN echo made >name\nRUN bake $(cat name)",
		"which machine":   `RUN case "$(uname -m)/$(dpkg --print-architecture)/$(apk --print-arch)" in x86_64/amd64/x86_64) bake made;; *) exit 1;; esac`,
		"no value":        `RUN set -eux -o nounset; set -u; echo "$NOTHING"; bake made`,
		"make's shell":    "RUN make -f ops/Makefile",
		"a link":          "RUN mkdir x && bake x/made && ln -s x y && ln -s ../src/y /z && cp /z/made made",
	} {
		p := planned(t, "Dockerfile", "FROM debian AS build\nWORKDIR /src\nCOPY . .\n"+run+"\nFROM debian:trixie\nCOPY --from=build /src/made /app\nCMD [\"/app\"]\n", "a", "", "NAME", "made\n", "ops/Makefile", "N = $(shell cat NAME)\nall:\n\tbake $(N)\n")
		if has := p.Recipe.Package.Layout["/app"]; !strings.HasSuffix(has, "made") || p.Uncertain() {
			t.Errorf("%s: %q %+v", name, has, p.Questions)
		}
	}
}

// What the image's own commands write stands in the package and in front of builds, with all of its bytes; where these are not known, that is asked.
func TestWrittenFilesShip(t *testing.T) {
	t.Parallel()
	p := planned(t, "Dockerfile", `FROM debian AS build
WORKDIR /src
COPY . .
RUN echo 'MODE="x y"' > .env && echo "$(unknown)" > notes && bake made
FROM debian:trixie
COPY --from=build /src/made /app
COPY --chmod=755 <<'EOF' /start.sh
#!/bin/sh
exec /app "$@"
EOF
RUN echo "deb x" > /etc/apt/sources.list.d/x.list && echo a >/tmp/a && printf "in %s" "`+"`date`"+`" > /etc/when
CMD ["/start.sh"]
`, "a", "")
	var asked []string
	for _, q := range p.Questions {
		if strings.Contains(q.Ask, "a command writes") {
			asked = append(asked, strings.Fields(q.Ask)[3])
		}
	}
	written := p.Recipe.Components["written"]
	got := map[string]any{"build": written.Build, "layout": p.Recipe.Package.Layout["/start.sh"], "asked": asked, "uses": ""}
	for _, c := range p.Recipe.Components {
		for _, u := range c.Uses {
			got["uses"] = u.Component + ":" + u.Path + " at " + u.At
		}
	}
	want := map[string]any{
		"build": []string{
			"mkdir -p src && printf %s 'MODE=\"x y\"\n' >src/.env",
			"mkdir -p . && printf %s '#!/bin/sh\nexec /app \"$@\"\n' >start.sh && chmod +x start.sh",
		},
		"layout": "written:start.sh", "asked": []string{"/src/notes", "/etc/when"}, "uses": "written:src/.env at .env",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s\n%v", diff, p.Recipe.Package.Layout)
	}
}

// A folder that another stage made as a whole may be copied over the source: what that stage never saw is the source's still, and
// commands find it. That files of the source are edited is told.
func TestWholeFolderOverTheSource(t *testing.T) {
	t.Parallel()
	p := planned(t, "Dockerfile", "FROM debian AS web\nWORKDIR /web\nCOPY web.txt .\nRUN bake pages\nFROM debian AS build\nWORKDIR /src\nCOPY . .\nCOPY --from=web /web .\nRUN sed -i s/a/b/ go.sh && echo true >> go.sh && sh go.sh\n"+
		"FROM debian:trixie\nCOPY --from=build /src/made /app\nCMD [\"/app\"]\n", "web.txt", "", "go.sh", "bake made\n")
	name, inside, _ := strings.Cut(p.Recipe.Package.Layout["/app"], ":")
	c := p.Recipe.Components[name]
	if inside != "made" || p.Uncertain() || c.Dir != "" || len(c.Src) == 0 || c.Src[0] != "**" || !slices.ContainsFunc(c.Uses, func(u recipe.Use) bool { return u.At == "." }) {
		t.Errorf("%q %+v %+v", inside, c, p.Questions)
	}
	for _, text := range []string{"edits go.sh", "writes to go.sh"} {
		if !slices.ContainsFunc(p.Remarks, func(r plan.Remark) bool { return strings.Contains(r.Text, text) }) {
			t.Errorf("not told: %q: %+v", text, p.Remarks)
		}
	}
}

// A link that leads to itself, files that grow and texts that are written again and again end.
func TestWrittenFilesEnd(t *testing.T) {
	t.Parallel()
	for _, run := range []string{
		"ln -s /a /b; ln -s /b /a; cp /a/x /src/made; bake made",
		"for i in 1 2 3 4 5 6 7 8 9 a b c d e f g h i j k l; do cat /x /x >> /x; echo x >>/x; done; bake made",
		"i=0; while [ $i -lt 2000 ]; do i=$((i+1)); echo $i > /n; done; bake made",
	} {
		p := planned(t, "Dockerfile", "FROM debian AS build\nWORKDIR /src\nRUN "+run+"\nFROM debian:trixie\nCOPY --from=build /src/made /app\nCOPY --from=build /a/b/c /c\nCMD [\"/app\"]\n", "a", "")
		if p.Recipe == nil || !strings.HasSuffix(p.Recipe.Package.Layout["/app"], "made") {
			t.Errorf("%s: %+v", run, p)
		}
	}
}
