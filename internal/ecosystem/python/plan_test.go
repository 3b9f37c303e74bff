package python_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/ecosystem/python"
	"headwater/internal/plan"
	"headwater/internal/recipe"
)

// planned plans a tree of files given as path and content in turn.
func planned(t testing.TB, files ...string) *plan.Plan {
	t.Helper()
	fsys, names := fstest.MapFS{}, []string(nil)
	for i := 0; i+1 < len(files); i += 2 {
		fsys[files[i]] = &fstest.MapFile{Data: []byte(files[i+1])}
		names = append(names, files[i])
	}
	p, err := plan.New(plan.NewTree(fsys, names), plan.Options{Recognisers: []plan.Recogniser{python.Recogniser{}}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// environment is what a plan says of the one Python component: "dir at options", and the layout's entries that have it.
func environment(t testing.TB, p *plan.Plan) []string {
	t.Helper()
	var out []string
	if p.Recipe == nil {
		return nil
	}
	for name, c := range p.Recipe.Components {
		if c.Ecosystem != "python" {
			continue
		}
		options, err := json.Marshal(c.Options)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, fmt.Sprintf("%s dir=%s at=%s src=%s %s", name, c.Dir, c.At, strings.Join(c.Src, ","), options))
		for at, has := range p.Recipe.Package.Layout {
			if component, _, _ := strings.Cut(has, ":"); component == name {
				out = append(out, at+": "+has)
			}
		}
		for at, to := range p.Recipe.Package.Links {
			out = append(out, at+" -> "+to)
		}
	}
	slices.Sort(out)
	return out
}

const (
	uvProject = `[project]
name = "shop"
version = "1"
requires-python = ">=3.11"
[project.optional-dependencies]
fast = []
[dependency-groups]
dev = []
db = []
`
	uvShopLock = `version = 1
requires-python = ">=3.11"
[manifest]
members = ["shop", "shop-core"]
[[package]]
name = "dumb-init"
version = "1.2"
source = { registry = "https://index.invalid/simple" }
wheels = [{ url = "https://files.invalid/dumb_init-1.2-py3-none-any.whl", hash = "sha256:0000000000000000000000000000000000000000000000000000000000000000" }]
[[package]]
name = "psycopg-c"
version = "3.1"
source = { registry = "https://index.invalid/simple" }
sdist = { url = "https://files.invalid/psycopg_c-3.1.tar.gz", hash = "sha256:0000000000000000000000000000000000000000000000000000000000000001" }
[[package]]
name = "shop"
version = "1"
source = { virtual = "." }
dependencies = [{ name = "dumb-init" }, { name = "shop-core" }]
[package.optional-dependencies]
fast = []
[package.dev-dependencies]
dev = []
db = [{ name = "psycopg-c" }]
[[package]]
name = "shop-core"
version = "0.3"
source = { editable = "packages/core" }
`
)

func TestPlan(t *testing.T) {
	t.Parallel()
	lock := []string{"pyproject.toml", uvProject, "uv.lock", uvShopLock, "packages/core/pyproject.toml", "[project]\nname = \"shop-core\"\n", "packages/core/core.py", ""}
	reqs := []string{"requirements.txt", "flask==3\n-c bounds.txt\n", "bounds.txt", "x<2\n", "app.py", ""}
	tests := map[string]struct {
		dockerfile string
		files      []string
		want       []string
	}{
		"uv, copied into another stage": {
			"FROM python:3.13-slim AS deps\nWORKDIR /srv\nENV UV_NO_BINARY_PACKAGE=\"dumb-init other\"\nCOPY pyproject.toml uv.lock ./\nCOPY packages ./packages\nRUN pip install uv && uv sync --frozen --no-dev --group db --extra fast\n" +
				"FROM python:3.13-slim\nCOPY --from=deps /srv/.venv /srv/.venv\nCOPY packages /srv/packages\nCMD [\"/srv/.venv/bin/python\"]\n", lock,
			[]string{"/srv/.venv: env", `env dir= at=/srv src=packages/core,pyproject.toml,uv.lock {"compile":["dumb-init"],"extras":["fast"],"groups":["main","db"],"venv":"/srv/.venv"}`},
		},
		"uv, the default groups, an environment elsewhere": {
			"FROM python:3.13\nWORKDIR /srv\nENV UV_PROJECT_ENVIRONMENT=/opt/venv\nCOPY . .\nRUN uv sync --no-install-workspace\nCMD [\"python\"]\n", lock,
			[]string{"/opt/venv: env", `env dir= at=/srv src=pyproject.toml,uv.lock {"exclude":["shop-core"],"groups":["main","dev"],"project":false,"venv":"/opt/venv"}`},
		},
		"pip into the interpreter": {
			"FROM python:3.13 AS b\nWORKDIR /x\nCOPY requirements.txt bounds.txt /x/\nRUN pip install --upgrade pip && pip install --no-cache-dir -r requirements.txt gunicorn\n" +
				"FROM python:3.13\nCOPY --from=b /usr/local/lib/python3.13/site-packages /usr/local/lib/python3.13/site-packages\nCOPY --from=b /usr/local/bin /usr/local/bin\nCOPY app.py /x/\nCMD [\"gunicorn\", \"app\"]\n", reqs,
			[]string{"/usr/local: env", `env dir= at=/x src=bounds.txt,requirements.txt {"install":["gunicorn"],"requirements":["requirements.txt"],"venv":"/usr/local"}`},
		},
		"pip into an environment that is stepped into": {
			"FROM python:3.13\nWORKDIR /x\nCOPY . .\nRUN python -m venv /opt/v && . /opt/v/bin/activate && pip install -r requirements.txt\nCMD [\"/opt/v/bin/python\", \"app.py\"]\n", reqs,
			[]string{"/opt/v: env", `env dir= at=/x src=bounds.txt,requirements.txt {"requirements":["requirements.txt"],"venv":"/opt/v"}`},
		},
		"wheels, installed in another stage": {
			"FROM python:3.13 AS b\nWORKDIR /x\nCOPY requirements.txt bounds.txt ./\nRUN pip wheel --wheel-dir /wheels -r requirements.txt\n" +
				"FROM python:3.13\nCOPY --from=b /wheels /wheels\nRUN pip install /wheels/*\nCOPY app.py /x/\nCMD [\"python\", \"/x/app.py\"]\n", reqs,
			[]string{"/usr/local: env", `env dir= at=/x src=bounds.txt,requirements.txt {"requirements":["requirements.txt"],"venv":"/usr/local"}`},
		},
		"wheels that a user installs, and pip's own installer": {
			"FROM python:3.13 AS b\nWORKDIR /x\nCOPY requirements.txt bounds.txt ./\nRUN wget https://files.invalid/get-pip.py && python3 get-pip.py && pip wheel --wheel-dir /wheels -r requirements.txt\n" +
				"FROM b\nRUN adduser --home /srv/app app\nUSER app\nRUN pip install --user /wheels/*\nCOPY app.py /x/\nCMD [\"python\", \"/x/app.py\"]\n", reqs,
			[]string{"/srv/app/.local: env", `env dir= at=/x src=bounds.txt,requirements.txt {"requirements":["requirements.txt"],"venv":"/srv/app/.local"}`},
		},
		"an exported lock": {
			"FROM python:3.13\nWORKDIR /srv\nCOPY . .\nRUN uv export --no-dev -o r.txt && pip install -r r.txt\nCMD [\"dumb-init\"]\n", lock,
			[]string{"/usr/local: env", `env dir= at=/srv src=packages/core,pyproject.toml,uv.lock {"venv":"/usr/local"}`},
		},
		"pip of an environment below the folder": {
			"FROM python:3.13\nWORKDIR /x\nCOPY requirements.txt bounds.txt ./\nRUN python -m venv venv && venv/bin/pip install wheel && venv/bin/pip install -r requirements.txt\nCOPY . .\nCMD [\"/x/venv/bin/python\", \"app.py\"]\n", reqs,
			[]string{"/x/venv: env", `env dir= at=/x src=bounds.txt,requirements.txt {"requirements":["requirements.txt"],"venv":"/x/venv"}`},
		},
		"an exported lock, with uv's own words for pip's options": {
			"FROM example.invalid/uv:0.11-python3.13-trixie-slim\nWORKDIR /srv\nCOPY . .\nRUN uv export --no-dev -o r.txt && uv pip install --system --python-preference system --requirements r.txt\nCMD [\"dumb-init\"]\n", lock,
			[]string{"/usr/local: env", `env dir= at=/srv src=packages/core,pyproject.toml,uv.lock {"venv":"/usr/local"}`},
		},
		"a lock that a tool exports which nothing installs": {
			"FROM python:3.13 AS r\nWORKDIR /srv\nCOPY pyproject.toml uv.lock ./\nRUN uvx --with something uv@0.9 export --no-dev -o r.txt\nFROM python:3.13\nWORKDIR /x\nCOPY --from=r /srv/r.txt ./\nRUN pip install -r r.txt\nCMD [\"dumb-init\"]\n",
			lock[:4],
			[]string{"/usr/local: env", `env dir= at=/srv src=pyproject.toml,uv.lock {"venv":"/usr/local"}`},
		},
		"a group of dependencies, and one that it includes": {
			"FROM python:3.13\nWORKDIR /x\nCOPY . .\nRUN pip install --group docker\nCMD [\"python\", \"x.py\"]\n",
			[]string{"pyproject.toml", "[dependency-groups]\ndocker = [\"gunicorn==23\", {include-group = \"db\"}]\ndb = [\"psycopg\"]\n", "x.py", ""},
			[]string{"/usr/local: env", `env dir= at= src= {"install":["gunicorn==23","psycopg"],"venv":"/usr/local"}`},
		},
		"files of requirements that a tool of its own installs": {
			"FROM python:3.13\nWORKDIR /x\nCOPY . .\nRUN pip install pip-tools && pip-sync requirements.txt\nCMD [\"python\", \"app.py\"]\n", reqs,
			[]string{"/usr/local: env", `env dir= at=/x src=bounds.txt,requirements.txt {"requirements":["requirements.txt"],"venv":"/usr/local"}`},
		},
		"a lock, and more beside it": {
			"FROM python:3.13\nWORKDIR /srv\nCOPY pyproject.toml uv.lock ./\nRUN uv sync --no-dev && uv pip install gunicorn\nCMD [\"dumb-init\"]\n", lock[:4],
			[]string{"/srv/.venv: env", `env dir= at=/srv src=pyproject.toml,uv.lock {"install":["gunicorn"],"lock":"uv.lock","venv":"/srv/.venv"}`},
		},
		"an exported lock, and then the project, in a stage that has no lock": {
			"FROM python:3.13 AS r\nWORKDIR /srv\nCOPY pyproject.toml uv.lock ./\nRUN uv export -o r.txt --no-dev --no-emit-project\nFROM python:3.13\nWORKDIR /x\nCOPY --from=r /srv/r.txt ./\nRUN pip install -r r.txt\n" +
				"COPY app.py pyproject.toml ./\nRUN pip install --no-deps .\nCMD [\"dumb-init\"]\n",
			append([]string{"app.py", ""}, lock[:4]...),
			[]string{"/usr/local: env", `env dir= at=/x src=app.py,pyproject.toml,uv.lock {"install":["--no-deps ."],"lock":"uv.lock","venv":"/usr/local"}`},
		},
		"only tools": {"FROM python:3.13\nRUN pip install poetry==2.1 uv\nCOPY app.py /x/\nCMD [\"python\", \"/x/app.py\"]\n", reqs, nil},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := planned(t, append([]string{"Dockerfile", c.dockerfile}, c.files...)...)
			if diff := cmp.Diff(c.want, environment(t, p)); diff != "" {
				t.Errorf("(-want +got):\n%s\n%+v", diff, p.Questions)
			}
		})
	}
}

