package python_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/artifact"
	"headwater/internal/ecosystem/python"
)

func testdata(t testing.TB, elem ...string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(append([]string{"testdata"}, elem...)...))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func project(t testing.TB, text string) *python.Project {
	t.Helper()
	p, err := python.ParseProject([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// summary is a line a package: name, version, and what it is made of.
func summary(packages []python.Package) []string {
	var out []string
	for _, p := range packages {
		line := p.Name + " " + p.Version
		if p.Dir != "" {
			line += " dir " + p.Dir
		}
		if p.Editable {
			line += " editable"
		}
		for _, a := range p.Files {
			if a.Ecosystem != artifact.PyPI {
				line += " " + string(a.Ecosystem)
			}
		}
		out = append(out, line)
	}
	return out
}

func TestReadPoetry(t *testing.T) {
	pyproject, lock := project(t, string(testdata(t, "poetry", "pyproject.toml"))), testdata(t, "poetry", "poetry.lock")
	env311 := python.Environment{Target: python.Target{Major: 3, Minor: 11, GlibcMinor: 36, Arch: "x86_64"}, Full: "3.11.2"}
	for name, c := range map[string]struct {
		want python.Wanted
		got  []string
	}{
		"main": {
			python.Wanted{Environment: trixieEnv, Groups: []string{"main"}},
			[]string{"alpha 1.4", "beta 0.9.1", "beta-fast 0.9.1", "shop-core 0.3 dir packages/core editable"},
		},
		"an older interpreter": {
			python.Wanted{Environment: env311, Groups: []string{"main"}},
			[]string{"alpha 1.4", "beta 0.9.1", "beta-fast 0.9.1", "delta-old 1.0", "shop-core 0.3 dir packages/core editable"},
		},
		"an extra and the project": {
			python.Wanted{Environment: trixieEnv, Groups: []string{"main"}, Extras: []string{"ldap"}, Project: true},
			[]string{"alpha 1.4", "beta 0.9.1", "beta-fast 0.9.1", "ldapish 2.2", "shop 2.1.0 dir . editable", "shop-core 0.3 dir packages/core editable"},
		},
		"groups with markers of their own": {
			python.Wanted{Environment: trixieEnv, Groups: []string{"dev", "metrics"}},
			[]string{"beta 0.9.1", "gamma 1.2", "linter 5.0", "prom 1.5"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := python.ReadPoetry(lock, pyproject, c.want)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.got, summary(got)); diff != "" {
				t.Errorf("selected (-want +got):\n%s", diff)
			}
		})
	}
}

// edit replaces old, which must be there, by new.
func edit(t *testing.T, text []byte, old, new string) []byte {
	t.Helper()
	if !strings.Contains(string(text), old) {
		t.Fatalf("%q is not in the text", old)
	}
	return []byte(strings.Replace(string(text), old, new, 1))
}

func TestReadPoetryErrors(t *testing.T) {
	pyproject, lock := testdata(t, "poetry", "pyproject.toml"), testdata(t, "poetry", "poetry.lock")
	main := python.Wanted{Environment: trixieEnv, Groups: []string{"main"}}
	for name, c := range map[string]struct {
		old, new string
		want     python.Wanted
		says     string
	}{
		"another version":       {`lock-version = "2.1"`, `lock-version = "3.0"`, main, "version 3.0"},
		"no version":            {`lock-version = "2.1"`, ``, main, "version none"},
		"no TOML":               {`[metadata]`, `[metadata`, main, "line "},
		"stale":                 {`content-hash = "1`, `content-hash = "2`, main, "does not fit its project"},
		"a file elsewhere":      {`"alpha-1.4.tar.gz"`, `"../alpha-1.4.tar.gz"`, main, "is not a file name"},
		"a short hash":          {`"alpha-1.4.tar.gz", hash = "sha256:`, `"alpha-1.4.tar.gz", hash = "sha256:00`, main, "alpha-1.4.tar.gz"},
		"an unknown hash":       {`"alpha-1.4.tar.gz", hash = "sha256:`, `"alpha-1.4.tar.gz", hash = "crc32:`, main, "crc32"},
		"a floating git source": {`type = "directory"`, `type = "git"`, main, "names no commit"},
		"an unknown source":     {`type = "directory"`, `type = "hg"`, main, `"hg"`},
		"an absolute folder":    {`url = "packages/core"`, `url = "/etc"`, main, "not relative"},
		"two versions":          {`name = "beta-fast"`, `name = "alpha"`, main, "selected twice"},
		"a marker that is not":  {`markers = "implementation_name`, `markers = "implementation`, main, "implementation"},
		"no groups":             {`groups = ["main"]`, `groups = []`, main, "in no group"},
		"an unknown group":      {`x`, `x`, python.Wanted{Environment: trixieEnv, Groups: []string{"moon"}}, `no group "moon"`},
		"an unknown extra":      {`x`, `x`, python.Wanted{Environment: trixieEnv, Groups: []string{"main"}, Extras: []string{"moon"}}, `no extra "moon"`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := python.ReadPoetry(edit(t, lock, c.old, c.new), project(t, string(pyproject)), c.want)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want an error that says %q", err, c.says)
			}
		})
	}
	t.Run("a changed pyproject.toml", func(t *testing.T) {
		_, err := python.ReadPoetry(lock, project(t, string(edit(t, pyproject, "alpha (>=1,<2)", "alpha (>=1,<3)"))), main)
		var stale *python.StaleError
		if !errors.As(err, &stale) {
			t.Errorf("got %v, want a StaleError", err)
		}
	})
	t.Run("an interpreter that the project does not want", func(t *testing.T) {
		old := python.Environment{Target: python.Target{Major: 3, Minor: 10, GlibcMinor: 36, Arch: "x86_64"}, Full: "3.10.4"}
		_, err := python.ReadPoetry(lock, project(t, string(pyproject)), python.Wanted{Environment: old, Groups: []string{"main"}})
		if err == nil || !strings.Contains(err.Error(), "wants Python >=3.11,<4, the root has 3.10.4") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a change that Poetry passes over", func(t *testing.T) {
		if _, err := python.ReadPoetry(lock, project(t, string(edit(t, pyproject, "2.1.0", "2.1.1"))), main); err != nil {
			t.Error(err)
		}
	})
}

