package main

import (
	"cmp"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"headwater/internal/proof"
)

var (
	// healthy is how often gatehouse is proven: nothing that works may ever fail. TestGatehouseIsProven is the first time.
	healthy = flag.Int("healthy", 1, "how many times gatehouse, without a fault, is verified")
	// Faults that are met in the same way differ in what verify makes of them, which its own tests see to; each takes half a minute.
	allPlanted = flag.Bool("planted", false, "plant every fault, not one of each likely cause")
)

// The files that faults are planted in, in a copy of examples.
const (
	inRecipe    = "homelab/gatehouse/" + recipeFile
	inLifecycle = "gatehouse/lifecycle/gatehouse"
	inBackend   = "gatehouse/backend/"
	inSettings  = inBackend + "gatehouse/settings.py"
	inValidator = inBackend + "gatehouse/oauth2/validator.py"
)

// edit replaces a text of a file; where old is "", new is the end of the file, which need not be there.
type edit struct{ file, old, new string }

// setting is an edit that gives the package another variable.
func setting(line string) edit {
	const before = "    GATEHOUSE_DATA_DIR: /data\n"
	return edit{inRecipe, before, before + "    " + line + "\n"}
}

// validator is an edit of what decides who gets which tokens.
func validator(method string) edit {
	return edit{inValidator, "", "\n    " + strings.ReplaceAll(method, "\n", "\n    ") + "\n"}
}

// The recipe's checks that a fault is met in; the others are left out, which saves time.
var (
	byAPI  = []string{"the API has a session", "people sign in by the API"}
	adding = append(byAPI[:2:2], "an application is added")
	oauth  = append(adding[:3:3], "applications sign people in")
	asking = append(byAPI[:2:2], "an application that asks is added", "people are asked before an application learns of them")
	page   = []string{"people sign in at the page"}
)

// planted is a fault: gatehouse builds, and is broken at run time.
type planted struct {
	name   string
	edits  []edit
	checks []string // of the recipe's, those that are done
	args   []string
	relock bool // the edit is of what the lock pins
	from   bool // the release without the fault is the older one, whose data is there

	check   string // the first that fails
	finding string // and what of it, where it looks at several things
	class   string // the likely cause, "" where the check says it all
	change  string // and the recipe's key to look at
}

