package all_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"headwater/internal/ecosystem/all"
	"headwater/internal/plan"
	"headwater/internal/source"
)

const (
	planTime   = 20 * time.Second
	planMemory = 1 << 30 // bytes that a plan may allocate, all in all
)

// service is a tree of every language, which is planned whole.
func service() map[string]string {
	return map[string]string{
		"Dockerfile": `FROM golang:1.26 AS server
WORKDIR /src
COPY go.mod go.sum ./
COPY cmd cmd
RUN go build -o /server ./cmd/server
FROM node:24 AS web
WORKDIR /web
COPY web .
RUN npm ci && npm run build
FROM rust:1 AS worker
WORKDIR /worker
COPY worker .
RUN cargo build --release
FROM python:3.13-slim
LABEL org.opencontainers.image.title=service
WORKDIR /app
COPY requirements.txt .
RUN pip install -r requirements.txt
COPY app app
COPY --from=server /server /usr/bin/server
COPY --from=web /web/dist /web
COPY --from=worker /worker/target/release/worker /usr/bin/worker
CMD ["/usr/bin/server"]
`,
		".dockerignore":            ".git\n",
		"go.mod":                   "module service.example\n\ngo 1.26\n",
		"go.sum":                   "",
		"cmd/server/main.go":       "package main\n\nimport \"net/http\"\n\nfunc main() { http.HandleFunc(\"/health\", nil) }\n",
		"web/package.json":         `{"name": "web", "version": "1.0.0", "scripts": {"build": "tool"}}`,
		"web/package-lock.json":    `{"name": "web", "lockfileVersion": 3, "packages": {"": {"name": "web"}}}`,
		"web/src/main.ts":          "",
		"worker/Cargo.toml":        "[package]\nname = \"worker\"\nversion = \"1.0.0\"\nedition = \"2024\"\n",
		"worker/Cargo.lock":        "version = 4\n\n[[package]]\nname = \"worker\"\nversion = \"1.0.0\"\n",
		"worker/src/main.rs":       "fn main() {}\n",
		"requirements.txt":         "",
		"pyproject.toml":           "[project]\nname = \"service\"\nversion = \"1.0.0\"\n",
		"app/main.py":              "",
		"compose.yml":              "services: {app: {build: ., ports: [\"8080:8080\"]}}\n",
		".github/workflows/ci.yml": "jobs: {build: {steps: [{run: docker build .}]}}\n",
		"Makefile":                 "image:\n\tdocker build .\n",
		"Taskfile.yml":             "tasks: {image: docker build .}\n",
		"openapi.yml":              "openapi: 3.1.0\ninfo: {title: a, version: \"1\"}\npaths: {}\n",
	}
}

