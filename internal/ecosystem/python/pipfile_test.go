package python_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/ecosystem/python"
)

const pipfileText = `{
    "_meta": {
        "hash": {"sha256": "00"},
        "pipfile-spec": 6,
        "requires": {"python_version": "3.13"},
        "sources": [
            {"name": "pypi", "url": "https://index.invalid/simple", "verify_ssl": true},
            {"name": "own", "url": "https://own.invalid/simple", "verify_ssl": true}
        ]
    },
    "default": {
        "gunicorn": {
            "hashes": [
                "sha256:0000000000000000000000000000000000000000000000000000000000000001",
                "sha256:0000000000000000000000000000000000000000000000000000000000000002"
            ],
            "index": "pypi",
            "markers": "python_version >= '3.7'",
            "version": "==23.0.0"
        },
        "axes": {
            "extras": ["ipware", "b"],
            "hashes": ["sha256:0000000000000000000000000000000000000000000000000000000000000003"],
            "version": "==7.0"
        },
        "core": {
            "editable": true,
            "path": "packages/core"
        },
        "fork": {
            "git": "https://forge.invalid/a/b",
            "ref": "0123456789012345678901234567890123456789"
        }
    },
    "develop": {
        "black": {"hashes": [], "version": "==26.0"}
    }
}
`

func readPipfile(text string) (*python.RequirementsFile, error) {
	return python.ReadRequirements("app/Pipfile.lock", func(string) ([]byte, error) { return []byte(text), nil })
}

// A Pipfile.lock is a requirements file that pins all that the service is run with, and nothing of what it is worked on with.
func TestReadPipfileLock(t *testing.T) {
	t.Parallel()
	f, err := readPipfile(pipfileText)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, l := range f.Lines {
		got = append(got, fmt.Sprintf("%s:%d %s", l.File, l.Line, l))
	}
	const hash = "sha256:000000000000000000000000000000000000000000000000000000000000000"
	want := []string{
		"app/Pipfile.lock:21 axes[ipware,b]==7.0 --hash=" + hash + "3", "app/Pipfile.lock:26 -e ./app/packages/core",
		"app/Pipfile.lock:30 fork @ git+https://forge.invalid/a/b@0123456789012345678901234567890123456789",
		"app/Pipfile.lock:12 gunicorn==23.0.0 ; python_version >= '3.7' --hash=" + hash + "1 --hash=" + hash + "2",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"https://own.invalid/simple"}, f.Indexes); diff != "" {
		t.Error(diff)
	}
	for name, c := range map[string][2]string{
		"another format":         {`"pipfile-spec": 7, "default": {}`, "pipfile-spec 7"},
		"no version":             {`"pipfile-spec": 6}, "default": {"a": {"version": "*"}}, "x": {`, "pins none"},
		"more than one line":     {`"pipfile-spec": 6}, "default": {"a": {"version": "==1\n-r other.txt"}}, "x": {`, "no part of a requirement"},
		"a hash that is none":    {`"pipfile-spec": 6}, "default": {"a": {"version": "==1", "hashes": ["sha256:zz"]}}, "x": {`, `package "a"`},
		"a name that is none":    {`"pipfile-spec": 6}, "default": {"a b": {"version": "==1"}}, "x": {`, `package "a b"`},
		"a folder from anywhere": {`"pipfile-spec": 6}, "default": {"a": {"path": "/etc"}}, "x": {`, `package "a"`},
	} {
		if _, err := readPipfile(`{"_meta": {` + c[0] + `}}`); err == nil || !strings.Contains(err.Error(), c[1]) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzReadPipfileLock(f *testing.F) {
	f.Add(pipfileText)
	f.Add(`{"_meta": {"pipfile-spec": 6}, "default": {"a": {"version": "==1", "markers": "os_name == 'posix'", "extras": ["x"]}, "b": {"file": "https://files.invalid/b-1.zip"}}}`)
	f.Fuzz(func(t *testing.T, text string) {
		file, err := readPipfile(text)
		if err != nil {
			return
		}
		for _, l := range file.Lines { // each is one thing, as a requirements file would have it
			if again, err := python.ParseRequirementLine(l.String()); l.Path == "" && (err != nil || again.String() != l.String()) {
				t.Errorf("%q is read as %q: %v", l, again, err)
			}
		}
	})
}

// Pipenv's environment is the project's own, or the interpreter's where it is told so; its lock is what is installed.
func TestPlanPipenv(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ run, at, asks string }{
		"in the interpreter's": {"RUN pip install pipenv && pipenv install --system --deploy", "/usr/local", ""},
		"in the project's":     {"ENV PIPENV_VENV_IN_PROJECT=1\nRUN pipenv sync", "/app/.venv", ""},
		"for development too":  {"RUN pipenv install --system --dev", "/usr/local", "--dev"},
		"by way of pip":        {"RUN pipenv requirements > requirements.txt && pip install -r requirements.txt", "/usr/local", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := planned(t, "Dockerfile", "FROM python:3.13\nWORKDIR /app\nCOPY . .\n"+c.run+"\nCMD [\"python\", \"app.py\"]\n", "Pipfile", "", "Pipfile.lock", pipfileText, "app.py", "", "packages/core/pyproject.toml", "")
			want := []string{c.at + ": env", `env dir= at=/app src=Pipfile.lock {"requirements":["Pipfile.lock"],"venv":"` + c.at + `"}`}
			if diff := cmp.Diff(want, environment(t, p)); diff != "" {
				t.Errorf("(-want +got):\n%s\n%+v", diff, p.Questions)
			}
			if asks := fmt.Sprint(p.Questions); c.asks != "" && !strings.Contains(asks, c.asks) || strings.Contains(asks, "components") != (c.asks != "") {
				t.Errorf("asks %s", asks)
			}
		})
	}
}