// faults are those that issue 5 names, those of the operator's five deployments, and others that people meet.
func faults() []planted {
	return []planted{
		// What is not there, or not where it is looked for.
		{name: "TMPDIR is not there", edits: []edit{setting("TMPDIR: /nowhere")},
			check: "server stays up", class: "missing file", change: "package.env.TMPDIR"},
		{name: "the web UI's folder is another", edits: []edit{setting("GATEHOUSE_WEB_DIR: /app/web")},
			check: "server stays up", class: "missing file", change: "package.env.GATEHOUSE_WEB_DIR"},
		{name: "the layout has no backend", edits: []edit{{inRecipe, "    /app/backend: backend:backend\n", ""}},
			check: "migrations of an empty database", class: "missing file"},
		{name: "the working directory is another", edits: []edit{{inRecipe, "workdir: /app", "workdir: /"}},
			check: "migrations of an empty database", class: "missing file"},
		{name: "a template is not selected", edits: []edit{{inRecipe, "src: [backend]}", "src: [backend, '!backend/gatehouse/templates/gatehouse']}"}},
			checks: asking, check: "people are asked before an application learns of them", class: "missing template"},
		{name: "the command is another", edits: []edit{{inRecipe, "command: [/app/lifecycle/gatehouse]", "command: [/app/lifecycle/gatehose]"}},
			check: "migrations of an empty database", class: "missing program", change: "package.command"},
		{name: "the virtual environment is not on PATH", edits: []edit{{inRecipe, "/opt/venv/bin:", ""}},
			check: "migrations of an empty database", class: "missing program"},
		{name: "the root to run in is one to build in", edits: []edit{{inRecipe, "package:\n  root: runtime", "package:\n  root: node"}},
			check: "migrations of an empty database", class: "missing program"},
		{name: "a library is in the root to build in only", edits: []edit{{inRecipe, "[ca-certificates, libpq5, libxml2, libxslt1.1, python3,", "[ca-certificates, libpq5, libxml2, python3,"}},
			relock: true, check: "migrations of an empty database", class: "missing shared library", change: "roots.runtime.packages"},
		{name: "a module is there for tests only", edits: []edit{{inSettings, "import os\n", "import os\n\nimport pytest\n"}},
			check: "migrations of an empty database", class: "missing module", change: "components.env"},

		// What it is not told, or told wrong.
		{name: "a password is not made", edits: []edit{{inRecipe, "  secrets: [GATEHOUSE_BOOTSTRAP_PASSWORD]\n", ""}},
			check: "migrations of an empty database", class: "setting", change: "package.env.GATEHOUSE_BOOTSTRAP_PASSWORD"},
		{name: "a variable is unset", edits: []edit{{inLifecycle, "    manage bootstrap\n", "    : \"${GATEHOUSE_SITE_NAME:?must be set}\"\n    manage bootstrap\n"}},
			check: "migrations of an empty database", class: "unset variable", change: "package.env.GATEHOUSE_SITE_NAME"},
		{name: "the database's address has another name", edits: []edit{
			{inRecipe, "GATEHOUSE_DATABASE_URL: postgresql", "DATABASE_URL: postgresql"},
			{inLifecycle, "manage wait_for_database", "manage wait_for_database --seconds 3"}},
			check: "migrations of an empty database", class: "something that is not there", change: "services"},
		{name: "a log level that it does not know", edits: []edit{setting("GATEHOUSE_LOG_LEVEL: loud")},
			check: "server stays up", class: "setting", change: "package.env.GATEHOUSE_LOG_LEVEL"},
		{name: "another address", edits: []edit{setting("GATEHOUSE_EXTERNAL_URL: https://sign-in.invalid")},
			checks: oauth, check: "applications sign people in", finding: "discovery: issuer", class: "address", change: "package.env.GATEHOUSE_EXTERNAL_URL"},
		{name: "another command for the worker", edits: []edit{{inRecipe, "worker: {args: [worker]}", "worker: {args: [work]}"}},
			check: "worker stays up", class: "arguments", change: "package.processes.worker.args"},
		{name: "another port", edits: []edit{{inRecipe, "port: 9000", "port: 9001"}}, args: []string{"--wait", "40s"},
			check: "server is healthy", class: "port", change: "package.processes.server.port"},
		{name: "another health check", edits: []edit{{inRecipe, "health: /-/health/ready", "health: /-/healthz"}}, args: []string{"--wait", "40s"},
			check: "server is healthy", class: "health", change: "package.processes.server.health"},
		{name: "two on one port", edits: []edit{{inRecipe, "    worker: {args: [worker]}", "    second: {args: [server]}\n    worker: {args: [worker]}"}},
			class: "port in use", change: "package.processes"},

		// What it may not do.
		{name: "data where nothing is writable", edits: []edit{{inRecipe, "GATEHOUSE_DATA_DIR: /data", "GATEHOUSE_DATA_DIR: /srv/gatehouse"}},
			check: "migrations of an empty database", class: "read-only file system", change: "package.env.GATEHOUSE_DATA_DIR"},
		{name: "no volume", edits: []edit{{inRecipe, "  volumes: [/data]\n", ""}},
			check: "migrations of an empty database", class: "read-only file system"},
		{name: "a log file beside the program", edits: []edit{{inSettings, `{"class": "logging.StreamHandler", "formatter": "line"}`, `{"class": "logging.FileHandler", "filename": "/app/gatehouse.log", "formatter": "line"}`}},
			check: "migrations of an empty database", class: "read-only file system", change: "package.volumes"},
		{name: "a script that is for root", edits: []edit{{inLifecycle, "    manage prepare_data\n", "    chown -R 999:999 /data\n    manage prepare_data\n"}},
			check: "migrations of an empty database", class: "permission", change: "package.user"},
		{name: "a file that is for root", edits: []edit{{inLifecycle, "    manage prepare_data\n", "    umask 777 && : >/data/lock && umask 022 && cat /data/lock\n    manage prepare_data\n"}},
			check: "migrations of an empty database", class: "permission"},

		// Migrations.
		{name: "no migrations", edits: []edit{{inRecipe, "  migrate: [migrate]\n", ""}},
			check: "worker stays up", class: "database not migrated", change: "package.migrate"},
		{name: "migrations in another order", edits: []edit{{inLifecycle, "    manage migrate --noinput \"${@:2}\"\n    manage bootstrap\n", "    manage bootstrap\n    manage migrate --noinput \"${@:2}\"\n"}},
			check: "migrations of an empty database", class: "database not migrated", change: "package.migrate"},
		{name: "a migration that existing data does not fit", from: true, checks: byAPI, edits: []edit{
			{inBackend + "gatehouse/identity/models.py", "    mailed = models.BooleanField(default=False)\n", "    mailed = models.BooleanField(default=False)\n    channel = models.CharField(max_length=20)\n"},
			{inBackend + "gatehouse/identity/migrations/0003_channel.py", "", `from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("identity", "0002_notice")]
    operations = [migrations.AddField("notice", "channel", models.CharField(max_length=20), preserve_default=False)]
`}},
			check: "migrations of release 1.3.0's data", class: "migration fails on the data", change: "package.migrate"},

		// Parts that are not of one release.
		{name: "a stale client in the server", edits: []edit{
			{inBackend + "gatehouse/api/serializers.py", "    migrated = serializers", "    up_to_date = serializers"},
			{inBackend + "gatehouse/api/views.py", "StatusSerializer(status).data", `StatusSerializer({**status, "up_to_date": status["migrated"]}).data`}},
			args: []string{"--wait", "40s"}, check: "server is healthy", class: "health"},
		{name: "a web UI of another schema", edits: []edit{{"gatehouse/schema.yml", "        is_staff:", "        isStaff:"}},
			checks: page, check: "people sign in at the page", class: "page of another release"},
		{name: "a web UI for another folder", edits: []edit{{"gatehouse/web/rollup.config.mjs", `"%SCRIPT%", ` + "`/$", `"%SCRIPT%", ` + "`/static/$"}},
			checks: page, check: "people sign in at the page", class: "broken page"},

		// Processes.
		{name: "a worker that dies after 5 seconds", edits: []edit{{inLifecycle, "    exec python backend/manage.py procrastinate worker", "    timeout --signal KILL 5 python backend/manage.py procrastinate worker"}},
			args: []string{"--settle", "8s"}, check: "worker stays up", class: "killed"},
		{name: "a launcher that does not pass SIGTERM on", edits: []edit{{inLifecycle, "    exec ./bin/gatehouse-server\n", "    ./bin/gatehouse-server\n"}},
			args: []string{"--max-stop", "5s"}, check: "server ends when it is asked to", class: "signal not handled", change: "package.command"},
		{name: "a server that goes to the background", edits: []edit{{inLifecycle, "    exec ./bin/gatehouse-server\n", "    ./bin/gatehouse-server &\n"}},
			check: "server stays up", class: "not a process that stays", change: "package.processes.server"},
		{name: "jobs that fail", edits: []edit{{inBackend + "gatehouse/identity/tasks.py", "    with transaction.atomic():\n", "    with open(\"/app/backend/notice.txt\") as text, transaction.atomic():\n"}},
			checks: append(byAPI[:2:2], "the worker delivers notices of sign-ins"), check: "the worker delivers notices of sign-ins", class: "missing file"},

		// Signing in.
		{name: "a cookie for another domain", edits: []edit{{inSettings, "SESSION_COOKIE_AGE =", "SESSION_COOKIE_DOMAIN = \"gatehouse.invalid\"\nSESSION_COOKIE_AGE ="}},
			checks: page, check: "people sign in at the page", class: "cookie"},
		{name: "a token signed with another key", edits: []edit{{inValidator, "", `

from jwcrypto.jwk import JWK  # noqa: E402
from oauth2_provider.models import Application  # noqa: E402

OTHER = JWK.generate(kty="RSA", size=2048)
Application.jwk_key = property(lambda self: OTHER)
`}}, checks: oauth, check: "applications sign people in", finding: "ID token: signature", class: "keys"},
		{name: "a redirect that is not checked", edits: []edit{validator("def validate_redirect_uri(self, *args, **kwargs):\n    return True")},
			checks: oauth, check: "applications sign people in", finding: "refused: redirect to another host", class: "not refused"},
		{name: "a code that is taken twice", edits: []edit{validator("def invalidate_authorization_code(self, *args, **kwargs):\n    pass")},
			checks: oauth, check: "applications sign people in", finding: "refused: reused code", class: "not refused"},
		{name: "a verifier that is not checked", edits: []edit{validator("def get_code_challenge(self, code, request):\n    return None"), {inSettings, `"PKCE_REQUIRED": True`, `"PKCE_REQUIRED": False`}},
			checks: oauth, check: "applications sign people in", finding: "refused: missing verifier", class: "not refused"},
		{name: "a client secret that is not checked", edits: []edit{validator("def _check_secret(self, provided_secret, stored_secret):\n    return True")},
			checks: oauth, check: "applications sign people in", finding: "refused: wrong client secret", class: "not refused"},
		{name: "an expired token that is taken", edits: []edit{setting(`GATEHOUSE_ACCESS_TOKEN_SECONDS: "9"`), {inValidator, "", `

from oauth2_provider.models import AccessToken  # noqa: E402

AccessToken.is_expired = lambda self: False
`}}, checks: oauth, check: "applications sign people in", finding: "refused: expired access token", class: "not refused"},

		// What the logs tell.
		{name: "a secret in the log", edits: []edit{{inBackend + "gatehouse/identity/management/commands/bootstrap.py", "administrator {name}", "administrator {name} {password}"}},
			check: "the logs have no secrets", class: "secret in the log", change: "package.migrate"},
		{name: "an error in the log", edits: []edit{{inBackend + "gatehouse/wsgi.py", "require_keys()\n", "require_keys()\n\nimport logging  # noqa: E402\n\nlogging.getLogger(\"gatehouse\").error(\"cannot set up tracing\")\n"}},
			check: "the logs have no errors", class: "error in the log", change: "allow-logs"},
	}
}