// write makes a folder of files; content that starts with "-> " is a link.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		at := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if to, ok := strings.CutPrefix(content, "-> "); ok {
			if err := os.Symlink(to, at); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.WriteFile(at, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// planned plans a folder as headwater plan does, in bounded time and memory.
func planned(t *testing.T, dir string) (*plan.Plan, error) {
	t.Helper()
	type result struct {
		plan *plan.Plan
		err  error
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	done := make(chan result, 1)
	go func() {
		tree, err := source.Open(dir)
		if err != nil {
			done <- result{nil, err}
			return
		}
		p, err := plan.New(plan.NewTree(tree.FS(), tree.Paths()), plan.Options{Name: "service", Recognisers: all.Recognisers()})
		done <- result{p, err}
	}()
	select {
	case r := <-done:
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > planMemory {
			t.Errorf("planning allocated %d MiB", n>>20)
		}
		return r.plan, r.err
	case <-time.After(planTime):
		t.Fatalf("planning takes more than %v", planTime)
		return nil, nil
	}
}

func said(p *plan.Plan, err error) string {
	var s strings.Builder
	if err != nil {
		s.WriteString("error: " + err.Error() + "\n")
	}
	if p != nil {
		for _, q := range p.Questions {
			s.WriteString("open: " + q.About + ": " + q.Ask + "\n")
		}
		for _, r := range p.Remarks {
			s.WriteString("remark: " + r.Text + "\n")
		}
	}
	return s.String()
}

// A file of two gigabytes is not read, whichever it is; where it is one that the plan is made of, that is said.
func TestHugeFiles(t *testing.T) {
	p, err := planned(t, write(t, service()))
	if err != nil || len(p.Questions) > 0 {
		t.Fatalf("the service itself is not planned:\n%s", said(p, err))
	}
	told := map[string]string{
		".dockerignore": "read .dockerignore: has more than", ".github/workflows/ci.yml": "read .github/workflows/ci.yml: has more than",
		"Dockerfile": "read Dockerfile: has more than", "Makefile": "read Makefile: has more than", "Taskfile.yml": "read Taskfile.yml: has more than", "compose.yml": "read compose.yml: has more than",
		"requirements.txt": "read requirements.txt: has more than", "web/package-lock.json": "read web/package-lock.json: has more than",
		"worker/Cargo.lock": "read worker/Cargo.lock: has more than", "worker/Cargo.toml": "read worker/Cargo.toml: has more than",
		"go.mod": "open: components: go build", "web/package.json": "open: components: npm",
	}
	for _, name := range slices.Sorted(maps.Keys(service())) {
		t.Run(name, func(t *testing.T) {
			dir := write(t, service())
			if err := os.Truncate(filepath.Join(dir, name), 2<<30); err != nil {
				t.Fatal(err)
			}
			if got := said(planned(t, dir)); !strings.Contains(got, told[name]) {
				t.Errorf("%q is not said in\n%s", told[name], got)
			}
		})
	}
	files := service()
	files["data/big.bin"] = ""
	dir := write(t, files)
	if err := os.Truncate(filepath.Join(dir, "data/big.bin"), 2<<30); err != nil {
		t.Fatal(err)
	}
	if got := said(planned(t, dir)); strings.Contains(got, "open:") {
		t.Errorf("a large file of no meaning:\n%s", got)
	}
}

// docker is a Dockerfile that runs a shell text.
func docker(run string) string {
	return "FROM python:3.13\nEXPOSE 8080\nWORKDIR /app\nCOPY . .\nRUN " + run + "\nCMD [\"/app/main.py\"]\n"
}

// script are the files of a service that runs and reads a shell script.
func script(text string) map[string]string {
	return map[string]string{"Dockerfile": docker("sh x.sh && . ./x.sh"), "x.sh": text}
}

// laughs is YAML of which all that is named x9 has some billions of words, followed by what uses it.
func laughs(end string) string {
	var s strings.Builder
	s.WriteString("x0: &x0 [ha, ha, ha, ha, ha, ha, ha, ha, ha]\n")
	for i := 1; i < 10; i++ {
		fmt.Fprintf(&s, "x%d: &x%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*x%d, ", i-1), 9), ", "))
	}
	return s.String() + end
}

// doubled are variables of tasks, each of which has the one before twice.
func doubled(n int) string {
	var s strings.Builder
	for i := range n {
		fmt.Fprintf(&s, ", A%d: '{{.A%d}}{{.A%d}}'", i+1, i, i)
	}
	return s.String()
}

// hostile are the files by which a tree differs from service, "-" for one that it has not, and what is said of it.
type hostile struct {
	files map[string]string
	says  string
}

func one(name, content, says string) hostile { return hostile{map[string]string{name: content}, says} }