// Poetry's environment is where it was told to make it, with the groups that it was told.
func TestPlanPoetry(t *testing.T) {
	t.Parallel()
	for settings, want := range map[string]string{
		"ENV POETRY_VIRTUALENVS_CREATE=false\n":               "/usr/local",
		"RUN poetry config virtualenvs.create false\n":        "/usr/local",
		"ENV POETRY_VIRTUALENVS_IN_PROJECT=1\n":               "/srv/back/.venv",
		"ENV VIRTUAL_ENV=/opt/e\nRUN python -m venv /opt/e\n": "/opt/e",
	} {
		p := planned(t, "Dockerfile", "FROM python:3.13\nRUN pip install poetry\n"+settings+"WORKDIR /srv/back\nCOPY back ./\nRUN poetry install --only main,db --no-root\nCMD [\"x\"]\n",
			"back/pyproject.toml", "[tool.poetry]\nname = \"shop\"\n", "back/poetry.lock", "broken", "back/x.py", "")
		got := environment(t, p)
		if len(got) == 0 || !strings.Contains(strings.Join(got, "\n"), want+": env") || !strings.Contains(strings.Join(got, "\n"), `dir=back at=/srv `) ||
			!strings.Contains(strings.Join(got, "\n"), `{"groups":["main","db"],"project":false,"venv":"`+want+`"}`) {
			t.Errorf("%s: %q", settings, got)
		}
		if !slices.ContainsFunc(p.Questions, func(q plan.Question) bool { return strings.Contains(q.Ask, "back/poetry.lock") }) {
			t.Errorf("a lock that does not read is no question: %+v", p.Questions)
		}
	}
}

