package plan_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/plan"
	"headwater/internal/recipe"
)

// about tells whether a question is open on a key of the recipe.
func about(p *plan.Plan, key string) bool {
	return slices.ContainsFunc(p.Questions, func(q plan.Question) bool { return strings.HasPrefix(q.About, key) })
}

// How the service is run is read off the last stage and the compose file.
func TestContract(t *testing.T) {
	t.Parallel()
	p := planned(t,
		"Dockerfile", `FROM python:3.13-slim-trixie
RUN adduser --system --uid 1500 --group --no-create-home app && mkdir -p /data /cache && chown app:app /data && ln -s /data /srv/data
ARG PORT=9000
ENV PATH="/app/bin:$PATH" LISTEN=0.0.0.0:${PORT} PIP_NO_CACHE_DIR=1 EMPTY=
WORKDIR /app
COPY bin ./bin
EXPOSE 9001/udp ${PORT}
USER app
HEALTHCHECK CMD wget -q http://localhost:${PORT}/-/ready || exit 1
ENTRYPOINT ["dumb-init", "--", "serve"]
CMD ["web"]
`,
		"bin/serve", "",
		"compose.yml", `
x-app: &app
  build: .
  image: example.invalid/team/thing:2.5.0
  environment: &env
    DATABASE_URL: postgresql://thing:${DB_PASSWORD:?}@db/thing?sslmode=disable
    SESSION_KEY: ${SESSION_KEY:?a secret}
    TITLE: ${TITLE:-A title costs $$5}
    PUBLIC_URL: ${PUBLIC_URL:-}
  volumes: [uploads:/uploads, /etc/localtime:/etc/localtime, ./conf.yml:/app/conf.yml, /var/run/docker.sock:/var/run/docker.sock]
services:
  db:
    image: postgres:16-alpine
    environment: {POSTGRES_USER: thing, POSTGRES_PASSWORD: "${DB_PASSWORD:?}"}
  migrate: {<<: *app, command: migrate --now}
  web:
    <<: *app
    ports: ["80:9000"]
    depends_on: {migrate: {condition: service_completed_successfully}}
  worker:
    <<: *app
    command: [worker, "--all"]
    environment: {<<: *env, QUEUE: redis://cache}
    depends_on: [cache]
  cache: {image: redis:7}
`)
	want := recipe.Package{
		Root: "runtime", Layout: map[string]string{"/app/bin": "bin:bin"}, Links: map[string]string{"/srv/data": "/data"},
		Env: map[string]string{
			"PATH":   "/app/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
			"LISTEN": "0.0.0.0:9000", "TITLE": "A title costs $5",
		},
		Secrets: []string{"SESSION_KEY"}, Workdir: "/app", Command: []string{"/app/bin/serve"}, User: "1500:1500", Volumes: []string{"/data", "/uploads"},
		Migrate: []string{"migrate", "--now"},
		Processes: map[string]recipe.Process{
			"web": {Args: []string{"web"}, Port: 9000, Health: "/-/ready"}, "worker": {Args: []string{"worker", "--all"}},
		},
	}
	if diff := cmp.Diff(want, p.Recipe.Package); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]recipe.Service{"db": {
		Kind: "postgresql", Root: "postgresql", Env: map[string]string{"DATABASE_URL": "postgresql://${user}:${password}@${host}:${port}/${database}?sslmode=disable"},
	}, "cache": {Kind: "redis", Root: "redis", Env: map[string]string{"QUEUE": "redis://:${password}@${host}:${port}"}}}, p.Recipe.Services); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]recipe.Root{
		"runtime":    {Suites: []string{"trixie", "trixie-security"}, Packages: []string{"ca-certificates", "python-is-python3", "python3", "tzdata"}},
		"postgresql": {Suites: []string{"trixie", "trixie-security"}, Packages: []string{"postgresql-17"}},
		"redis":      {Suites: []string{"trixie", "trixie-security"}, Packages: []string{"redis-server"}},
	}, p.Recipe.Roots); diff != "" {
		t.Error(diff)
	}
	if p.Recipe.Name != "thing" || p.Recipe.Release != "2.5.0" {
		t.Errorf("%s %s", p.Recipe.Name, p.Recipe.Release)
	}
	if about(p, "services") {
		t.Errorf("%+v", p.Questions)
	}
	if e := p.Evidence["package.user"]; len(e) != 1 || e[0].Line != 8 {
		t.Errorf("%v", e)
	}
}