func cycles() map[string]hostile {
	return map[string]hostile{
		"stages of each other":    one("Dockerfile", "FROM b AS a\nFROM a AS b\nCMD [\"/x\"]\n", "the image b is not built from this tree"),
		"a stage of itself":       one("Dockerfile", "FROM a AS a\nCMD [\"/x\"]\n", "the image a is not built from this tree"),
		"stages that copy":        one("Dockerfile", "FROM debian AS a\nCOPY --from=b /x /x\nFROM a AS b\nCOPY --from=a /x /x\nCMD [\"/x\"]\n", "out of the image b, which is not built from this tree"),
		"images of each other":    {map[string]string{"Dockerfile": "FROM service.example/one\nCMD [\"/x\"]\n", "two/Dockerfile": "FROM service.example/two\nCMD [\"/x\"]\n", "compose.yml": "services:\n  one: {image: service.example/one, build: two}\n  two: {image: service.example/two, build: .}\n"}, "the image service.example/one is not built from this tree"},
		"a make target of itself": one("Makefile", "A = $(A)\nB = $(C)$(C)\nC = $(B)$(B)\nimage: image\n\t$(MAKE) image\n\tdocker build $(A)$(B) .\ninclude Makefile\n", "make image in Makefile was not followed"),
		"tasks":                   one("Taskfile.yml", "includes: {a: ., b: {taskfile: Taskfile.yml, flatten: true}}\nvars: {A: '{{.B}}', B: '{{.A}}{{.A}}'}\ntasks:\n  a: {deps: [b, b], cmds: [docker build ., {task: a}, {task: a}]}\n  b: {cmds: [{task: a}, task b], vars: {A: {sh: task b}}}\n", "call one another without end"),
		"npm scripts":             one("web/package.json", `{"name": "web", "scripts": {"prebuild": "npm run build", "build": "npm run build && npm run b", "b": "npm run build"}}`, ""),
		"npm workspaces":          {map[string]string{"web/package.json": `{"name": "web", "workspaces": [".", "..", "a", "**", "../web"], "scripts": {"build": "npm run build --workspaces"}}`, "web/a/package.json": `{"name": "a", "workspaces": ["..", "../../web"], "dependencies": {"web": "*"}}`}, ""},
		"cargo workspaces": {map[string]string{
			"worker/Cargo.toml":   "[workspace]\nmembers = [\".\", \"a\", \"..\", \"**\"]\n[package]\nname = \"worker\"\nversion = \"1.0.0\"\nworkspace = \"a\"\n[dependencies]\na = {path = \"a\"}\n",
			"worker/a/Cargo.toml": "[workspace]\nmembers = [\"..\"]\n[package]\nname = \"a\"\nversion = \"1.0.0\"\nworkspace = \"..\"\n[dependencies]\nworker = {path = \"..\"}\n",
		}, "what cargo builds in /worker is not known"},
		"go workspaces": {map[string]string{
			"go.work": "go 1.26\nuse (\n.\n./a\n../..\n)\n", "a/a.go": "package a\nimport _ \"service.example/cmd/server\"\n",
			"a/go.mod": "module a.example\n\ngo 1.26\n\nreplace service.example => ..\nrequire service.example v0.0.0\n",
			"go.mod":   "module service.example\n\ngo 1.26\n\nreplace a.example => ./a\nrequire a.example v0.0.0\n",
		}, ""},
		"uv workspaces": {map[string]string{
			"pyproject.toml":   "[project]\nname = \"app\"\nversion = \"1.0.0\"\ndependencies = [\"b\"]\n[tool.uv.workspace]\nmembers = [\"b\", \".\", \"..\"]\n[tool.uv.sources]\nb = {workspace = true}\n",
			"b/pyproject.toml": "[project]\nname = \"b\"\nversion = \"1.0.0\"\ndependencies = [\"app\"]\n[tool.uv.workspace]\nmembers = [\"..\"]\n[tool.uv.sources]\napp = {path = \"..\"}\n",
			"uv.lock":          "version = 1\n", "Dockerfile": docker("uv sync --frozen"),
		}, "uv.lock"},
		"requirements files": {map[string]string{"requirements.txt": "-r other.txt\n", "other.txt": "-r requirements.txt\n-c other.txt\n"}, ""},
		"actions":            {map[string]string{".github/workflows/ci.yml": "jobs: {build: {steps: [{uses: ./x}, {run: docker build .}]}, w: {uses: ./.github/workflows/ci.yml}}\n", "x/action.yml": "runs: {using: composite, steps: [{uses: ./x}, {uses: ./x}]}\n"}, ""},
		"compose files":      one("compose.yml", "include: [compose.yml]\nservices: {app: {extends: {service: app}, build: ., ports: [\"80:8080\"]}, b: {extends: {file: compose.yml, service: c}}, c: {extends: {file: compose.yml, service: b}}}\n", ""),
		"YAML":               one("compose.yml", "services: {app: &a {build: ., <<: *a}}\n", "value contains itself"),
		"a script":           {script(". ./x.sh\nsh x.sh\n./x.sh\n"), "does not end"},
		"a function":         {script("cd() { cd; }; cd; f() { $(f); (f); }; f"), "does not end"},
		"a text":             {script("a='eval \"$a\"'; eval \"$a\""), "does not end"},
		"a loop":             {script("while [[ 1 ]]; do a=1; done"), "does not end"},
		"a loop in a text":   {script("eval 'for ((;;)); do a=1; done'"), "does not end"},
		"links":              {map[string]string{"worker": "-> worker", "worker/Cargo.toml": "-", "worker/Cargo.lock": "-", "worker/src/main.rs": "-", "app/loop": "-> ../app"}, "cargo"},
	}
}

