package verify_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/proof"
	"headwater/internal/recipe"
	"headwater/internal/verify"
)

func service() *recipe.Recipe {
	return &recipe.Recipe{
		Components: map[string]recipe.Component{"env": {Ecosystem: "python"}},
		Package: recipe.Package{
			Root: "runtime", Layout: map[string]string{"/app/web": "web", "/app": "backend"}, Command: []string{"/app/start"}, Workdir: "/app",
			Env: map[string]string{"TMPDIR": "/var/cache/app", "APP_USER": "admin", "APP_LEVEL": "loud"}, Migrate: []string{"migrate"},
			Processes: map[string]recipe.Process{"a": {Port: 80}, "b": {Port: 9000, Args: []string{"wroker"}}, "c": {Port: 9000}},
		},
	}
}

// Lines as interpreters, libraries and servers print them.
func TestCauses(t *testing.T) {
	for _, c := range []struct{ log, class, change string }{
		{"bwrap: execvp /app/start: No such file or directory", "missing program", "package.command"},
		{"/app/lifecycle: line 12: poetry: command not found", "missing program", "roots.runtime.packages"},
		{`exec: "gunicorn": executable file not found in $PATH`, "missing program", "roots.runtime.packages"},
		{"/usr/bin/env: ‘node’: No such file or directory", "missing program", "roots.runtime.packages"},
		{"python3: error while loading shared libraries: libpq.so.5: cannot open shared object file: No such file or directory", "missing shared library", "roots.runtime.packages"},
		{"ImportError: libxml2.so.2: cannot open shared object file: No such file or directory", "missing shared library", "roots.runtime.packages"},
		{"/app/server: /lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.38' not found (required by /app/server)", "library too old", "roots.runtime.suites"},
		{"ModuleNotFoundError: No module named 'lxml'", "missing module", "components.env"},
		{"Error: Cannot find module 'express'\nRequire stack:", "missing module", "components.env"},
		{"Error [ERR_MODULE_NOT_FOUND]: Cannot find package 'lit' imported from /app/x.js", "missing module", "components.env"},
		{"FileNotFoundError: [Errno 2] No such file or directory: '/app/web/index.html'", "missing file", "package.layout./app/web"},
		{"python: can't open file '/app/backend/manage.py': [Errno 2] No such file or directory", "missing file", "package.layout./app"},
		{"open web/index.html: no such file or directory", "missing file", "package.layout./app/web"},
		{"mkdtemp /var/cache/app/x: FileNotFoundError: [Errno 2] No such file or directory: '/var/cache/app/x'", "no temporary folder", "package.env.TMPDIR"},
		{"FileNotFoundError: [Errno 2] No such file or directory: '/var/cache/app/x'", "missing file", "package.env.TMPDIR"},
		{"open /etc/app/config.yml: no such file or directory", "missing file", "package.layout"},
		{"Error: ENOENT: no such file or directory, open '/app/conf.json'", "missing file", "package.layout./app"},
		{"django.template.exceptions.TemplateDoesNotExist: app/page.html", "missing template", "package.layout"},
		{"OSError: [Errno 30] Read-only file system: '/app/cache'", "read-only file system", "package.volumes"},
		{"mkdir /app/data: read-only file system", "read-only file system", "package.volumes"},
		{"Error: EROFS: read-only file system, mkdir '/app/.cache'", "read-only file system", "package.volumes"},
		{"PermissionError: [Errno 13] Permission denied: '/app/secret'", "permission", "package.layout./app"},
		{"open /data/key: permission denied", "permission", "package.user"},
		{"listen tcp :80: bind: permission denied", "port of the system's", "package.processes.a.port"},
		{"listen tcp 0.0.0.0:9000: bind: address already in use", "port in use", "package.processes.c.port"},
		{"Error: listen EADDRINUSE: address already in use :::9000", "port in use", "package.processes.c.port"},
		{"KeyError: 'APP_SECRET_KEY'", "unset variable", "package.env.APP_SECRET_KEY"},
		{"/app/start: line 3: APP_HOME: unbound variable", "unset variable", "package.env.APP_HOME"},
		{"/app/start: line 3: APP_HOME: must be set", "unset variable", "package.env.APP_HOME"},
		{"panic: environment variable APP_URL must be set", "unset variable", "package.env.APP_URL"},
		{"DATABASE_URL is not set", "unset variable", "package.env.DATABASE_URL"},
		{"ImproperlyConfigured: Set the APP_KEY environment variable", "unset variable", "package.env.APP_KEY"},
		{"FileNotFoundError: [Errno 2] No usable temporary directory found in ['/tmp', '/var/tmp', '/usr/tmp', '/']", "no temporary folder", "package.env.TMPDIR"},
		{`psycopg.errors.UndefinedTable: relation "users" does not exist`, "database not migrated", "package.migrate"},
		{"sqlite3.OperationalError: no such table: users", "database not migrated", "package.migrate"},
		{`column "kind" of relation "event" contains null values`, "migration fails on the data", "package.migrate"},
		{`FATAL:  password authentication failed for user "app"`, "password refused", "services"},
		{"redis.exceptions.AuthenticationError: NOAUTH Authentication required.", "password refused", "services"},
		{"dial tcp: lookup redis: no such host", "something that is not there", "services"},
		{"connection to server at \"127.0.0.1\", port 5432 failed: Connection refused", "something that is not there", "services"},
		{"FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory", "out of memory", "package.env"},
		{"write /data/x: no space left on device", "no space", "package.volumes"},
		{"exit status 137 (signal 9)", "killed", "package.processes"},
		{"CommandError: connect to the database: connection to server on socket \"/run/.s.PGSQL.5432\" failed: No such file or directory", "something that is not there", "services"},
		{"function jobs_fetch_v1(double precision) does not exist\nLINE 1: SELECT", "database not migrated", "package.migrate"},
		{"Unknown command: 'wroker'\nType 'manage.py help' for usage.", "arguments", "package.processes.b.args"},
		{"Error: unknown flag: --migrate-now", "arguments", "package.command"},
		{"read pages in /var/cache/app: open index.html: no such file or directory", "missing file", "package.env.TMPDIR"},
		{"OSError: [Errno 30] Read-only file system: '/var/cache'", "read-only file system", "package.env.TMPDIR"},
		{"chown: changing ownership of '/data': Invalid argument", "permission", "package.user"},
		{"403 Forbidden\ncookie: app_session is not accepted: it is for HTTPS only, and this is HTTP", "cookie", "package.env"},
		{"served 200 in 3 ms", "", ""},
	} {
		list := verify.CausesIn(service(), c.log)
		if c.class == "" && len(list) == 0 {
			continue
		}
		if len(list) == 0 || list[0].Class != c.class || list[0].Change != c.change {
			t.Errorf("%s\n got %+v\nwant %s, %s", c.log, list, c.class, c.change)
		}
	}
}