// What Poetry 1.8.5 and 1.2.2 themselves install of these locks (`poetry install --dry-run --no-root`), on each of these interpreters. The
// versions of delta and theta are chosen by what depends on them, and by the interpreter.
func TestReadPoetryOfPoetry1(t *testing.T) {
	pyproject := testdata(t, "poetry1", "pyproject.toml")
	env := func(minor int, full string) python.Environment {
		return python.Environment{Target: python.Target{Major: 3, Minor: minor, GlibcMinor: 36, Arch: "x86_64"}, Full: full}
	}
	for _, version := range []string{"2.0", "1.1"} {
		lock := testdata(t, "poetry1", "poetry-"+version+".lock")
		for name, c := range map[string]struct {
			want python.Wanted
			got  []string
		}{
			"main": {
				python.Wanted{Environment: env(11, "3.11.7"), Groups: []string{"main"}},
				[]string{
					"alpha 1.4", "beta 0.9.1", "core 0.3 dir packages/core editable", "delta 1.9", "epsilon 1.0", "fastish 1.5", "oldish 3.2", "theta 2.0", "zeta 0.1",
				},
			},
			"an older interpreter": {
				python.Wanted{Environment: env(9, "3.9.18"), Groups: []string{"main"}},
				[]string{
					"alpha 1.4", "beta 0.9.1", "core 0.3 dir packages/core editable", "delta 1.9", "epsilon 1.0", "fastish 1.5", "oldish 3.2", "theta 1.0", "zeta 0.1",
				},
			},
			"an extra and the project on a newer one": {
				python.Wanted{Environment: env(12, "3.12.1"), Groups: []string{"main"}, Extras: []string{"ldap"}, Project: true},
				[]string{
					"alpha 1.4", "beta 0.9.1", "core 0.3 dir packages/core editable", "delta 2.1", "fastish 1.5", "ldapish 2.2", "oldish 3.2",
					"shop 2.1.0 dir . editable", "theta 2.0", "zeta 0.1",
				},
			},
			"a group": {python.Wanted{Environment: env(12, "3.12.1"), Groups: []string{"dev"}}, []string{"linter 5.0"}},
		} {
			t.Run(version+" "+name, func(t *testing.T) {
				got, err := python.ReadPoetry(lock, project(t, string(pyproject)), c.want)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(c.got, summary(got)); diff != "" {
					t.Errorf("selected (-want +got):\n%s", diff)
				}
				for _, p := range got {
					for _, f := range p.Files {
						if !strings.Contains(f.File, p.Version) {
							t.Errorf("%s %s has the file %s", p.Name, p.Version, f.File)
						}
					}
				}
			})
		}
	}
}

