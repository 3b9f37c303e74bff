package plan_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"headwater/internal/plan"
	"headwater/internal/recipe"
)

// The image's labels say where the source is from, and what upstream's own say and does not change with each image.
func TestLabels(t *testing.T) {
	t.Parallel()
	const manifest = `{"name": "quay", "version": "1.0.0", "license": "MIT"}`
	for name, c := range map[string]struct {
		label, manifest string
		options         plan.Options
		want            map[string]string
	}{
		"nothing":                {"other=x", "{}", plan.Options{}, nil},
		"a commit":               {"other=x", "{}", plan.Options{URL: "https://forge.example/quay", Revision: "0a"}, map[string]string{"source": "https://forge.example/quay", "revision": "0a"}},
		"a manifest's licence":   {"other=x", manifest, plan.Options{}, map[string]string{"licenses": "MIT"}},
		"a sentence":             {"other=x", `{"license": "SEE LICENSE IN x"}`, plan.Options{}, nil},
		"no licence":             {"other=x", `{"license": "UNLICENSED"}`, plan.Options{}, nil},
		"the image's":            {`org.opencontainers.image.licenses="MIT OR Apache-2.0" org.opencontainers.image.vendor=Quay`, manifest, plan.Options{}, map[string]string{"licenses": "MIT OR Apache-2.0", "vendor": "Quay"}},
		"an address":             {"org.opencontainers.image.licenses=https://quay.example/LICENSE", manifest, plan.Options{}, map[string]string{"licenses": "MIT"}},
		"of each making":         {"org.opencontainers.image.created=now org.opencontainers.image.version=2 org.opencontainers.image.revision=head", "{}", plan.Options{}, nil},
		"where it is said to be": {"org.opencontainers.image.source=https://other.example/quay", "{}", plan.Options{URL: "https://forge.example/quay"}, map[string]string{"source": "https://forge.example/quay"}},
	} {
		p, err := plan.New(tree("Dockerfile", "FROM debian:trixie\nLABEL "+c.label+"\nCOPY app.sh /app.sh\nCMD [\"/app.sh\"]\n", "app.sh", "#!/bin/sh\n", "package.json", c.manifest), c.options)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]string{}
		for k, v := range c.want {
			want["org.opencontainers.image."+k] = v
			if len(p.Evidence["package.labels.org.opencontainers.image."+k]) == 0 {
				t.Errorf("%s: nothing proves %s", name, k)
			}
		}
		if diff := cmp.Diff(want, p.Recipe.Package.Labels, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// What a build is told of its version is the release that the operator names, where the upstream's own default says none.
func TestVersionOfTheRelease(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ dockerfile, makefile, want string }{
		"an argument without a default":    {"ARG VERSION\nRUN bake v-$VERSION", "", "v-1.2.3"},
		"an argument that says dev":        {"ARG VERSION=dev\nRUN bake v-$VERSION", "", "v-1.2.3"},
		"an argument with a version":       {"ARG VERSION=1.0.0\nRUN bake v-$VERSION", "", "v-1.0.0"},
		"an argument of another name":      {"ARG FLAVOUR=dev\nRUN bake v-$FLAVOUR", "", "v-dev"},
		"what make asks git":               {"RUN make", "V := $(shell git describe --tags 2>/dev/null)\nall:\n\tbake v-$(V)\n", "v-v1.2.3"},
		"what make asks git, cut off":      {"RUN make", "V = $(shell git describe --always | sed 's/^v//')\nall:\n\tbake v-$(V)\n", "v-1.2.3"},
		"what make asks somebody else":     {"RUN make", "V = $(shell date +%s)\nall:\n\tbake v-$(V)\n", "v-"},
		"what make is told as an argument": {"ARG VERSION=dev\nRUN make V=$VERSION", "V = x\nall:\n\tbake v-$(V)\n", "v-1.2.3"},
	} {
		files := []string{"Dockerfile", "FROM debian AS build\nWORKDIR /src\nCOPY . .\n" + c.dockerfile + "\nFROM debian:trixie\nCOPY --from=build /src/" + c.want + " /app\nCMD [\"/app\"]\n"}
		if c.makefile != "" {
			files = append(files, "Makefile", c.makefile)
		}
		p, err := plan.New(tree(files...), plan.Options{Release: "v1.2.3", Recognisers: []plan.Recogniser{baker{}}})
		if err != nil {
			t.Fatal(err)
		}
		if _, got, _ := strings.Cut(p.Recipe.Package.Layout["/app"], ":"); got != c.want {
			t.Errorf("%s: got %q, want %q; %+v", name, got, c.want, p.Questions)
		}
	}
}

// What the steps of a pipeline tell one another of the release comes to the image that they build.
func TestVersionOutOfAPipeline(t *testing.T) {
	t.Parallel()
	const image = "FROM debian AS build\nARG FLAGS=\"\"\nWORKDIR /src\nCOPY . .\nRUN bake v-${FLAGS}\nFROM debian:trixie\nCOPY --from=build /src/v-1.2.3 /app\nCMD [\"/app\"]\n"
	for name, steps := range map[string]string{
		"variables": `
      - run: echo "NUMBER=${GITHUB_REF/refs\/tags\/v/}" >> $GITHUB_ENV
      - run: |
          export FLAGS="$NUMBER$(date)"
          echo "FLAGS=$FLAGS" >> "$GITHUB_ENV"
      - run: docker build --build-arg FLAGS="$FLAGS" -t team/thing:latest .
`,
		"outputs": `
      - id: version
        run: echo "number=${GITHUB_REF_NAME#v}" >> $GITHUB_OUTPUT
      - uses: docker/build-push-action@v6
        with:
          context: .
          tags: team/thing:latest
          build-args: FLAGS=${{ steps.version.outputs.number }}
`,
		"the old form": `
      - id: version
        run: echo ::set-output name=number::${GITHUB_REF#refs/tags/v}
      - uses: docker/build-push-action@v6
        with: {context: ., tags: "team/thing:latest", build-args: "FLAGS=${{ steps.version.outputs.number }}"}
`,
		"several lines": `
      - run: |
          echo "FLAGS<<END" >> $GITHUB_ENV
          echo "${GITHUB_REF_NAME#v}" >> $GITHUB_ENV
          echo "END" >> $GITHUB_ENV
      - uses: docker/build-push-action@v6
        with: {context: ., tags: "team/thing:latest", build-args: "FLAGS=${{ env.FLAGS }}"}
`,
	} {
		p, err := plan.New(tree("Dockerfile", image, ".github/workflows/release.yml", "jobs:\n  image:\n    steps:"+steps), plan.Options{Release: "v1.2.3", Recognisers: []plan.Recogniser{baker{}}})
		if err != nil {
			t.Fatal(err)
		}
		if _, got, _ := strings.Cut(p.Recipe.Package.Layout["/app"], ":"); got != "v-1.2.3" {
			t.Errorf("%s: got %q; %+v", name, got, p.Questions)
		}
	}
}

// A compose file that starts databases alone is there to work on the service with: what the service needs, and not by which variables.
func TestComposeOfDatabases(t *testing.T) {
	t.Parallel()
	image := main("serve") + "EXPOSE 8080\n"
	for compose, asks := range map[string]bool{
		"services: {db: {image: postgres, ports: ['5432:5432']}, cache: {image: 'redis:8'}}\n": true,
		"services: {mail: {image: axllent/mailpit}}\n":                                         false,
		"services: {db: {image: postgres}, other: {build: other}}\n":                           false,
	} {
		p := planned(t, "Dockerfile", image, "compose.yml", compose)
		if got := slices.ContainsFunc(p.Questions, func(q plan.Question) bool { return q.About == "services" && strings.Contains(q.Ask, "cache, db") }); got != asks {
			t.Errorf("%s: %+v", compose, p.Questions)
		}
	}
}

// A compose file among examples says what a service needs that no other starts; what it gives for a password is no secret.
func TestExampleCompose(t *testing.T) {
	t.Parallel()
	const compose = `
services:
  thing:
    image: ${IMAGE:-team/thing:latest}
    ports: ["80:8080"]
    environment: [DATABASE_URL=postgres://thing:hidden@db/thing, RUN_MIGRATIONS=1, ADMIN_PASSWORD=test123, HIDE_PASSWORD=true, TOKEN=/run/token]
  db: {image: postgres:17, environment: [POSTGRES_USER=thing, POSTGRES_PASSWORD=hidden]}
`
	files := []string{"Dockerfile", main("serve") + "EXPOSE 8080\n", "Makefile", "image:\n\tdocker build -t team/thing:1 .\n", "contrib/docker-compose/basic.yml", compose}
	p := planned(t, files...)
	want := recipe.Package{
		Env:     map[string]string{"RUN_MIGRATIONS": "1", "HIDE_PASSWORD": "true", "TOKEN": "/run/token"},
		Secrets: []string{"ADMIN_PASSWORD"},
	}
	if diff := cmp.Diff(want, recipe.Package{Env: p.Recipe.Package.Env, Secrets: p.Recipe.Package.Secrets}); diff != "" {
		t.Error(diff)
	}
	if _, ok := p.Recipe.Services["db"]; !ok {
		t.Errorf("no database: %+v", p.Recipe.Services)
	}
	// The upstream's own is taken before any example.
	p = planned(t, append(files, "compose.yml", "services:\n  thing: {build: ., environment: {OWN: \"1\"}}\n")...)
	if diff := cmp.Diff(map[string]string{"OWN": "1"}, p.Recipe.Package.Env); diff != "" || len(p.Recipe.Services) > 0 {
		t.Error(diff, p.Recipe.Services)
	}
}

// Of what a build makes, a part may be moved away, and the rest moved after it.
func TestMovingPartsOfAProduct(t *testing.T) {
	t.Parallel()
	p := planned(t,
		"Dockerfile", "FROM debian AS build\nWORKDIR /src\nCOPY web web\nRUN cd web && bake notes.txt && mv out/index.html out/app.html && mv out ../site\n"+
			"FROM debian:trixie\nCOPY --from=build /src/site /app/site\nCMD [\"/bin/true\"]\n", "web/a", "")
	if diff := cmp.Diff(map[string]string{"/app/site": "web:out", "/app/site/app.html": "web:out/index.html"}, p.Recipe.Package.Layout); diff != "" {
		t.Error(diff, p.Questions)
	}
}

// Where no volume is named, defaults of settings say where files are kept.
func TestDataFolder(t *testing.T) {
	t.Parallel()
	image := strings.Replace(main("serve"), "COPY --from", "WORKDIR /app\nCOPY --from", 1)
	for name, c := range map[string]struct{ dockerfile, source, want string }{
		"defaults of settings":  {image, "db := \"data/app.db\"\ncerts := \"./data/certs\"\n", "/app/data"},
		"one path":              {image, "asset := \"data/names.json\"\n", ""},
		"a volume is named":     {image + "VOLUME /state\n", "db := \"data/app.db\"\ncerts := \"data/certs\"\n", "/state"},
		"no working directory":  {main("serve"), "db := \"data/app.db\"\ncerts := \"data/certs\"\n", ""},
		"an argument's file":    {main("serve") + "CMD [\"--config\", \"/state/app.toml\"]\n", "", "/state"},
		"an argument's folder":  {main("serve") + "CMD [\"--keep=/var/lib/app\"]\n", "", "/var/lib/app"},
		"of the system":         {main("serve") + "CMD [\"--config\", \"/etc/app/app.toml\", \"/app/app.bin\"]\n", "", ""},
		"what the image brings": {strings.Replace(image, "COPY --from", "COPY data data\nCOPY --from", 1), "db := \"data/app.db\"\ncerts := \"data/certs\"\n", ""},
	} {
		p := planned(t, "Dockerfile", c.dockerfile, "config.go", c.source, "data/a", "")
		if got := strings.Join(p.Recipe.Package.Volumes, " "); got != c.want {
			t.Errorf("%s: volumes %q, want %q", name, got, c.want)
		}
	}
}