// What a provider does not refuse is told only where all else works.
func TestTokenCauses(t *testing.T) {
	bad := func(names ...string) []proof.Finding {
		list := []proof.Finding{{Name: "discovery: document", OK: true}}
		for _, n := range names {
			list = append(list, proof.Finding{Name: n})
		}
		return list
	}
	for _, c := range []struct {
		findings []proof.Finding
		class    string
	}{
		{bad(), ""},
		{bad("refused: reused code"), "not refused"},
		{bad("token response", "refused: reused code"), ""},
		{bad("ID token: signature", "refresh"), "keys"},
		{append(bad("refused: reused code"), proof.Finding{Name: "refused: wrong verifier", Seen: "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"}), "no answer"},
	} {
		class := ""
		if list := verify.TokenCauses(c.findings); len(list) > 0 {
			class = list[0].Class
		}
		if class != c.class {
			t.Errorf("%+v: %q, want %q", c.findings, class, c.class)
		}
	}
}

// What ended tells of a setting at its end.
func TestSettings(t *testing.T) {
	for _, c := range []struct{ log, change string }{
		{"CommandError: APP_USER and APP_PASSWORD: set both or neither.", "package.env.APP_PASSWORD"},
		{`parse error on field "LogLevel": level string "loud": unknown name`, "package.env.APP_LEVEL"},
		{"bye", ""},
	} {
		change := ""
		if list := verify.Settings(service(), c.log); len(list) > 0 {
			change = list[0].Change
		}
		if change != c.change {
			t.Errorf("%s: %q, want %q", c.log, change, c.change)
		}
	}
}