func TestReadPoetryOfPoetry1Errors(t *testing.T) {
	pyproject := testdata(t, "poetry1", "pyproject.toml")
	main := python.Wanted{Environment: python.Environment{Target: python.Target{Major: 3, Minor: 11, GlibcMinor: 36, Arch: "x86_64"}, Full: "3.11.7"}, Groups: []string{"main"}}
	old := main
	old.Full = "3.8.2"
	for name, c := range map[string]struct {
		file, old, new string
		want           python.Wanted
		says           string
	}{
		"stale":                        {"2.0", `content-hash = "`, `content-hash = "0`, main, "does not fit its project"},
		"an interpreter of no project": {"2.0", `x`, `x`, old, "wants Python ^3.9, the root has 3.8.2"},
		"none for the interpreter":     {"2.0", `python-versions = ">=3.8"`, `python-versions = ">=3.13"`, main, "depends on alpha, which the lock has in no version for Python 3.11.7"},
		"not in the lock":              {"2.0", `name = "fastish"`, `name = "fastish2"`, main, "package Beta 0.9.1 depends on fastish, which is not in the lock"},
		"two that disagree":            {"2.0", `delta = ">=1"`, `delta = ">=2"`, main, "none of the 2 versions"},
		"twice the same":               {"2.0", `version = "2.1"`, `version = "1.9"`, main, "version 1.9 from several sources"},
		"a dependency that is no text": {"2.0", `delta = ">=1"`, `delta = 1`, main, "dependency delta: is neither versions nor a table"},
		"versions that are none":       {"2.0", `delta = ">=1"`, `delta = ">=x"`, main, "dependency delta"},
		"a marker that is none":        {"2.0", `python_version < \"3.9\"`, `python < \"3.9\"`, main, "dependency typing"},
		"no hash":                      {"1.1", `delta-1.9-py3-none-any.whl`, `delta-1.8-py3-none-any.whl`, main, "lists no files"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := python.ReadPoetry(edit(t, testdata(t, "poetry1", "poetry-"+c.file+".lock"), c.old, c.new), project(t, string(pyproject)), c.want)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want an error that says %q", err, c.says)
			}
		})
	}
}

// TestPoetryContentHash holds what Poetry 2.5 itself hashes, for a project that has all in [tool.poetry].
func TestPoetryContentHash(t *testing.T) {
	legacy := `[tool.poetry]
name = "old"
version = "0.1"
[tool.poetry.dependencies]
python = "^3.11"
alpha = { version = "1.5", extras = ["x"], optional = true }
beta = 2
gamma = [{version="<2", python="<3.12"},{version=">=2", python=">=3.12"}]
[tool.poetry.extras]
a = ["alpha"]
`
	lock := `[metadata]
lock-version = "2.1"
content-hash = "fbbf51fe58e4d83320f5327bf86042b1cc672f6b16b2cd573a9793ed93e610e0"
`
	want := python.Wanted{Environment: trixieEnv, Groups: []string{"main"}}
	if _, err := python.ReadPoetry([]byte(lock), project(t, legacy), want); err != nil {
		t.Error(err)
	}
}

