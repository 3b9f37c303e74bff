package plan_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/recipe"
)

// A compose file's command follows an image's entry point, and stands in the place of an image's command. Loops that wait for a database are nobody's.
func TestProcessesOfComposeFile(t *testing.T) {
	t.Parallel()
	process := func(port int, args ...string) recipe.Process {
		return recipe.Process{Args: append([]string{}, args...), Port: port}
	}
	for _, c := range []struct {
		name, start, services string
		command               []string
		processes             map[string]recipe.Process
		migrate               []string
	}{
		{
			"an entry point", `ENTRYPOINT ["/app/run"]`, "web: {build: ., command: serve, ports: [8080]}, worker: {build: ., command: work}",
			[]string{"/app/run"}, map[string]recipe.Process{"web": process(8080, "serve"), "worker": process(0, "work")}, nil,
		},
		{"a command alone", `CMD ["/app/run"]`, "web: {build: .}", []string{"/app/run"}, map[string]recipe.Process{"web": process(8080)}, nil},
		{
			"another command", `CMD ["/app/run"]`, "web: {build: ., ports: ['1:8080'], command: [/app/run, serve]}",
			[]string{"/app/run", "serve"}, map[string]recipe.Process{"web": process(8080)}, nil,
		},
		{
			"a command after waiting", `CMD ["/app/run"]`, "web: {build: ., ports: ['1:8080'], command: bash -c 'while ! nc -z db 5432; do sleep 1; done; exec /app/run serve'}",
			[]string{"/app/run", "serve"}, map[string]recipe.Process{"web": process(8080)}, nil,
		},
		{
			"what waiting leaves is more than a command", `CMD ["/app/run"]`, "web: {build: ., ports: ['1:8080'], command: [sh, -c, 'until nc -z db 1; do sleep 1; done && /app/run init && /app/run']}",
			[]string{"sh", "-c", "/app/run init && /app/run"}, map[string]recipe.Process{"web": process(8080)}, nil,
		},
		{
			"several commands", `CMD ["/app/run", "all"]`, "web: {build: ., ports: ['1:8080']}, worker: {build: ., command: celery work}",
			[]string{"env"}, map[string]recipe.Process{"web": process(8080, "/app/run", "all"), "worker": process(0, "celery", "work")}, nil,
		},
		{
			"a migration and an init program", "ENTRYPOINT [\"tini\", \"--\"]\nCMD [\"/app/run\"]", "web: {build: ., command: gunicorn x, ports: ['1:8080']}, init: {build: ., command: /app/run migrate}",
			[]string{"env"}, map[string]recipe.Process{"web": process(8080, "gunicorn", "x")}, []string{"/app/run", "migrate"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := planned(t, "Dockerfile", "FROM debian\nCOPY run /app/run\n"+c.start+"\nEXPOSE 8080\n", "run", "", "compose.yml", "services: {"+c.services+"}\n")
			if diff := cmp.Diff(c.command, p.Recipe.Package.Command); diff != "" {
				t.Errorf("command: %s", diff)
			}
			if diff := cmp.Diff(c.processes, p.Recipe.Package.Processes); diff != "" {
				t.Errorf("processes: %s", diff)
			}
			if diff := cmp.Diff(c.migrate, p.Recipe.Package.Migrate); diff != "" {
				t.Errorf("migrate: %s", diff)
			}
		})
	}
}

// The source that a compose file lays over the image is no volume, and how that starts it is asked.
func TestSourceOverTheImage(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		compose string
		volumes []string
		asks    bool
	}{
		"to develop": {"volumes: ['.:/app', './data:/data'], command: dev", []string{"/data"}, true},
		"data alone": {"volumes: ['./data:/app/data'], command: serve", []string{"/app/data"}, false},
	} {
		p := planned(t, "Dockerfile", "FROM debian\nCOPY . /app\nENTRYPOINT [\"/app/run\"]\nEXPOSE 8080\n", "run", "", "compose.yml", "services: {web: {build: ., "+c.compose+"}}\n")
		if diff := cmp.Diff(c.volumes, p.Recipe.Package.Volumes); diff != "" || strings.Contains(fmt.Sprint(p.Questions), "lays the source") != c.asks {
			t.Errorf("%s: %s%+v", name, diff, p.Questions)
		}
	}
}