// A page that is only refused what it asks for need not be broken.
func TestBrokenPage(t *testing.T) {
	const refused, missing = "request: GET http://127.0.0.1:80/me: answers 401 Unauthorized", "request: GET http://127.0.0.1:80/a.js: answers 404 Not Found"
	for _, c := range []struct {
		problems []string
		class    string
	}{
		{[]string{refused}, "refused request"}, {[]string{refused, missing}, "broken page"}, {[]string{missing}, "broken page"}, {[]string{"console: answers 401"}, "broken page"},
	} {
		if list := verify.BrokenPage(c.problems); len(list) != 1 || list[0].Class != c.class {
			t.Errorf("%q: %+v", c.problems, list)
		}
	}
}

func TestSuspicious(t *testing.T) {
	for _, line := range []string{
		"ERROR django.request: Internal Server Error: /x", "2026-01-01 10:00:00,1 [12] [ERROR] Exception in worker", `time=2026 level=ERROR msg="x"`,
		`{"level":"error","msg":"x"}`, `{"level":50,"msg":"x"}`, "Traceback (most recent call last):", "panic: runtime error: index out of range",
		"2026/01/01 [crit] 1#1: x", "Unhandled Promise Rejection", "thread 'main' panicked at src/main.rs:1:1:", `{"severity":"CRITICAL"}`,
	} {
		if !verify.Suspicious(line) {
			t.Errorf("passes: %s", line)
		}
	}
	for _, line := range []string{
		"INFO app: 0 errors", `{"level":"info","msg":"error budget"}`, "WARNING django.request: Forbidden: /x", "GET /error 200", "LOG: starting",
		`level=info msg="no ERROR was found in what was looked at"`, "[INFO] Using worker: sync", `{"level":30}`,
	} {
		if verify.Suspicious(line) {
			t.Errorf("is taken for an error: %s", line)
		}
	}
}

func TestPointer(t *testing.T) {
	const body = `{"a": {"b/c": [1, "x", true]}, "~": 12345678901234567890, "n": null}`
	for _, c := range []struct {
		pointer, want string
		ok            bool
	}{
		{"/a/b~1c/0", "1", true}, {"/a/b~1c/1", "x", true}, {"/a/b~1c/2", "true", true}, {"/~0", "12345678901234567890", true},
		{"/a/b~1c/3", "", false}, {"/a/b~1c/-1", "", false}, {"/a", "", false}, {"/n", "", false}, {"/x", "", false}, {"/~0/x", "", false},
	} {
		if got, err := verify.Pointer([]byte(body), c.pointer); got != c.want || (err == nil) != c.ok {
			t.Errorf("%s: %q, %v", c.pointer, got, err)
		}
	}
	if _, err := verify.Pointer([]byte("<html>"), "/a"); err == nil || !strings.Contains(err.Error(), "no JSON") {
		t.Errorf("of HTML: %v", err)
	}
}

func TestAssets(t *testing.T) {
	at, err := url.Parse("http://127.0.0.1:9000/ui/")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, u := range verify.Assets(at, []byte(`<base href="/static/"><link rel="shortcut icon" href=i.svg><link rel=canonical href=/x>
		<script type=module src=/main.js#a></script><script src=/main.js></script><script>'<img src=no>'</script><img src="data:,"><img src=//cdn.example/a.png><a href=/b>`)) {
		got = append(got, u.String())
	}
	want := []string{"http://127.0.0.1:9000/static/i.svg", "http://127.0.0.1:9000/main.js"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func FuzzPointer(f *testing.F) {
	f.Add([]byte(`{"a":[1]}`), "/a/0")
	f.Fuzz(func(t *testing.T, body []byte, pointer string) {
		if strings.HasPrefix(pointer, "/") {
			_, _ = verify.Pointer(body, pointer)
		}
	})
}

func FuzzAssets(f *testing.F) {
	f.Add([]byte(`<base href="http://[::1"><script src=" /a"></script>`))
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, u := range verify.Assets(&url.URL{Scheme: "http", Host: "a.invalid", Path: "/"}, body) {
			if u.Host != "a.invalid" {
				t.Errorf("leads away: %s", u)
			}
		}
	})
}