// The interpreter is Debian's of the version that is named, or else the nearest that the project takes, said aloud.
// A documentation site stands where its configuration says, or its command.
func TestPlanMkdocs(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ command, config, want string }{
		"the configuration":     {"mkdocs build", "plugins: [search]\nmarkdown_extensions:\n  - x: {f: !!python/name:a.b}\nsite_dir: server/docs\n", "server/docs"},
		"no setting":            {"python3 -m mkdocs build --strict", "site_name: x\n", "site"},
		"the command":           {"mkdocs build -d out", "site_dir: elsewhere\n", "out"},
		"another configuration": {"mkdocs build --config-file web/mkdocs.yml", "site_dir: x\n", "web/site"},
	} {
		p := planned(t,
			"Dockerfile", "FROM python:3.13 AS build\nWORKDIR /w\nCOPY requirements.txt .\nRUN pip install -r requirements.txt\nCOPY . .\nRUN "+c.command+"\nFROM debian:trixie\nCOPY --from=build /w/"+c.want+" /docs\nCMD [\"/bin/true\"]\n",
			"requirements.txt", "mkdocs==1.6.1\n", "mkdocs.yml", c.config, "web/mkdocs.yml", "site_name: y\n", "docs/index.md", "")
		if got := p.Recipe.Package.Layout["/docs"]; got != "docs:"+c.want {
			t.Errorf("%s: /docs has %q; %+v", name, got, p.Questions)
		}
	}
}