// What tests are run with says nothing of how the service is, nor does an image that somebody else has made.
func TestComposeFilesOfOthers(t *testing.T) {
	t.Parallel()
	for name, file := range map[string][2]string{
		"of tests":       {"tests_web/compose.yml", "services: {web: {build: .., environment: {LEGACY: 1}}, db: {image: postgres}}\n"},
		"of another one": {"extras/facts/compose.yml", "services: {viewer: {image: some-viewer, environment: {LEGACY: 1}}}\n"},
	} {
		p := planned(t, "Dockerfile", "FROM debian\nCOPY run /app/run\nCMD [\"/app/run\"]\nEXPOSE 8080\n", "run", "", file[0], file[1])
		if len(p.Recipe.Package.Env)+len(p.Recipe.Services) > 0 {
			t.Errorf("%s: %+v", name, p.Recipe.Package)
		}
	}
}

// A health check may be a script of the source; a path that is asked of somebody else is none of the service's.
func TestHealthOfSources(t *testing.T) {
	t.Parallel()
	const script = "#!/usr/bin/env python3\nurl = f\"http://localhost:8080{prefix}/api/status/\"\n"
	for name, c := range map[string]struct {
		check string
		files []string
		want  string
	}{
		"a script":                     {"HEALTHCHECK CMD ./check.py\n", []string{"check.py", script}, "/api/status/"},
		"a script that Python runs":    {"HEALTHCHECK CMD python /app/check.py || exit 1\n", []string{"check.py", script}, "/api/status/"},
		"a script that asks for two":   {"HEALTHCHECK CMD ./check.py\n", []string{"check.py", script + "http://localhost:${PORT}/other"}, ""},
		"a client's":                   {"", []string{"x/client.py", "self.get_response(\"/_cluster/health\")\nrequests.get(\"/healthz\")\n", "x/web.py", "@app.route(\"/ping\")\n"}, "/ping"},
		"made out of another":          {"", []string{"x/settings.py", "PING = getenv(\"PING\", SITE + \"/ping/\")\n"}, ""},
		"mounted at its folder's name": {"", []string{"x/api/v1/routes.py", "@app.get(\"/health\")\n", "x/main.py", "app.mount(base() + \"/api/v1\", v1)\n"}, "/api/v1/health"},
	} {
		p := planned(t, append([]string{"Dockerfile", "FROM debian\nCOPY . /app\nWORKDIR /app\nCMD [\"/app/run\"]\nEXPOSE 8080\n" + c.check, "run", ""}, c.files...)...)
		if got := p.Recipe.Package.Processes["server"].Health; got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
		if c.want != "" && !strings.Contains(strings.Join(c.files, "\n"), p.Evidence["package.processes.server.health"][0].File) {
			t.Errorf("%s: evidence %v", name, p.Evidence["package.processes.server.health"])
		}
	}
}

// Django's settings are asked for where nothing names them.
func TestSettingsOfDjango(t *testing.T) {
	t.Parallel()
	const manage = "from django.core.management import execute_from_command_line\n"
	const named = "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'shop.settings')\n"
	for name, c := range map[string]struct {
		env, manage, other string
		asks               bool
	}{
		"nothing names them":        {"", manage, "", true},
		"they are only read":        {"", manage, "print(os.environ['DJANGO_SETTINGS_MODULE '])\n", true},
		"the image names them":      {"ENV DJANGO_SETTINGS_MODULE=shop.settings\n", manage, "", false},
		"the project names its own": {"", manage + named, "", false},
		"another file names them":   {"", manage, "from os import environ\n" + named, false},
		"it is not Django's":        {"", "print()\n", "", false},
	} {
		p := planned(t, "Dockerfile", "FROM debian\nCOPY . /app\nWORKDIR /app\n"+c.env+"CMD [\"/app/run\"]\nEXPOSE 8080\n", "run", "", "manage.py", c.manage, "shop/setup.py", c.other)
		if about(p, "package.env.DJANGO_SETTINGS_MODULE") != c.asks {
			t.Errorf("%s: %+v", name, p.Questions)
		}
	}
}