// What leads to each kind of service is told from what only looks like it.
func TestServices(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, services, env string
		want                map[string]recipe.Service
		plain               map[string]string
		asks                string
	}{
		{
			"no password anywhere", "redis: {image: 'redis:7-alpine'}", "APP_REDIS__HOST: redis, APP_REDIS__PORT: '6379', CACHE_URL: redis://redis:6379/1, SESSION_DRIVER: redis",
			map[string]recipe.Service{"redis": {Kind: "redis", Root: "redis", Env: map[string]string{"APP_REDIS__HOST": "${host}", "APP_REDIS__PORT": "${port}", "CACHE_URL": "redis://${host}:${port}/1"}}},
			map[string]string{"SESSION_DRIVER": "redis"}, "",
		},
		{
			"a password as an argument", "cache: {image: valkey/valkey:8, command: valkey-server --requirepass abcdefgh}", "REDIS_ADDR: 'cache:6379', REDIS_PASSWORD: abcdefgh, QUEUE: 'redis://:abcdefgh@cache/2'",
			map[string]recipe.Service{"cache": {Kind: "redis", Root: "redis", Env: map[string]string{"REDIS_ADDR": "${host}:${port}", "REDIS_PASSWORD": "${password}", "QUEUE": "redis://:${password}@${host}:${port}/2"}}},
			nil, "",
		},
		{
			"parts", "mysql: {image: 'mysql:8', environment: {MYSQL_ROOT_PASSWORD: r00troot, MYSQL_USER: u, MYSQL_PASSWORD: secretly, MYSQL_DATABASE: d}}",
			"DB_TYPE: mysql, DB_HOST: mysql, DB_USER: u, DB_PASSWORD: secretly, DB_NAME: d, DSN: 'u:secretly@tcp(mysql:3306)/d?parseTime=true'",
			map[string]recipe.Service{"mysql": {Kind: "mariadb", Root: "mariadb", Env: map[string]string{
				"DB_HOST": "${host}", "DB_USER": "${user}", "DB_PASSWORD": "${password}", "DB_NAME": "${database}", "DSN": "${user}:${password}@tcp(${host}:${port})/${database}?parseTime=true",
			}}},
			map[string]string{"DB_TYPE": "mysql"}, "",
		},
		{
			"as root", "db: {image: mariadb, environment: {MARIADB_ROOT_PASSWORD: secretly, MARIADB_DATABASE: d}}", "DB_HOST: db, DB_USER: root, DB_PASS: secretly, DB_DATABASE: d",
			map[string]recipe.Service{"db": {Kind: "mariadb", Root: "mariadb", Env: map[string]string{"DB_HOST": "${host}", "DB_USER": "${user}", "DB_PASS": "${password}", "DB_DATABASE": "${database}"}}}, nil, "",
		},
		{
			"two of both", "a: {image: redis}, b: {image: keydb}, c: {image: redis}, db: {image: postgres}, old: {image: mariadb}, m: {image: memcached}", "ONE: 'redis://a', TWO: 'redis://b', DB: 'postgres://u:p@db/x', OLD: 'mysql://old/x', M: 'm:11211'",
			map[string]recipe.Service{
				"a":  {Kind: "redis", Root: "redis", Env: map[string]string{"ONE": "redis://:${password}@${host}:${port}"}},
				"b":  {Kind: "redis", Root: "redis-b", Env: map[string]string{"TWO": "redis://:${password}@${host}:${port}"}},
				"db": {Kind: "postgresql", Root: "postgresql", Env: map[string]string{"DB": "postgres://${user}:${password}@${host}:${port}/${database}"}},
			},
			map[string]string{"OLD": "mysql://old/x", "M": "m:11211"}, "services",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := planned(t, "Dockerfile", "FROM debian\nCOPY run /app/run\nCMD [\"/app/run\"]\nEXPOSE 8080\n", "run", "",
				"compose.yml", "services: {app: {build: ., environment: {"+c.env+"}}, "+c.services+"}\n")
			if diff := cmp.Diff(c.want, p.Recipe.Services); diff != "" {
				t.Error(diff)
			}
			if len(c.plain) > 0 || len(p.Recipe.Package.Env) > 0 {
				if diff := cmp.Diff(c.plain, p.Recipe.Package.Env); diff != "" {
					t.Error(diff)
				}
			}
			if about(p, "services") != (c.asks != "") {
				t.Errorf("%+v", p.Questions)
			}
			for name, s := range p.Recipe.Services {
				if len(p.Evidence["services."+name]) == 0 || len(p.Evidence["roots."+s.Root]) == 0 {
					t.Errorf("no evidence of %s", name)
				}
			}
		})
	}
}