// A folder that the image makes is there for the command that comes after it.
func TestPlanMadeFolder(t *testing.T) {
	t.Parallel()
	p := planned(t,
		"Dockerfile", "FROM python:3.13\nWORKDIR /app\nCOPY . .\nRUN mkdir data && python manage.py collectstatic --noinput\nCMD [\"python\", \"manage.py\"]\n",
		"manage.py", "", "site/settings.py", "STATIC_ROOT = \"static\"\n")
	for _, c := range p.Recipe.Components {
		if diff := cmp.Diff([]string{"mkdir -p data", "python manage.py collectstatic --noinput"}, c.Build); len(c.Build) > 0 && diff != "" {
			t.Error(diff)
		}
	}
	if !slices.ContainsFunc(slices.Collect(maps.Values(p.Recipe.Components)), func(c recipe.Component) bool { return len(c.Build) == 2 }) {
		t.Errorf("nothing is built: %+v", p.Questions)
	}
}

// What compiles translations makes the folders of languages that it is told of, or that are below it.
func TestPlanTranslations(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		run    string
		layout map[string]string
		build  string
	}{
		"of a project": {
			"RUN gosu app python manage.py compilemessages",
			map[string]string{"/app/core/locale": "core/locale", "/app/shop/locale": "shop/locale"}, "python manage.py compilemessages",
		},
		"of an app":     {"WORKDIR /app/core\nRUN django-admin compilemessages", map[string]string{"/app/core/locale": "locale"}, "django-admin compilemessages"},
		"of one folder": {"WORKDIR /\nRUN pybabel compile -d /app/shop/locale", map[string]string{"/app/shop/locale": "locale"}, "python3 -m babel.messages.frontend compile -d /app/shop/locale"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := planned(t,
				"Dockerfile", "FROM python:3.13\nRUN apt-get install -y gettext\nCOPY requirements.txt /\nRUN pip install -r /requirements.txt\nCOPY . /app\nWORKDIR /app\n"+c.run+"\nCMD [\"python\", \"/app/manage.py\"]\n",
				"requirements.txt", "django==5\nbabel==2\n", "manage.py", "", "core/locale/de/LC_MESSAGES/django.po", "", "shop/locale/fr/LC_MESSAGES/django.po", "", "tests/locale/fr/LC_MESSAGES/django.po", "")
			for at, inside := range c.layout {
				component, part, _ := strings.Cut(p.Recipe.Package.Layout[at], ":")
				if made := p.Recipe.Components[component]; part != inside || !slices.Equal(made.Build, []string{c.build}) {
					t.Errorf("%s has %s of %+v; %+v", at, part, made, p.Questions)
				}
			}
			if len(p.Recipe.Package.Layout) != len(c.layout)+3 { // the tree, the environment and its requirements
				t.Errorf("the layout is %v", p.Recipe.Package.Layout)
			}
		})
	}
}