func TestReadUV(t *testing.T) {
	lock := testdata(t, "uv", "uv.lock")
	main := []string{
		"alpha 1.4", "beta 0.9.1+local.1", "beta-fast 0.9.1", "delta 2.0", "epsilon 1", "fork 3 url",
		"shop-core  dir packages/core editable", "shop-plain 0.1 dir packages/plain",
	}
	for name, c := range map[string]struct {
		want python.Wanted
		got  []string
	}{
		"main": {python.Wanted{Environment: trixieEnv, Groups: []string{"main"}, Project: true}, main},
		"an extra and a group": {
			python.Wanted{Environment: trixieEnv, Groups: []string{"main", "dev"}, Extras: []string{"ldap"}},
			slices.Sorted(slices.Values(append([]string{"ldapish 2.2", "linter 5.0"}, main...))),
		},
		"a group alone": {python.Wanted{Environment: trixieEnv, Groups: []string{"dev"}}, []string{"linter 5.0"}},
		"another member": {
			python.Wanted{Environment: trixieEnv, Groups: []string{"main", "dev"}, Packages: []string{"shop-tools"}, Project: true},
			[]string{"alpha 1.4", "delta 2.0", "linter 5.0", "shop-tools 0.2 dir packages/tools editable"},
		},
		"another member, not itself": {
			python.Wanted{Environment: trixieEnv, Groups: []string{"main"}, Packages: []string{"shop-tools"}},
			[]string{"linter 5.0"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := python.ReadUV(lock, c.want)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.got, summary(got)); diff != "" {
				t.Errorf("selected (-want +got):\n%s", diff)
			}
		})
	}
	got, err := python.ReadUV(lock, python.Wanted{Environment: trixieEnv, Groups: []string{"main"}})
	if err != nil {
		t.Fatal(err)
	}
	var hints []string
	for _, p := range got {
		for _, a := range p.Files {
			hints = append(hints, a.File+" "+a.Hint)
		}
	}
	for _, want := range []string{
		"beta-0.9.1+local.1-cp313-cp313-manylinux_2_17_x86_64.whl https://files.invalid/packages/ab/beta-0.9.1%2Blocal.1-cp313-cp313-manylinux_2_17_x86_64.whl",
		"fork-3.tar.gz https://releases.invalid/fork-3.tar.gz",
	} {
		if !slices.Contains(hints, want) {
			t.Errorf("%q is not among %q", want, hints)
		}
	}
}

func TestReadUVErrors(t *testing.T) {
	lock := testdata(t, "uv", "uv.lock")
	main := python.Wanted{Environment: trixieEnv, Groups: []string{"main"}, Project: true}
	for name, c := range map[string]struct {
		old, new string
		want     python.Wanted
		says     string
	}{
		"another version":       {"version = 1\n", "version = 2\n", main, "version 2"},
		"no version":            {"version = 1\n", "", main, "version none"},
		"another interpreter":   {`requires-python = ">=3.11, <4"`, `requires-python = ">=3.14"`, main, "wants Python >=3.14"},
		"a floating git source": {`source = { url = "https://releases.invalid/fork-3.tar.gz" }`, `source = { git = "https://forge.invalid/fork?rev=1" }`, main, "names no commit"},
		"an archive beside":     {`source = { url = "https://releases.invalid/fork-3.tar.gz" }`, `source = { path = "fork-3.tar.gz" }`, main, "archive beside"},
		"no such dependency":    {`{ name = "epsilon" }`, `{ name = "zeta" }`, main, "depends on zeta"},
		"no hash":               {`sdist = { hash = "sha256:`, `sdist = { hush = "sha256:`, main, "has no hash"},
		"not a web address":     {`https://files.invalid/packages/ab/alpha`, `file:///packages/ab/alpha`, main, "not that of a file on a web server"},
		"credentials":           {`https://files.invalid/packages/ab/alpha`, `https://me:secret@files.invalid/packages/ab/alpha`, main, "credentials"},
		"a member elsewhere":    {`editable = "packages/core"`, `editable = "/packages/core"`, main, "not relative"},
		"an unknown member":     {`x`, `x`, python.Wanted{Environment: trixieEnv, Groups: []string{"main"}, Packages: []string{"alpha"}}, `no member "alpha"`},
		"an unknown extra":      {`x`, `x`, python.Wanted{Environment: trixieEnv, Groups: []string{"main"}, Extras: []string{"moon"}}, `no extra "moon"`},
		"an unknown group":      {`x`, `x`, python.Wanted{Environment: trixieEnv, Groups: []string{"moon"}}, `no group "moon"`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := python.ReadUV(edit(t, lock, c.old, c.new), c.want)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want an error that says %q", err, c.says)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("the error tells the password: %v", err)
			}
		})
	}
}