// A database that is named in parts is put together of parts.
func TestDatabaseInParts(t *testing.T) {
	t.Parallel()
	p := planned(t,
		"Dockerfile", "FROM debian\nCOPY run /app/run\nENTRYPOINT [\"/app/run\"]\nEXPOSE 8080\n", "run", "",
		"compose.yml", `
services:
  postgresql:
    image: postgres:17
    environment: {POSTGRES_DB: "${PG_DB:-app}", POSTGRES_PASSWORD: "${PG_PASS:?}", POSTGRES_USER: "${PG_USER:-app}"}
  server:
    image: ${IMAGE:-example.invalid/thing/server}:${TAG:-1.2.3}
    command: [server]
    ports: ["8080:8080"]
    environment:
      - APP_POSTGRESQL__HOST=postgresql
      - APP_POSTGRESQL__PORT=5432
      - APP_POSTGRESQL__NAME=${PG_DB:-app}
      - APP_POSTGRESQL__PASSWORD=${PG_PASS}
      - APP_POSTGRESQL__USER=${PG_USER:-app}
      - APP_DSN=host=postgresql user=app password=x dbname=app
      - APP_LOCALE
`)
	want := map[string]string{
		"APP_POSTGRESQL__HOST": "${host}", "APP_POSTGRESQL__PORT": "${port}", "APP_POSTGRESQL__NAME": "${database}", "APP_POSTGRESQL__PASSWORD": "${password}",
		"APP_POSTGRESQL__USER": "${user}", "APP_DSN": "host=${host} user=${user} password=${password} dbname=${database} port=${port}",
	}
	if diff := cmp.Diff(want, p.Recipe.Services["postgresql"].Env); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]recipe.Process{"server": {Args: []string{"server"}, Port: 8080}}, p.Recipe.Package.Processes); diff != "" {
		t.Error(diff)
	}
	if len(p.Recipe.Package.Secrets)+len(p.Recipe.Package.Env) > 0 || p.Recipe.Name != "thing" || p.Recipe.Release != "1.2.3" {
		t.Errorf("%+v", p.Recipe)
	}
}

// A compose file may start the image's own program by an entry point with arguments; where it does not say how a service is found, that is asked.
func TestOwnProgramAsEntryPoint(t *testing.T) {
	t.Parallel()
	for entry, want := range map[string][]string{
		"/bin/sh -c './run --create=true'": {"--create=true"}, "[/app/run, serve]": {"serve"}, "/bin/sh -c './wait && ./run'": {}, "other --x": {},
	} {
		p := planned(t, "Dockerfile", "FROM debian\nWORKDIR /app\nCOPY run /app/run\nENTRYPOINT [\"/app/run\"]\nEXPOSE 8080\n", "run", "",
			"compose.yml", "services:\n  app: {build: ., entrypoint: "+entry+", ports: ['8080:8080'], depends_on: [db]}\n  db: {image: 'mysql:8', environment: {MYSQL_ROOT_PASSWORD: a}}\n")
		if diff := cmp.Diff(map[string]recipe.Process{"app": {Args: want, Port: 8080}}, p.Recipe.Package.Processes); diff != "" {
			t.Errorf("%s: %s", entry, diff)
		}
		if !about(p, "services.db.env") {
			t.Errorf("%+v", p.Questions)
		}
	}
}