// Assets are gathered where the settings say, or the variable that they read.
func TestPlanStaticRoot(t *testing.T) {
	t.Parallel()
	for setting, want := range map[string]string{
		`BASE_DIR / "a" / "b"`: "/srv/app/a/b", `read_path("ASSETS", BASE_DIR.parent / "c")`: "/srv/c", `os.getenv("NONE", os.path.join(BASE_DIR, "d"))`: "/srv/app/d",
		`os.environ.get("WHERE", BASE_DIR / "e")`: "/srv/other", `"/abs"`: "/abs",
	} {
		p := planned(t, "Dockerfile", "FROM python:3.13\nENV WHERE=/srv/other\nCOPY . /srv/app\nWORKDIR /srv/app\nRUN python manage.py collectstatic\nCMD [\"python\", \"manage.py\"]\n",
			"manage.py", "", "shop/settings.py", "STATIC_ROOT = "+setting+"\n")
		if _, ok := p.Recipe.Package.Layout[want]; !ok {
			t.Errorf("%s: not at %s: %v", setting, want, p.Recipe.Package.Layout)
		}
	}
}

// Without a Dockerfile a script of the project needs the project, which requirements do not bring, and one of a module that is nowhere is
// asked for, as is a server that a unit starts.
func TestPlanScriptOfProject(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		files     []string
		install   any
		uncertain bool
	}{
		"its module is in the tree":   {[]string{"src/shop/main.py", ""}, []string{"--no-deps ."}, false},
		"its module is nowhere":       {[]string{"start.py", ""}, nil, true},
		"something else may be meant": {[]string{"shop/main/__init__.py", "", "extra/shop.service", "[Service]\nExecStart=/opt/shop/bin/gunicorn shop.wsgi\n"}, []string{"--no-deps ."}, true},
	} {
		p := planned(t, append([]string{"pyproject.toml", "[build-system]\nrequires = []\n[project]\nname = \"shop\"\n[project.scripts]\nshopd = \"shop.main:run\"\n", "requirements.txt", "flask==3\n"}, c.files...)...)
		if diff := cmp.Diff(c.install, p.Recipe.Components["env"].Options["install"]); diff != "" || p.Uncertain() != c.uncertain {
			t.Errorf("%s: %s%+v", name, diff, p.Questions)
		}
		if diff := cmp.Diff([]string{"/app/.venv/bin/shopd"}, p.Recipe.Package.Command); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// The interpreter is that of the image, or the nearest that the project goes with; the roots are of the suite that has it.
// A wheel with a part in C++ finds its library where it runs; others need none.
func TestPlanLinkedWheels(t *testing.T) {
	t.Parallel()
	for requirement, want := range map[string]bool{"greenlet==3.2": true, "SQLAlchemy[asyncio]": true, "flask==3": false} {
		p := planned(t, "Dockerfile", "FROM python:3.13-slim\nWORKDIR /srv\nCOPY . .\nRUN pip install -r requirements.txt\nCMD [\"python\", \"x.py\"]\n", "requirements.txt", requirement+"\n", "x.py", "")
		if packages := p.Recipe.Roots["runtime"].Packages; slices.Contains(packages, "libstdc++6") != want {
			t.Errorf("%s: the runtime's root has %q", requirement, packages)
		}
	}
}

func TestPlanVersions(t *testing.T) {
	t.Parallel()
	for image, want := range map[string]struct{ python, suite, asked string }{
		"python:3.11-slim":                  {"python3.11", "bookworm", ""},
		"python:3.13.7-alpine3.22":          {"python3.13", "trixie", ""},
		"python:alpine3.14":                 {"python3.13", "trixie", ""},
		"python:3-alpine3.11":               {"python3.13", "trixie", ""},
		"example.invalid/uv:python3.14-sid": {"python3.14", "forky", ""},
		"python:3.12":                       {"python3.13", "trixie", "Debian's 3.13 of trixie"},
		"python:3.10-slim":                  {"python3.11", "bookworm", "Debian's 3.11 of bookworm"},
		"debian:trixie":                     {"python3.13", "trixie", ""},
		"debian:trixie <3.13":               {"python3.11", "bookworm", ""},
		"python:3.12 <3.13":                 {"python3.11", "bookworm", "Debian's 3.11 of bookworm"},
	} {
		from, below, _ := strings.Cut(image, " ")
		project := uvProject
		if below != "" {
			project = strings.Replace(uvProject, `">=3.11"`, `">=3.11,`+below+`"`, 1)
		}
		p := planned(t, "Dockerfile", "FROM "+from+"\nWORKDIR /srv\nCOPY . .\nRUN uv sync --no-dev\nCMD [\"x\"]\n", "pyproject.toml", project, "uv.lock", uvShopLock,
			"packages/core/pyproject.toml", "")
		c := p.Recipe.Components["env"]
		if packages := p.Recipe.Roots[c.Root].Packages; !slices.Contains(packages, want.python) || !slices.Contains(packages, want.python+"-dev") {
			t.Errorf("%s: %q, want %s", image, packages, want.python)
		}
		for name, r := range p.Recipe.Roots {
			if slices.Contains(r.Packages, want.python) && r.Suites[0] != want.suite {
				t.Errorf("%s: the root %s is of %q, want %s", image, name, r.Suites, want.suite)
			}
		}
		asked := ""
		for _, q := range p.Questions {
			if strings.Contains(q.Ask, "no Debian suite has") {
				asked = q.Ask
			}
		}
		if (asked == "") != (want.asked == "") || !strings.Contains(asked, want.asked) {
			t.Errorf("%s: asked %q, want %q", image, asked, want.asked)
		}
	}
}

// A server that has the interpreter in it needs it as a library.
func TestPlanEmbeddedInterpreter(t *testing.T) {
	t.Parallel()
	p := planned(t, "Dockerfile", "FROM python:3.13\nWORKDIR /srv\nCOPY requirements.txt .\nRUN pip install -r requirements.txt\nCMD [\"uwsgi\"]\n", "requirements.txt", "uwsgi==2.0.31\n")
	if packages := p.Recipe.Roots["runtime"].Packages; !slices.Contains(packages, "libpython3.13") || !slices.Contains(packages, "python3.13") {
		t.Errorf("the runtime's root has %q", packages)
	}
}

// What an sdist is compiled with is in the root that builds it, and what it is linked with in the root that runs it.
func TestPlanSystemPackages(t *testing.T) {
	t.Parallel()
	p := planned(t, "Dockerfile", "FROM python:3.13\nWORKDIR /srv\nCOPY . .\nRUN uv sync --no-dev --group db\nRUN python manage.py collectstatic\nCMD [\"python\", \"manage.py\"]\n",
		"pyproject.toml", uvProject, "uv.lock", uvShopLock, "packages/core/pyproject.toml", "", "manage.py", "", "shop/settings.py", "STATIC_ROOT = BASE_DIR / \"static\"\n")
	env := p.Recipe.Components["env"]
	if packages := p.Recipe.Roots[env.Root].Packages; !slices.Contains(packages, "libpq-dev") || !slices.Contains(packages, "gcc") {
		t.Errorf("the build's root has %q", packages)
	}
	if packages := p.Recipe.Roots["runtime"].Packages; !slices.Contains(packages, "libpq5") || slices.Contains(packages, "gcc") {
		t.Errorf("the runtime's root has %q", packages)
	}
	if has := p.Recipe.Package.Layout["/srv/static"]; !strings.HasSuffix(has, ":static") {
		t.Errorf("the gathered assets are not in the layout: %v", p.Recipe.Package.Layout)
	}
}

// Published packages that an image installs are an environment of nothing of the source; uv's own installer is no part of the service.
func TestPlanPublishedPackagesAlone(t *testing.T) {
	t.Parallel()
	p := planned(t, "Dockerfile", "FROM python:3.13\nADD https://tool.example/uv/install.sh /uv.sh\nRUN sh /uv.sh && /uv.sh && pip install notifier==1.6.0\nCOPY app.py /app/\nCMD [\"python\", \"/app/app.py\"]\n", "app.py", "")
	for _, q := range p.Questions {
		if q.Main || q.About == "components" {
			t.Errorf("asked: %+v", q)
		}
	}
	want := map[string]any{"install": []string{"notifier==1.6.0"}, "venv": "/usr/local"}
	if diff := cmp.Diff(want, p.Recipe.Components["env"].Options); diff != "" || len(p.Recipe.Components["env"].Src) > 0 {
		t.Errorf("%s %+v", diff, p.Recipe.Components)
	}
}

// Poetry 1 installs what a project depends on where the project's own package is not there, as in a stage that has its manifest and lock alone.
func TestPlanPoetryWithoutPackage(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		copies string
		want   any // the option "project"
	}{
		"manifest and lock alone": {"pyproject.toml poetry.lock", false},
		"the package, too":        {". ", nil},
	} {
		p := planned(t, "Dockerfile", "FROM python:3.11\nRUN pip install poetry\nENV POETRY_VIRTUALENVS_IN_PROJECT=true\nWORKDIR /srv\nCOPY "+c.copies+" ./\nRUN poetry install --only main\nCMD [\"x\"]\n",
			"pyproject.toml", strings.Replace(string(testdata(t, "poetry1", "pyproject.toml")), "packages = [{ include = \"shop\" }]\n", "", 1),
			"poetry.lock", "broken", "shop/__init__.py", "", "packages/core/pyproject.toml", "")
		if got := p.Recipe.Components["env"].Options["project"]; got != c.want {
			t.Errorf("%s: project is %v, want %v", name, got, c.want)
		}
		if told := slices.ContainsFunc(p.Remarks, func(r plan.Remark) bool { return strings.Contains(r.Text, "finds no package shop in /srv") }); told != (c.want != nil) {
			t.Errorf("%s: %+v", name, p.Remarks)
		}
	}
}
