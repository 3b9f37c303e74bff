package node_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"headwater/internal/ecosystem/node"
	"headwater/internal/plan"
	"headwater/internal/recipe"
)

// planned plans a tree of files given as path and content in turn.
func planned(t *testing.T, files ...string) *plan.Plan {
	t.Helper()
	fsys, names := fstest.MapFS{}, []string(nil)
	for i := 0; i+1 < len(files); i += 2 {
		fsys[files[i]] = &fstest.MapFile{Data: []byte(files[i+1])}
		names = append(names, files[i])
	}
	p, err := plan.New(plan.NewTree(fsys, names), plan.Options{Name: "svc", Release: "1", Recognisers: []plan.Recogniser{node.NewRecogniser()}})
	if err != nil {
		t.Fatal(err)
	}
	if p.Recipe == nil {
		t.Fatalf("no recipe: %+v", p.Questions)
	}
	return p
}

const (
	emptyNpmLock  = `{"lockfileVersion":3,"packages":{"":{}}}`
	emptyPnpmLock = "lockfileVersion: '9.0'\n"
)

func TestPlan(t *testing.T) {
	for name, c := range map[string]struct {
		files      []string
		component  string
		want       recipe.Component // without its root
		toolchains map[string]string
	}{
		"installed in one stage, built in another": {
			files: []string{
				"Dockerfile", "FROM node:24-alpine AS deps\nRUN npm install -g pnpm@9\nWORKDIR /app\nCOPY web/package.json web/pnpm-lock.yaml ./\nRUN pnpm install --frozen-lockfile\n" +
					"FROM node:24-alpine AS build\nRUN npm install -g pnpm@9\nWORKDIR /app\nCOPY web .\nCOPY --from=deps /app/node_modules ./node_modules\nRUN pnpm build\nFROM nginx\nCOPY --from=build /app/out /srv\n",
				"web/package.json", `{"scripts":{"build":"tool","postinstall":"prepare-it"}}`, "web/pnpm-lock.yaml", emptyPnpmLock, "web/a.ts", "",
			},
			component:  "web",
			want:       recipe.Component{Ecosystem: "node", Dir: "web", Src: []string{"web", "!web/node_modules"}, Build: []string{"pnpm run postinstall", "pnpm build"}, Output: map[string]string{"out": "out"}},
			toolchains: map[string]string{"node": "24", "pnpm": "9"},
		},
		"corepack, and the package manager that package.json names": {
			files: []string{
				"Dockerfile", "FROM registry.example/library/node:22.4.1-slim AS build\nWORKDIR /w\nCOPY . .\nRUN corepack enable && corepack pnpm install && corepack pnpm -C web run build\nFROM scratch\nCOPY --from=build /w/web/dist /web\n",
				"web/package.json", `{"packageManager":"pnpm@10.1.0+sha512.abc","scripts":{"build":"tool"},"engines":{"node":">=20"}}`, "web/pnpm-lock.yaml", emptyPnpmLock,
				"web/src/a.ts", `import b from "../../shared/b"; import c from "./c";`, "shared/b.ts", "", "shared/other.ts", "", "docs/x.md", "",
			},
			component:  "web",
			want:       recipe.Component{Ecosystem: "node", Dir: "web", Src: []string{"shared/b.ts", "web"}, Build: []string{"pnpm run build"}, Output: map[string]string{"dist": "dist"}},
			toolchains: map[string]string{"node": "22.4.1", "pnpm": "10.1.0"},
		},
		"written outside of the project": {
			files: []string{
				"Dockerfile", "FROM node:lts AS build\nWORKDIR /w\nCOPY . .\nRUN cd ui && yarn && yarn release\nFROM scratch\nCOPY --from=build /w/server/dist /web\n",
				"ui/package.json", `{"scripts":{"release":"tool build --outDir=../server/dist"}}`, "ui/yarn.lock", "# yarn lockfile v1\n", "server/a.go", "",
			},
			component:  "ui",
			want:       recipe.Component{Ecosystem: "node", Dir: "ui", Src: []string{"ui"}, Build: []string{"yarn release"}, Output: map[string]string{"dist": "../server/dist"}},
			toolchains: map[string]string{"node": "lts", "yarn": "1"},
		},
		"of the Node.js that the tree's other image has": {
			files: []string{
				"Dockerfile", "FROM example/tools AS build\nWORKDIR /w\nCOPY . .\nRUN cd ui && npm ci && npm run build\nFROM scratch\nCOPY --from=build /w/ui/dist /web\n",
				"ui/Dockerfile", "FROM --platform=$BUILDPLATFORM node:24.3-slim\nCOPY . /ui\n", "docs/Dockerfile", "FROM node:18\n",
				".github/workflows/build.yml", "jobs:\n  ui:\n    steps:\n      - uses: actions/setup-node@v4\n        with:\n          node-version: '20'\n",
				"ui/package.json", `{"scripts":{"build":"tool"}}`, "ui/package-lock.json", emptyNpmLock,
			},
			component:  "ui",
			want:       recipe.Component{Ecosystem: "node", Dir: "ui", Src: []string{"ui"}, Build: []string{"npm run build"}, Output: map[string]string{"dist": "dist"}},
			toolchains: map[string]string{"node": "24.3", "npm": "11"},
		},
		"by the version of the packages' repository": {
			files: []string{
				"Dockerfile", "FROM debian:trixie AS build\nRUN curl -fsSL https://packages.example/setup_22.x | bash - && apt-get install -y nodejs\nWORKDIR /w\nCOPY . .\nRUN npm ci && npm run build\nFROM scratch\nCOPY --from=build /w/dist /web\n",
				"package.json", `{"scripts":{"build":"tool"}}`, "package-lock.json", emptyNpmLock,
			},
			component:  "node",
			want:       recipe.Component{Ecosystem: "node", Src: []string{"**", "!node_modules"}, Build: []string{"npm run build"}, Output: map[string]string{"dist": "dist"}},
			toolchains: map[string]string{"node": "22", "npm": "10"},
		},
		"by the one of several that are allowed with which it is built": {
			files: []string{
				"Dockerfile", "FROM debian:trixie AS build\nWORKDIR /w\nCOPY . .\nRUN npm ci && npm run build\nFROM scratch\nCOPY --from=build /w/dist /web\n",
				".github/workflows/build.yml", "jobs:\n  ui:\n    steps:\n      - uses: actions/setup-node@v4\n        with:\n          node-version: 24\n",
				"package.json", `{"scripts":{"build":"tool"},"engines":{"node":"^20.19 || ^22.12 || >=24"}}`, "package-lock.json", emptyNpmLock,
			},
			component:  "node",
			want:       recipe.Component{Ecosystem: "node", Src: []string{"**", "!node_modules"}, Build: []string{"npm run build"}, Output: map[string]string{"dist": "dist"}},
			toolchains: map[string]string{"node": "24", "npm": "11"},
		},
		"written outside by Angular, in the configuration that is built": {
			files: []string{
				"Dockerfile", "FROM node:24 AS build\nCOPY ui /w/ui\nWORKDIR /w/ui\nRUN corepack enable && pnpm install\nRUN ./node_modules/.bin/ng build --configuration production\nFROM scratch\nCOPY --from=build /w/app/static/ /web/\n",
				"ui/package.json", `{"packageManager":"pnpm@10.1.0"}`, "ui/pnpm-lock.yaml", emptyPnpmLock,
				"ui/angular.json", `{"projects":{"ui":{"architect":{"build":{"options":{"outputPath":{"base":"dist/ui"}},"configurations":{"production":{"outputPath":"../app/static/"}}}}}}}`,
			},
			component:  "ui",
			want:       recipe.Component{Ecosystem: "node", Dir: "ui", Src: []string{"ui", "!ui/node_modules"}, Build: []string{"./node_modules/.bin/ng build --configuration production"}, Output: map[string]string{"static": "../app/static"}},
			toolchains: map[string]string{"node": "24", "pnpm": "10.1.0"},
		},
		"built before the image, by a script that calls Vite with a configuration elsewhere": {
			files: []string{
				"Dockerfile", "FROM node:22-slim\nWORKDIR /app\nCOPY package.json package-lock.json ./\nRUN npm ci --omit=dev\nCOPY . .\nCMD [\"node\", \"server.js\"]\n",
				"package.json", `{"scripts":{"build":"vite build --config ./config/web.js","image":"npm run build && docker build -t x ."},"engines":{"node":">= 20.4.0"}}`,
				"package-lock.json", emptyNpmLock, "config/web.js", "export default {}", "server.js", "", "src/a.js", "",
			},
			component:  "node",
			want:       recipe.Component{Ecosystem: "node", Src: []string{"**"}, Build: []string{"npm run build"}, Output: map[string]string{"dist": "dist"}},
			toolchains: map[string]string{"node": "22", "npm": "10"},
		},
		"beside what another build made, which its files do not name": {
			files: []string{
				"Dockerfile", "FROM node:24 AS build\nWORKDIR /w\nCOPY Makefile .\nCOPY a ./a\nRUN cd a && npm ci && npm run build\nCOPY b ./b\nRUN cd b && npm ci && npm run build\nCOPY web ./web\nRUN cd web && npm ci && npm run build\nFROM scratch\nCOPY --from=build /w/web/dist /web\n",
				"Makefile", "", "a/package.json", `{"scripts":{"build":"tool --out ../made/a"}}`, "a/package-lock.json", emptyNpmLock,
				"b/package.json", `{"scripts":{"build":"tool --out ../made/b"}}`, "b/package-lock.json", emptyNpmLock,
				"web/package.json", `{"scripts":{"build":"tool ../made/b --out ../x"}}`, "web/package-lock.json", emptyNpmLock,
			},
			component: "web",
			want: recipe.Component{
				Ecosystem: "node", Dir: "web", Src: []string{"Makefile", "a", "b", "web", "!a/node_modules", "!b/node_modules", "!web/node_modules"}, Build: []string{"npm run build"}, Output: map[string]string{"dist": "dist"},
				Uses: []recipe.Use{{Component: "b", Path: "b", At: "made/b"}},
			},
			toolchains: map[string]string{"node": "24", "npm": "11"},
		},
		"by the npm that wrote the lock": {
			files: []string{
				"Dockerfile", "FROM node:24 AS build\nWORKDIR /w\nCOPY web .\nRUN npm ci && npm run build\nFROM scratch\nCOPY --from=build /w/dist /web\n",
				"web/package.json", `{"scripts":{"build":"tool"},"engines":{"npm":">=11"},"devEngines":{"packageManager":{"name":"npm","version":">=11.6.2"}}}`, "web/package-lock.json", emptyNpmLock,
			},
			component:  "web",
			want:       recipe.Component{Ecosystem: "node", Dir: "web", Src: []string{"web", "!web/node_modules"}, Build: []string{"npm run build"}, Output: map[string]string{"dist": "dist"}},
			toolchains: map[string]string{"node": "24", "npm": "11.6.2"},
		},
		"in a member of a workspace that is installed as a whole": {
			files: []string{
				"Dockerfile", "FROM node:24 AS build\nRUN npm install -g pnpm@10\nWORKDIR /w\nCOPY . .\nRUN pnpm install\nRUN cd apps/web && pnpm build\nFROM scratch\nCOPY --from=build /w/apps/web/dist /web\n",
				"package.json", `{"name":"all"}`, "pnpm-lock.yaml", emptyPnpmLock + "importers:\n  .: {}\n  apps/web: {}\n", "apps/web/package.json", `{"name":"web","scripts":{"build":"tool"}}`, "shared/a.ts", "",
			},
			component:  "web",
			want:       recipe.Component{Ecosystem: "node", Dir: "apps/web", Src: []string{"**", "!apps/web/node_modules", "!node_modules"}, Build: []string{"pnpm build"}, Output: map[string]string{"dist": "dist"}},
			toolchains: map[string]string{"node": "24", "pnpm": "10"},
		},
		"of a part of a workspace": {
			files: []string{
				"Dockerfile", "FROM node:24 AS part\nWORKDIR /w\nCOPY . .\nRUN npx turbo@2 prune web --docker\nFROM node:24 AS build\nWORKDIR /w\nCOPY --from=part /w/out/json/ .\nCOPY --from=part /w/out/package-lock.json ./\nRUN npm ci\n" +
					"COPY --from=part /w/out/full/ .\nRUN npx turbo run build && rm -rf apps/old\nFROM scratch\nCOPY --from=build /w/apps /web\n",
				"package.json", `{"workspaces":["apps/*"]}`, "package-lock.json", emptyNpmLock, "apps/web/package.json", `{"name":"web"}`, "apps/old/package.json", `{"name":"old"}`,
			},
			component:  "node",
			want:       recipe.Component{Ecosystem: "node", Src: []string{"**", "!node_modules"}, Build: []string{"npx turbo run build"}, Output: map[string]string{"apps": "apps"}},
			toolchains: map[string]string{"node": "24", "npm": "11"},
		},
		"in a folder that is removed after another has what it made": {
			files: []string{
				"Dockerfile", "FROM node:24 AS build\nWORKDIR /w\nCOPY . .\nRUN cd ui && npm ci && npm run build && cd .. && mv ui/build/* public && rm -rf ui\nFROM node:24\nCOPY --from=build /w /web\n",
				"ui/package.json", `{"scripts":{"build":"tool"}}`, "ui/package-lock.json", emptyNpmLock, "public/a", "",
			},
			component:  "ui",
			want:       recipe.Component{Ecosystem: "node", Dir: "ui", Src: []string{"ui"}, Build: []string{"npm run build"}, Output: map[string]string{"build": "build"}},
			toolchains: map[string]string{"node": "24", "npm": "11"},
		},
		"in a folder that is named behind the script, where npm looks for it too": {
			files: []string{
				"Dockerfile", "FROM node:24 AS build\nWORKDIR /w\nCOPY . .\nRUN npm ci --prefix ui && npm run build --prefix ui -- --dir x\nFROM scratch\nCOPY --from=build /w/ui/dist /web\n",
				"ui/package.json", `{"scripts":{"build":"tool"}}`, "ui/package-lock.json", emptyNpmLock,
			},
			component:  "ui",
			want:       recipe.Component{Ecosystem: "node", Dir: "ui", Src: []string{"ui"}, Build: []string{"npm run build -- --dir x"}, Output: map[string]string{"dist": "dist"}},
			toolchains: map[string]string{"node": "24", "npm": "11"},
		},
		"with an argument of the script's own": {
			files: []string{
				"Dockerfile", "FROM node:24 AS build\nWORKDIR /w/ui\nCOPY ui .\nRUN yarn && yarn run build --dir x\nFROM scratch\nCOPY --from=build /w/ui/dist /web\n",
				"ui/package.json", `{"scripts":{"build":"tool"}}`, "ui/yarn.lock", "# yarn lockfile v1\n",
			},
			component:  "ui",
			want:       recipe.Component{Ecosystem: "node", Dir: "ui", Src: []string{"ui", "!ui/node_modules"}, Build: []string{"yarn run build --dir x"}, Output: map[string]string{"dist": "dist"}},
			toolchains: map[string]string{"node": "24", "yarn": "1"},
		},
		"of the Node.js that workflows agree on": {
			files: []string{
				"Dockerfile", "FROM example/tools AS build\nWORKDIR /w\nCOPY . .\nRUN cd ui && npm ci && npm run build\nFROM scratch\nCOPY --from=build /w/ui/dist /web\n",
				".github/workflows/a.yml", "jobs:\n  ui:\n    steps:\n      - uses: actions/setup-node@v4\n        with:\n          node-version: '22'\n",
				".github/workflows/b.yaml", "jobs:\n  ui:\n    steps:\n      - with: {cache: npm}\n      - with:\n          node-version: 22.x\n",
				"ui/package.json", `{"scripts":{"build":"tool"}}`, "ui/package-lock.json", emptyNpmLock,
			},
			component:  "ui",
			want:       recipe.Component{Ecosystem: "node", Dir: "ui", Src: []string{"ui"}, Build: []string{"npm run build"}, Output: map[string]string{"dist": "dist"}},
			toolchains: map[string]string{"node": "22", "npm": "10"},
		},
		"of a Node.js that the tree does not agree on": {
			files: []string{
				"Dockerfile", "FROM example/tools AS build\nWORKDIR /w\nCOPY . .\nRUN cd ui && npm ci && npm run build\nFROM scratch\nCOPY --from=build /w/ui/dist /web\n",
				".github/workflows/a.yml", "jobs:\n  ui:\n    steps:\n      - with:\n          node-version: 22\n      - with:\n          node-version: 24\n",
				"ui/package.json", `{"scripts":{"build":"tool"}}`, "ui/package-lock.json", emptyNpmLock,
			},
			component:  "ui",
			want:       recipe.Component{Ecosystem: "node", Dir: "ui", Src: []string{"ui"}, Build: []string{"npm run build"}, Output: map[string]string{"dist": "dist"}},
			toolchains: map[string]string{},
		},
		"over a package that is installed": {
			files: []string{
				"Dockerfile", "FROM node:24 AS gen\nWORKDIR /g\nCOPY gen .\nRUN npm ci && npm run build\nFROM node:24 AS build\nWORKDIR /w\nCOPY web/package.json web/package-lock.json ./\nRUN npm ci\nCOPY web .\n" +
					"COPY --from=gen /g/dist ./node_modules/@x/api\nRUN npm run build\nFROM scratch\nCOPY --from=build /w/dist /web\n",
				"gen/package.json", `{"scripts":{"build":"tool"}}`, "gen/package-lock.json", emptyNpmLock, "web/package.json", `{"scripts":{"build":"tool"}}`, "web/package-lock.json", emptyNpmLock,
			},
			component: "web",
			want: recipe.Component{
				Ecosystem: "node", Dir: "web", Src: []string{"web", "!web/node_modules"}, Uses: []recipe.Use{{Component: "gen", Path: "dist", At: "web/node_modules/@x/api"}},
				Build: []string{"npm run build"}, Output: map[string]string{"dist": "dist"},
			},
			toolchains: map[string]string{"node": "24", "npm": "11"},
		},
		"for production, with what its Node.js brings": {
			files: []string{
				"Dockerfile", "FROM node:20 AS build\nENV NODE_ENV=production\nWORKDIR /w\nCOPY package.json package-lock.json ./\nRUN npm ci --ignore-scripts\nCOPY src src\nRUN npm run build\nFROM scratch\nCOPY --from=build /w/dist /web\n",
				"package.json", `{"scripts":{"build":"make x && tool"}}`, "package-lock.json", emptyNpmLock, "src/a.js", "",
			},
			component: "node",
			want: recipe.Component{
				Ecosystem: "node", Src: []string{"package-lock.json", "package.json", "src"}, Build: []string{"npm run build"}, Output: map[string]string{"dist": "dist"},
				Env: map[string]string{"NODE_ENV": "production"}, Options: map[string]any{"omit": []any{"dev"}, "scripts": false},
			},
			toolchains: map[string]string{"node": "20", "npm": "10"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := planned(t, c.files...)
			got := p.Recipe.Components[c.component]
			got.Root = ""
			if diff := cmp.Diff(c.want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Error(diff)
			}
			for _, q := range p.Questions {
				if strings.Contains(q.Ask, "components.") {
					t.Error(q.Ask)
				}
			}
			if diff := cmp.Diff(c.toolchains, p.Recipe.Toolchains); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A service that runs on Node.js: its dependencies, without those for development, beside its source, and Node.js itself.
func TestPlanService(t *testing.T) {
	p := planned(t,
		"Dockerfile", "FROM node:22-slim AS build\nWORKDIR /app\nCOPY package.json package-lock.json ./\nRUN npm ci --omit=dev\nFROM node:22-slim\nWORKDIR /app\nCOPY server server\nCOPY --from=build /app/node_modules node_modules\nCMD [\"node\", \"server/main.js\"]\n",
		"package.json", `{}`, "package-lock.json", `{"lockfileVersion":3,"packages":{"node_modules/better-sqlite3":{"version":"1.0.0","hasInstallScript":true,`+sha+`}}}`, "server/main.js", "",
	)
	want := map[string]string{"/app/node_modules": "node:node_modules", "/app/server": "server:server", "/usr/local/bin/node": "nodejs:bin/node"}
	if diff := cmp.Diff(want, p.Recipe.Package.Layout); diff != "" {
		t.Error(diff)
	}
	deps := p.Recipe.Components["node"]
	if !slices.Equal(deps.Build, []string{"true"}) || p.Recipe.Components["nodejs"].Options["toolchain"] != true {
		t.Errorf("%+v", p.Recipe.Components)
	}
	for _, need := range []string{"g++", "make", "python3"} {
		if !slices.Contains(p.Recipe.Roots[deps.Root].Packages, need) {
			t.Errorf("a native addon needs %s: %v", need, p.Recipe.Roots[deps.Root].Packages)
		}
	}
	if !slices.ContainsFunc(p.Remarks, func(r plan.Remark) bool { return strings.Contains(r.Text, "better-sqlite3 is a native addon") }) {
		t.Errorf("nothing is said of the native addon: %+v", p.Remarks)
	}
}

// The manager that starts a service is the one that built it, whatever the newest is that the image installs.
func TestPlanStartedByItsManager(t *testing.T) {
	p := planned(t,
		"Dockerfile", "FROM node:22 AS build\nWORKDIR /app\nCOPY . .\nRUN npm install -g pnpm && pnpm install && pnpm build\nFROM node:22\nRUN npm install -g pnpm\nWORKDIR /app\nCOPY --from=build /app ./\nCMD [\"pnpm\", \"start\"]\n",
		"package.json", `{"engines":{"pnpm":"^9.0.0"},"scripts":{"build":"tool","start":"node dist"}}`, "pnpm-lock.yaml", emptyPnpmLock)
	if diff := cmp.Diff(map[string]string{"node": "22", "pnpm": "^9.0.0"}, p.Recipe.Toolchains); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"/usr/local/bin/pnpm", "start"}, p.Recipe.Package.Command); diff != "" {
		t.Error(diff)
	}
	for _, q := range p.Questions {
		if strings.HasPrefix(q.About, "toolchains") || q.About == "package.layout" {
			t.Errorf("%+v", q)
		}
	}
}

// The toolchain that a service runs on needs none of what the service does.
func TestPlanShippedToolchain(t *testing.T) {
	p := planned(t,
		"Dockerfile", "FROM node:22\nRUN apt-get update && apt-get install -y chromium mariadb-server\nWORKDIR /app\nCOPY . .\nRUN npm ci\nCMD [\"node\", \"server.js\"]\n",
		"package.json", `{"dependencies":{}}`, "package-lock.json", emptyNpmLock, "server.js", "")
	of := p.Recipe.Roots[p.Recipe.Components["nodejs"].Root].Packages
	if slices.Contains(of, "chromium") || !slices.Contains(of, "libstdc++6") {
		t.Errorf("the toolchain's root has %v", of)
	}
	if runtime := p.Recipe.Roots["runtime"].Packages; !slices.Contains(runtime, "chromium") || !slices.Contains(runtime, "libstdc++6") {
		t.Errorf("the runtime root has %v", runtime)
	}
}

// What a script of the tree asks of the network is told, however it is called.
func TestPlanNamesDownloads(t *testing.T) {
	p := planned(t,
		"Dockerfile", "FROM node:22 AS build\nWORKDIR /w\nCOPY . .\nRUN npm ci && npm run build\nFROM scratch\nCOPY --from=build /w/dist /web\nCMD [\"/web/x\"]\n",
		"package.json", `{"scripts":{"build":"run-s data other && tool","data":"node --no-warnings tools/data.mjs","other":"node tools/other.mjs"}}`, "package-lock.json", emptyNpmLock,
		"tools/data.mjs", "const at = `https://data.example/all.gz`\nhttps.get(at, save)\n", "tools/other.mjs", "console.log('https://docs.example')\n")
	var got []string
	for _, r := range p.Remarks {
		if strings.Contains(r.Text, "has no network") {
			got = append(got, r.Evidence[0].String()+" "+r.Text)
		}
	}
	want := []string{"tools/data.mjs:1 tools/data.mjs, which a script of package.json runs, asks https://data.example/all.gz; a build has no network"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// What is not known is asked.
func TestPlanAsks(t *testing.T) {
	dockerfile := func(run string) string {
		return "FROM node:22 AS build\nWORKDIR /w\nCOPY . .\nRUN " + run + "\nFROM scratch\nCOPY --from=build /w/dist /web\nCMD [\"/web/x\"]\n"
	}
	for name, c := range map[string]struct {
		run, manifest, lock, ask string
	}{
		"no lock":                           {"npm install && npm run build", `{"scripts":{"build":"tool"}}`, "", "has no lock"},
		"a package without a lock":          {"npm install left && npm run build", `{"scripts":{"build":"tool"}}`, emptyNpmLock, "no lock pins"},
		"no such script":                    {"npm run build", `{}`, emptyNpmLock, "a script that package.json does not have"},
		"another ecosystem's tool":          {"npm run build", `{"scripts":{"build":"npm run wasm && tool","wasm":"wasm-pack build"}}`, emptyNpmLock, "calls wasm-pack"},
		"a lock that cannot be used":        {"npm ci && npm run build", `{"scripts":{"build":"tool"}}`, `{"lockfileVersion":1}`, "lockfileVersion 1"},
		"a workspace that is deployed":      {"npm ci && npm run build && pnpm deploy --filter x /out", `{"scripts":{"build":"tool"}}`, emptyNpmLock, "installs a workspace's dependencies once more"},
		"fonts that are downloaded":         {"npm ci && npm run build", `{"scripts":{"build":"next build"}}`, `{"lockfileVersion":3,"packages":{"node_modules/next":{"version":"1.0.0",` + sha + `}}}`, "takes fonts from the network"},
		"programs that a package downloads": {"npm ci && npm run build", `{"scripts":{"build":"tool"}}`, `{"lockfileVersion":3,"packages":{"node_modules/@prisma/engines":{"version":"1.0.0","hasInstallScript":true,` + sha + `}}}`, "which no lock pins"},
		"bun":                               {"bun install", `{}`, emptyNpmLock, "made with bun"},
	} {
		files := []string{"Dockerfile", dockerfile(c.run), "package.json", c.manifest, "app/layout.tsx", `import { Face } from "next/font/google"`}
		if c.lock != "" {
			files = append(files, "package-lock.json", c.lock)
		}
		p := planned(t, files...)
		if !slices.ContainsFunc(p.Questions, func(q plan.Question) bool { return strings.Contains(q.Ask, c.ask) }) {
			t.Errorf("%s: nothing asks %q: %+v", name, c.ask, p.Questions)
		}
	}
}

// webpack 4 needs an option of Node.js's where that has OpenSSL 3, whichever manager locks it; webpack 5 and older releases of Node.js do not.
func TestPlanOldWebpack(t *testing.T) {
	t.Parallel()
	const yarn = "# yarn lockfile v1\n\n\n%s:\n  version \"%s\"\n  resolved \"https://registry.example/webpack/-/webpack-4.46.0.tgz#aa\"\n  integrity sha512-aaaa\n"
	for name, c := range map[string]struct {
		node, pattern, version string
		want                   string
	}{
		"webpack 4":          {"20", "webpack@4.44.2", "4.44.2", "--openssl-legacy-provider"},
		"an old Node.js":     {"16", "webpack@4.44.2", "4.44.2", ""},
		"webpack 5":          {"20", "\"webpack@4 || 5\"", "5.90.0", ""},
		"another's packages": {"20", "webpack-cli@4", "4.9.0", ""},
	} {
		p := planned(t, "Dockerfile", "FROM node:"+c.node+" AS build\nWORKDIR /w\nCOPY . .\nRUN yarn install && yarn build\nFROM scratch\nCOPY --from=build /w/dist /web\n",
			"package.json", `{"scripts":{"build":"webpack"}}`, "yarn.lock", fmt.Sprintf(yarn, c.pattern, c.version))
		if got := p.Recipe.Components["node"].Env["NODE_OPTIONS"]; got != c.want {
			t.Errorf("%s: NODE_OPTIONS is %q, want %q (%+v)", name, got, c.want, p.Questions)
		}
	}
}