// What a compose file starts the service with and lays over the image is asked for, where the image has none; a database of another service's is not
// the service's own.
func TestComposeOfAnExample(t *testing.T) {
	t.Parallel()
	p := planned(t, "Dockerfile", "FROM debian\nCOPY run /run\nENTRYPOINT [\"/run\"]\nEXPOSE 8080\n", "run", "", "example/app.cfg", "", "Makefile", "image:\n\tdocker build -t team/app .\n", "example/compose.yml", `
services:
  app: {image: team/app, command: "--config /app.cfg", volumes: ["./app.cfg:/app.cfg"], depends_on: [directory]}
  directory: {image: team/directory, environment: [DB=db]}
  db: {image: 'postgres:17'}
`)
	if !about(p, "package.processes.app") || len(p.Recipe.Services) > 0 {
		t.Errorf("%+v %+v", p.Questions, p.Recipe.Services)
	}
}

// A pattern that may match nothing of an image does not cover what is copied beside it.
func TestCopyOfWhatMayNotBe(t *testing.T) {
	t.Parallel()
	p := planned(t, "Dockerfile", "FROM golang AS build\nWORKDIR /src\nCOPY . .\nRUN bake app.bin\nFROM debian\nCOPY --from=build /src/app.bin /usr/local/bin/app-plugin-* /usr/local/bin/\nCMD [\"app.bin\"]\n")
	if !strings.HasSuffix(p.Recipe.Package.Layout["/usr/local/bin/app.bin"], ":app.bin") || p.Uncertain() {
		t.Errorf("%+v %+v", p.Recipe.Package.Layout, p.Questions)
	}
}

// A variable that no shell can name is asked for, not left out; a text about Dockerfiles is none.
func TestVariableOfAnotherName(t *testing.T) {
	t.Parallel()
	p := planned(t, "Dockerfile", "FROM debian\nCOPY run /run\nENTRYPOINT [\"/run\"]\nEXPOSE 8080\n", "run", "", "guide/dockerfile.md", "FROM here on\n",
		"compose.yml", "services: {app: {build: ., environment: ['App.Mode=x', B=y]}}\n")
	if !about(p, "package.env") || p.Recipe.Package.Env["B"] != "y" || slices.ContainsFunc(p.Remarks, func(r plan.Remark) bool { return strings.Contains(r.Text, "dockerfile.md") }) {
		t.Errorf("%+v %+v", p.Questions, p.Remarks)
	}
}