func large() map[string]hostile {
	const n = 1 << 20
	deep := func(open, end string, n int) string { return strings.Repeat(open, n) + strings.Repeat(end, n) }
	return map[string]hostile{
		"JSON":                   one("web/package.json", deep(`{"a":`, "}", n), "web/package.json is not understood"),
		"JSON lock":              one("web/package-lock.json", deep("[", "]", n), "web/package-lock.json cannot be used"),
		"YAML":                   one("compose.yml", deep("[", "]", n/4), "read compose.yml: "),
		"YAML blocks":            one("compose.yml", strings.Repeat("- ", n/4), "read compose.yml: "),
		"TOML arrays":            one("worker/Cargo.toml", "a = "+deep("[", "]", 4*n), "nested more than"),
		"TOML tables":            one("worker/Cargo.toml", "a = "+deep("{a=", "}", n), "nested more than"),
		"TOML names":             one("worker/Cargo.lock", strings.Repeat("a.", n)+"a = 1", "nested more than"),
		"TOML headers":           one("pyproject.toml", "["+strings.Repeat("a.", n)+"a]\n", ""),
		"Go":                     one("cmd/server/main.go", "package main\n\nvar x = "+deep("(", ")", n)+"\n", ""),
		"go.mod":                 one("go.mod", "module a\nrequire "+deep("(", ")", n), "go build"),
		"make":                   one("Makefile", "A = "+deep("$(", ")", n/8)+"\nimage:\n\tdocker build $(A) .\n", ""),
		"a Taskfile":             one("Taskfile.yml", "# docker\ntasks: "+deep("[", "]", n/4), "read Taskfile.yml: "),
		"variables of tasks":     one("Taskfile.yml", "vars: {A0: xxxxxxxx"+doubled(60)+"}\ntasks: {image: 'docker build {{.A60}} .'}\n", ""),
		"laughs in a Taskfile":   one("Taskfile.yml", laughs("vars: *x9\ntasks: {image: {cmds: [docker build ., *x9], deps: *x9, aliases: *x9}}\n"), "read Taskfile.yml: "),
		"a marker":               one("requirements.txt", "a==1 ; "+deep("(", ")", n), "requirements.txt:1: "),
		"compose variables":      one("compose.yml", "services: {app: {build: ., image: \""+deep("${A:-", "}", n/16)+"\"}}\n", ""),
		"workflow expressions":   one(".github/workflows/ci.yml", "jobs: {build: {steps: [{run: \"docker build ${{ "+deep("(", ")", n/8)+" }} .\"}]}}\n", ""),
		"a shell's parentheses":  {script(strings.Repeat("(", 60<<10)), "x.sh"},
		"a shell's calls":        {script(strings.Repeat("$(", 30<<10)), "x.sh"},
		"a large script":         {script(strings.Repeat("(", 16*n)), "x.sh is not followed"},
		"laughs in compose":      one("compose.yml", laughs("services: {app: {build: ., command: *x9, environment: *x9, ports: *x9, volumes: *x9}}\n"), ""),
		"laughs in a workflow":   one(".github/workflows/ci.yml", laughs("jobs: {build: {strategy: {matrix: {a: *x9}}, steps: [{run: docker build ., env: *x9, with: *x9}, *x9]}}\n"), "read .github/workflows/ci.yml"),
		"laughs in a document":   one("openapi.yml", "openapi: 3.1.0\ninfo: {title: a, version: \"1\"}\n"+laughs("paths: {/a: *x9}\n"), ""),
		"laughs in a pnpm lock":  {map[string]string{"web/pnpm-lock.yaml": laughs("lockfileVersion: '9.0'\nimporters: {.: {dependencies: *x9}}\npackages: *x9\n"), "web/package-lock.json": "-", "Dockerfile": "FROM node:24\nWORKDIR /web\nCOPY web .\nRUN pnpm install --frozen-lockfile && pnpm build\nCMD [\"node\", \"x.js\"]\n"}, "web/pnpm-lock.yaml cannot be used"},
		"laughs in a yarn lock":  {map[string]string{"web/yarn.lock": laughs("__metadata: {version: 8}\na: *x9\n"), "web/package-lock.json": "-", "Dockerfile": "FROM node:24\nWORKDIR /web\nCOPY web .\nRUN yarn install --immutable && yarn build\nCMD [\"node\", \"x.js\"]\n"}, "web/yarn.lock cannot be used"},
		"values of a Dockerfile": one("Dockerfile", "FROM debian\nENV A=xxxxxxxx\n"+strings.Repeat("ENV A=$A$A\n", 60)+"CMD [\"/x\"]\n", "expands to more than"),
		"values of a shell":      {script("a=xxxxxxxx" + strings.Repeat(" && a=$a$a", 60)), "its values grow"},
		"values in a loop":       {script("a=(x x); while [[ 1 ]]; do export b=${a[*]}; a=(\"${a[@]}\" \"${a[@]}\"); done"), "its values grow"},
		"commands":               one("Dockerfile", docker("for a in 1 2 3 4 5 6 7 8 9; do for b in 1 2 3 4 5 6 7 8 9; do for c in 1 2 3 4 5 6 7 8 9; do for d in 1 2 3 4 5 6 7 8 9; do for e in 1 2 3 4 5 6 7 8 9; do x $a$b; done; done; done; done; done"), "Dockerfile was left aside"),
		"braces":                 one("Dockerfile", docker("x "+strings.Repeat("{a,b,c,d,e,f,g,h}", 20)), ""),
		"patterns":               one(".dockerignore", strings.Repeat("**/", 10000)+"x\n"+strings.Repeat("*a", 10000)+"\n", "a pattern has more than"),
		"globs":                  one("web/package.json", `{"name": "web", "workspaces": ["`+strings.Repeat("**/", 5000)+`x", "`+deep("{a,", "}", 5000)+`"]}`, ""),
		"stages":                 one("Dockerfile", strings.Repeat("FROM debian\nCOPY . .\n", 10000)+"CMD [\"/x\"]\n", ""),
	}
}