// plant makes a copy of the examples with the fault, and returns the recipe's folder.
func (p planted) plant(t *testing.T) string {
	t.Helper()
	examples := filepath.Join(t.TempDir(), "examples")
	if err := os.CopyFS(examples, os.DirFS("../../examples")); err != nil {
		t.Fatal(err)
	}
	keep := func(s string) string { return onlyChecks(t, s, p.checks) }
	rewrite(t, filepath.Join(examples, inRecipe), keep)
	for _, e := range p.edits {
		rewrite(t, filepath.Join(examples, e.file), func(s string) string {
			if e.old == "" {
				return s + e.new
			}
			if !strings.Contains(s, e.old) {
				t.Fatalf("%s has no %q", e.file, e.old)
			}
			return strings.ReplaceAll(s, e.old, e.new)
		})
	}
	dir := filepath.Join(examples, filepath.Dir(inRecipe))
	if p.relock {
		output(t, "lock", "--store", sharedStore(t), dir)
	}
	return dir
}

// rewrite edits a file, or makes it.
func rewrite(t *testing.T, file string, to func(string) string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(to(string(b))), 0o755); err != nil {
		t.Fatal(err)
	}
}

// onlyChecks leaves out the recipe's other checks, and does none twice.
func onlyChecks(t *testing.T, recipe string, names []string) string {
	t.Helper()
	before, rest, ok := strings.Cut(recipe, "\nchecks:\n")
	checks, after, more := strings.Cut(rest, "\nallow-logs:")
	if !ok || !more {
		t.Fatal("the recipe has no checks, or nothing after them")
	}
	out := before + "\n"
	if len(names) > 0 {
		out += "checks:\n"
	} else {
		out = strings.Replace(out, "browser: chromium\n", "", 1)
	}
	found := 0
	for _, c := range strings.Split("\n"+checks, "\n  - name: ")[1:] {
		if name, _, _ := strings.Cut(c, "\n"); slices.Contains(names, name) {
			out += "  - name: " + strings.Replace(c, "    repeat: true\n", "", 1) + "\n"
			found++
		}
	}
	if found != len(names) {
		t.Fatalf("the recipe has %d of the checks %q", found, names)
	}
	return out + "allow-logs:" + after
}