// Each way of saying what is started, as whom, and where.
func TestStartAndUser(t *testing.T) {
	t.Parallel()
	const drop = "#!/bin/sh\n# su-exec keeps the environment\nRUN_AS=${RUN_AS:-10001}\nif [ \"$(id -u)\" = 0 ]; then\n  exec su-exec \"$RUN_AS:$RUN_AS\" \"$0\" \"$@\"\nfi\nexec \"$@\"\n"
	tests := []struct {
		name, image, script string
		command, args       []string
		user                string
		asks                string // key of a question
	}{
		{"an entry point and its arguments", "ENTRYPOINT [\"/a\", \"b\"]\nCMD [\"c\"]", "", []string{"/a", "b"}, []string{"c"}, "", ""},
		{"no entry point", `CMD ["./x/run", "all"]`, "", []string{"/w/x/run", "all"}, []string{}, "", ""},
		{"a shell's text of plain words", "CMD exec run --all", "", []string{"run", "--all"}, []string{}, "", ""},
		{"a shell's text", "CMD run | tee $LOG", "", []string{"/bin/sh", "-c", "run | tee $LOG"}, []string{}, "", ""},
		{"an init program with options", `ENTRYPOINT ["/usr/bin/tini", "-g", "--", "run"]`, "", []string{"run"}, []string{}, "", ""},
		{"an init program as the entry point", "ENTRYPOINT [\"tini\", \"--\"]\nCMD [\"run\", \"x\"]", "", []string{"run", "x"}, []string{}, "", ""},
		{"nothing", "EXPOSE 1", "", []string{}, []string{}, "", "package.command"},
		{"a user by number", "USER 65534\nCMD [\"a\"]", "", []string{"a"}, []string{}, "65534:65534", ""},
		{"a user of BusyBox", "RUN addgroup -g 77 g && adduser -S -D -H -u 66 -G g u\nUSER u\nCMD [\"a\"]", "", []string{"a"}, []string{}, "66:77", ""},
		{"a user of shadow", "RUN groupadd --gid=77 g && useradd -r -m -d /x -g g -u 66 u\nUSER u:g\nCMD [\"a\"]", "", []string{"a"}, []string{}, "66:77", ""},
		{"a user with no number", "RUN useradd -m u\nUSER u\nCMD [\"a\"]", "", []string{"a"}, []string{}, "1000:1000", ""},
		{"a user that nobody adds", "USER someone\nCMD [\"a\"]", "", []string{"a"}, []string{}, "", "package.user"},
		{"an entry point that drops privileges", `ENTRYPOINT ["/x/start"]`, drop, []string{"/x/start"}, []string{}, "10001:10001", ""},
		{"an entry point that drops privileges to nobody knows whom", `ENTRYPOINT ["/x/start"]`, "exec gosu \"$PUID:$PGID\" /app \"$@\"\n", []string{"/x/start"}, []string{}, "", "package.user"},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := planned(t, "Dockerfile", "FROM debian\nWORKDIR /w\nCOPY start /x/start\n"+c.image+"\n", "start", c.script)
			if diff := cmp.Diff(c.command, p.Recipe.Package.Command); diff != "" {
				t.Error(diff)
			}
			for _, process := range p.Recipe.Package.Processes {
				if diff := cmp.Diff(c.args, process.Args); diff != "" {
					t.Error(diff)
				}
			}
			if p.Recipe.Package.User != c.user {
				t.Errorf("user %q", p.Recipe.Package.User)
			}
			for _, key := range []string{"package.command", "package.user"} {
				if about(p, key) != (c.asks == key) {
					t.Errorf("%s: %+v", key, p.Questions)
				}
			}
		})
	}
}

// A port that an ordinary user may not listen on is another, where a variable of the image says which; else it stays, with a remark.
func TestPrivilegedPort(t *testing.T) {
	t.Parallel()
	const image = "FROM debian\nCOPY run /run.sh\nCMD [\"/run.sh\"]\nEXPOSE 80\n"
	p := planned(t, "Dockerfile", image+"ENV SERVER_PORT=80\nHEALTHCHECK CMD curl -f http://127.0.0.1:$SERVER_PORT/up\n", "run", "")
	if diff := cmp.Diff(map[string]recipe.Process{"server": {Args: []string{}, Port: 8080, Health: "/up"}}, p.Recipe.Package.Processes); diff != "" || p.Recipe.Package.Env["SERVER_PORT"] != "8080" {
		t.Error(diff, p.Recipe.Package.Env)
	}
	p = planned(t, "Dockerfile", image, "run", "")
	if p.Recipe.Package.Processes["server"].Port != 80 || !slices.ContainsFunc(p.Remarks, func(r plan.Remark) bool { return strings.Contains(r.Text, "port 80") }) {
		t.Errorf("%+v, %+v", p.Recipe.Package.Processes, p.Remarks)
	}
}

// Of several ports that an image names, the first that is no other protocol's by agreement is the one that is asked; of one alone, that one.
func TestPortOfPages(t *testing.T) {
	t.Parallel()
	for ports, want := range map[string]int{"1025/tcp 1110/tcp 8025/tcp": 8025, "22 3000": 3000, "1025": 1025, "3000 2222": 3000} {
		p := planned(t, "Dockerfile", "FROM debian\nCOPY run /run.sh\nCMD [\"/run.sh\"]\nEXPOSE "+ports+"\n", "run", "")
		if got := p.Recipe.Package.Processes["server"].Port; got != want {
			t.Errorf("%s: %d", ports, got)
		}
	}
}