func TestPoetryNoBinary(t *testing.T) {
	for text, want := range map[string]struct {
		all   bool
		names []string
	}{
		`[installer]` + "\n" + `no-binary = ["LXML", "a.b"]`: {names: []string{"lxml", "a-b"}},
		`[installer]` + "\n" + `no-binary = "lxml,cffi"`:     {names: []string{"lxml", "cffi"}},
		`[installer]` + "\n" + `no-binary = ":all:"`:         {all: true},
		`[installer]` + "\n" + `no-binary = true`:            {all: true},
		`[virtualenvs]`: {},
	} {
		all, names, err := python.PoetryNoBinary([]byte(text))
		if err != nil || all != want.all || !slices.Equal(names, want.names) {
			t.Errorf("%q: %v %q, %v", text, all, names, err)
		}
	}
	if _, _, err := python.PoetryNoBinary([]byte("[installer]\nno-binary = 3")); err == nil {
		t.Error("a number was taken")
	}
}

func FuzzReadUV(f *testing.F) {
	f.Add(testdata(f, "uv", "uv.lock"))
	f.Fuzz(func(t *testing.T, data []byte) {
		packages, err := python.ReadUV(data, python.Wanted{Environment: trixieEnv, Groups: []string{"main"}})
		if err == nil {
			checkPackages(t, packages)
		}
	})
}

func FuzzReadPoetry(f *testing.F) {
	f.Add(testdata(f, "poetry", "poetry.lock"), testdata(f, "poetry", "pyproject.toml"))
	for _, version := range []string{"2.0", "1.1"} {
		f.Add(testdata(f, "poetry1", "poetry-"+version+".lock"), testdata(f, "poetry1", "pyproject.toml"))
	}
	f.Fuzz(func(t *testing.T, data, pyproject []byte) {
		p, err := python.ParseProject(pyproject)
		if err != nil {
			return
		}
		packages, err := python.ReadPoetry(data, p, python.Wanted{Environment: trixieEnv, Groups: []string{"main"}, Project: true})
		if err == nil {
			checkPackages(t, packages)
		}
	})
}

// checkPackages holds what must be true of whatever a lock file says.
func checkPackages(t *testing.T, packages []python.Package) {
	for i, p := range packages {
		if i > 0 && packages[i-1].Name >= p.Name {
			t.Errorf("%s comes after %s", p.Name, packages[i-1].Name)
		}
		if n := len(slices.DeleteFunc([]bool{p.Dir != "", p.Git != "", len(p.Files) > 0}, func(b bool) bool { return !b })); n != 1 {
			t.Errorf("%s has folder %q, repository %q and %d files", p.Name, p.Dir, p.Git, len(p.Files))
		}
		if filepath.IsAbs(p.Dir) {
			t.Errorf("%s is in %q", p.Name, p.Dir)
		}
		for _, a := range p.Files {
			if a.Hash.IsZero() || a.File != filepath.Base(a.File) {
				t.Errorf("%s has the file %q with hash %q", p.Name, a.File, a.Hash)
			}
		}
	}
}