// older makes a copy of the examples of a release before, without a fault.
func (p planted) older(t *testing.T) string {
	t.Helper()
	before := planted{checks: p.checks, edits: []edit{{inRecipe, "release: 1.4.0", "release: 1.3.0"}}}
	return before.plant(t)
}

// Each fault builds, and is found at run time, by the check whose matter it is, with its likely cause.
func TestPlantedFaultsAreFound(t *testing.T) {
	met := map[string]bool{}
	for _, p := range faults() {
		kind := cmp.Or(p.class, p.check)
		if met[kind] && !*allPlanted {
			continue
		}
		met[kind] = true
		t.Run(strings.ReplaceAll(p.name, " ", "-"), func(t *testing.T) {
			t.Parallel()
			args := append([]string{"--fail-fast", "--wait", "3m", "--max-migrate", "5m", "--max-check", "2m"}, p.args...)
			if p.from {
				args = append(args, "--from", p.older(t))
			}
			v := runVerify(t, append(args, p.plant(t))...)
			first := v.first()
			var cause proof.Cause
			if len(first.Failure.Causes) > 0 {
				cause = first.Failure.Causes[0]
			}
			bad := ""
			for _, f := range slices.Backward(first.Findings) {
				if !f.OK {
					bad = f.Name
				}
			}
			t.Logf("%.0f s: %s | %s | %s | %s | %s", v.took.Seconds(), first.Name, bad, cause.Class, cause.Change, firstLine(first.Failure.Seen))
			if v.exit != exitFailed || p.check != "" && first.Name != p.check || p.finding != bad || cause.Class != p.class || p.change != "" && cause.Change != p.change {
				t.Errorf("exit %d: %q (%s), cause %+v; want %q (%s), cause %s at %q\nseen %s\nlog %s\n%s", v.exit, first.Name, bad, cause, p.check, p.finding, p.class, p.change,
					first.Failure.Seen, strings.Join(first.Failure.Log, "\n    "), v.stderr)
			}
		})
	}
}

// What works never fails.
func TestHealthyGatehouseIsAlwaysProven(t *testing.T) {
	for range *healthy - 1 {
		v := runVerify(t, "--wait", "5m", "--max-migrate", "10m", "--max-check", "5m", "--max-time", "30m", "../../examples/homelab/gatehouse")
		if v.exit != 0 {
			t.Errorf("exit %d: %q: %+v\n%s", v.exit, v.first().Name, v.first().Failure, v.stderr)
		}
		t.Logf("%d checks in %v", len(v.record.Checks), v.took.Round(time.Second))
	}
}