// Where no health check asks for a path, a route that is named for it is taken: what is ready before what lives, as it is mounted.
func TestHealthRoute(t *testing.T) {
	t.Parallel()
	p := planned(t, "Dockerfile", "FROM debian\nCOPY run /run.sh\nCMD [\"/run.sh\"]\nEXPOSE 8080\n", "run", "",
		"server/routes.go", "r.Get(\"/health/live\", x)\nr.Get(\"/health/ready\", x)\n", "server/ask.go", "get(base + \"/-/health/ready\")", "docs/api.go", `"/v9/health/ready"`, "server/x_test.go", `"/readyz"`,
	)
	if got := p.Recipe.Package.Processes["server"].Health; got != "/-/health/ready" {
		t.Error(got)
	}
}

// A route that is seen from another one is whole where one beside it is: a proxy in front asks for that.
func TestHealthRouteBeside(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ proxy, want string }{
		"one is asked for":  {"r.Path(\"/-/health/live/\").Handler(x)\n", "/-/health/ready/"},
		"none is asked for": {"r.Path(\"/ping\").Handler(x)\n", "/ping"},
	} {
		p := planned(t, "Dockerfile", "FROM debian\nCOPY run /run.sh\nCMD [\"/run.sh\"]\nEXPOSE 8080\n", "run", "", "proxy/routes.go", c.proxy,
			"app/urls.py", "path(\"-/health/live/\", x)\npath(\"-/health/ready/\", x)\n")
		if got := p.Recipe.Package.Processes["server"].Health; got != c.want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// A router may know a path with its slash at the end alone.
func TestHealthRouteWithASlash(t *testing.T) {
	t.Parallel()
	p := planned(t, "Dockerfile", "FROM debian\nCOPY run /run.sh\nCMD [\"/run.sh\"]\nEXPOSE 8080\n", "run", "", "server/routes.go", "r.Path(\"/-/health/live/\").Handler(x)\n")
	if got := p.Recipe.Package.Processes["server"].Health; got != "/-/health/live/" {
		t.Error(got)
	}
}

// The layout is free of what would hide the root's own folders, and says what came from elsewhere.
func TestLayoutTraps(t *testing.T) {
	t.Parallel()
	p := planned(t,
		"Dockerfile", `FROM debian AS build
WORKDIR /src
COPY . .
RUN bake app.bin assets
FROM golang AS tools
FROM debian
COPY --from=example.invalid/uv:1 /uv /uvx /bin/
COPY --from=tools /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=example.invalid/odd /odd /opt/odd
ADD https://example.invalid/gosu-amd64 /usr/local/bin/gosu
COPY rootfs /
COPY --from=build /src/app.bin /bin/app
COPY --from=build /src/assets /app/static
COPY app /app
COPY app/conf.ini /app/conf.ini
COPY more /app
RUN ln -s /app/run /bin/run
CMD ["app"]
`,
		"rootfs/etc/app.conf", "", "rootfs/usr/bin/helper", "", "app/main.py", "", "app/conf.ini", "", "more/extra.py", "", "more/main.py", "",
	)
	want := map[string]string{
		"/etc/app.conf": "app-2:rootfs/etc/app.conf", "/usr/bin/helper": "helper:rootfs/usr/bin/helper", "/usr/bin/app": "plain:app.bin", "/app/static": "plain:assets",
		"/app": "app:app", "/app/extra.py": "extra:more/extra.py", "/app/main.py": "main:more/main.py",
	}
	if diff := cmp.Diff(want, p.Recipe.Package.Layout); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]string{"/usr/bin/run": "/app/run"}, p.Recipe.Package.Links); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"ca-certificates", "gosu"}, p.Recipe.Roots["runtime"].Packages); diff != "" {
		t.Error(diff)
	}
	if !about(p, "package.layout./opt/odd") {
		t.Errorf("%+v", p.Questions)
	}
	if problems := p.Recipe.Check(); problems != nil {
		t.Error(problems)
	}
}