// Whatever a tree is made of, planning it ends soon, and without much memory.
func TestHostileTrees(t *testing.T) {
	for kind, cases := range map[string]map[string]hostile{"cycles": cycles(), "large": large()} {
		for _, name := range slices.Sorted(maps.Keys(cases)) {
			t.Run(kind+"/"+name, func(t *testing.T) {
				files := service()
				maps.Copy(files, cases[name].files)
				maps.DeleteFunc(files, func(_, content string) bool { return content == "-" })
				if got := said(planned(t, write(t, files))); !strings.Contains(got, cases[name].says) {
					t.Errorf("%q is not said in\n%.2000s", cases[name].says, got)
				}
			})
		}
	}
}

// Where files contradict one another, the documented one counts, and it is said; what cannot be had is asked for.
func TestContradictions(t *testing.T) {
	for _, c := range []struct{ name, content, says, toolchain, version string }{
		{"go.mod", "module service.example\n\ngo 1.27\n\ntoolchain go1.28.1\n", "", "go", "1.28.1"},
		{"web/package.json", `{"name": "web", "engines": {"node": ">=26"}, "scripts": {"build": "tool"}}`, "wants Node.js >=26, and it is made with 24", "node", "24"},
		{"web/package.json", `{"name": "web", "engines": {"node": ">=20 <25"}, "scripts": {"build": "tool"}}`, "", "node", "24"},
		{"worker/Cargo.toml", "[package]\nname = \"worker\"\nversion = \"1.0.0\"\nedition = \"2024\"\nrust-version = \"2.1\"\n", "open: roots: no Debian suite is known to have Rust 2.1", "", ""},
	} {
		files := service()
		files[c.name] = c.content
		p, err := planned(t, write(t, files))
		got := said(p, err)
		if err != nil || !strings.Contains(got, c.says) || c.says == "" && strings.Contains(got, "wants") || c.toolchain != "" && p.Recipe.Toolchains[c.toolchain] != c.version {
			t.Errorf("%s: %q is not said in\n%s, or %s is not %s", c.content, c.says, got, c.toolchain, c.version)
		}
	}
}

// A link that leads out of the tree is not followed, whichever file it stands for, and where that matters it is said.
func TestLinksOutOfTheTree(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("SECRET"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(service())) {
		files := service()
		files[name] = "-> " + secret
		got := said(planned(t, write(t, files)))
		if strings.Contains(got, "SECRET") {
			t.Errorf("%s was followed:\n%s", name, got)
		}
		if slices.Contains([]string{".dockerignore", ".github/workflows/ci.yml", "Dockerfile", "Makefile", "Taskfile.yml", "compose.yml"}, name) && !strings.Contains(got, "open "+name+": a link leads out of the tree") {
			t.Errorf("%s: nothing is said of the link:\n%s", name, got)
		}
	}
}