// The compose file's variables have their values from .env beside it; one that has none is the operator's, and no secret unless its name says so.
func TestComposeVariables(t *testing.T) {
	t.Parallel()
	p := planned(t, "Dockerfile", main("x"), "compose.yml", `services:
  app:
    build: .
    env_file: [app.env, gone.env]
    environment: {BIND: "$BIND", TITLE: "${TITLE}", MODE: "${MODE:-plain}", API_TOKEN: "${API_TOKEN}", BOTH: here}
`, ".env", "# x\nexport BIND=\"0.0.0.0\"\nMODE=\n", "app.env", "BOTH=there\nCOST=$1 # a price\n")
	want := map[string]string{"BIND": "0.0.0.0", "MODE": "plain", "BOTH": "here", "COST": "$1"}
	if diff := cmp.Diff(want, p.Recipe.Package.Env); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"API_TOKEN"}, p.Recipe.Package.Secrets); diff != "" {
		t.Error(diff)
	}
}

// What the operator writes is taken from the example that the tree has for it, but for what only shows where somebody's own belongs; what leads to the
// database is put in, whatever the example says.
func TestComposeVariablesOfAnExample(t *testing.T) {
	t.Parallel()
	for name, example := range map[string]string{"beside it": "deploy/.env.example", "at the top": ".env.template"} {
		p := planned(t, "Dockerfile", main("x"), "deploy/compose.yml", `services:
  app: {build: .., env_file: .env}
  db: {image: "postgres:17", env_file: [.env], environment: {POSTGRES_DB: $NAME}}
`, example, "MODE=plain\nHOSTS=app.mydomain.com\nMAIL=me@example.org\nDB_HOST=db\nNAME=shop\nDB_USER=postgres\nPOSTGRES_PASSWORD=\nAPI_TOKEN=changeme\nSECRET_KEY=\nOTHER_SECRET=\n")
		if diff := cmp.Diff(map[string]string{"MODE": "plain"}, p.Recipe.Package.Env); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		want := map[string]string{"DB_HOST": "${host}", "NAME": "${database}", "DB_USER": "${user}", "POSTGRES_PASSWORD": "${password}"}
		if diff := cmp.Diff(want, p.Recipe.Services["db"].Env); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if diff := cmp.Diff([]string{"SECRET_KEY"}, p.Recipe.Package.Secrets); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if !slices.ContainsFunc(p.Remarks, func(r plan.Remark) bool {
			return strings.Contains(r.Text, "the example") && r.Evidence[0].File == example
		}) {
			t.Errorf("%s: %+v", name, p.Remarks)
		}
	}
}

// What the health check asks is where the service listens; a route that leads to a service beside it is not its own, and the program that is
// started no folder of its.
func TestContractByHealthCheck(t *testing.T) {
	t.Parallel()
	p := planned(t, "Dockerfile", "FROM debian\nCOPY . /srv\nHEALTHCHECK CMD curl -f http://localhost:${PORT:-8888}/up\nCMD [\"/srv/app\", \"serve\"]\n", "app", "")
	if x := p.Recipe.Package.Processes["server"]; x.Port != 8888 || x.Health != "/up" || len(p.Recipe.Package.Volumes) > 0 {
		t.Errorf("%+v %v", x, p.Recipe.Package.Volumes)
	}
	p = planned(t, "Dockerfile", main("x")+"EXPOSE 8443/tcp 3636\n", "tools/tracing/compose.yml", "services: {app: {image: someone/app, command: [watch], ports: ['1:3636']}}\n")
	if x := p.Recipe.Package.Processes["server"]; x.Port != 8443 || len(p.Recipe.Package.Processes) != 1 {
		t.Errorf("the first port of the image, and nothing of a compose file deep in the tree: %+v", p.Recipe.Package.Processes)
	}
	p = planned(t, "Dockerfile", main("x")+"ENV LDAP_PORT=3899\nENV HTTP_PORT=17171\nEXPOSE $LDAP_PORT $HTTP_PORT\n")
	if x := p.Recipe.Package.Processes["server"]; x.Port != 17171 {
		t.Errorf("a directory's port: %+v", x)
	}
	p = planned(t, "Dockerfile", main("x"), "routes.go", "package x\n\nconst a = \"/pictures/healthz\"\n",
		"compose.yml", "services: {app: {build: ., ports: ['80:8080'], environment: {PICTURES: 'http://pictures'}}, pictures: {image: someone/pictures}}\n")
	if x := p.Recipe.Package.Processes["app"]; x.Port != 8080 || x.Health != "" {
		t.Errorf("another service's route: %+v", x)
	}
}
