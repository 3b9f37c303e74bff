package python_test

import (
	"regexp"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/ecosystem/python"
	"headwater/internal/plan"
)

func TestSystemPackages(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ build, run []string }{
		"psycopg-c":    {[]string{"gcc", "libc6-dev", "libpq-dev"}, []string{"libpq5"}},
		"Psycopg2":     {[]string{"gcc", "libc6-dev", "libpq-dev"}, []string{"libpq5"}},
		"lxml":         {[]string{"gcc", "libc6-dev", "libxml2-dev", "libxslt1-dev", "zlib1g-dev"}, []string{"libxml2", "libxslt1.1", "zlib1g"}},
		"cryptography": {[]string{"cargo", "gcc", "libc6-dev", "libffi-dev", "libssl-dev", "pkgconf"}, []string{"libssl3t64"}},
		"PyICU":        {[]string{"g++", "gcc", "libc6-dev", "libicu-dev", "pkgconf"}, []string{"libicu76"}},
		"uwsgi":        {[]string{"gcc", "libc6-dev", "libcrypt-dev"}, []string{"libcrypt1"}},
		"not-known":    {[]string{"gcc", "libc6-dev"}, nil},
	} {
		build, run := python.SystemPackages([]string{name, name})
		if diff := cmp.Diff(c.build, build); diff != "" {
			t.Errorf("%s: to build (-want +got):\n%s", name, diff)
		}
		if diff := cmp.Diff(c.run, run); diff != "" {
			t.Errorf("%s: to run (-want +got):\n%s", name, diff)
		}
	}
	if build, run := python.SystemPackages(nil); len(build)+len(run) > 0 {
		t.Errorf("no sdist needs %q and %q", build, run)
	}
}

var debianName = regexp.MustCompile(`^[a-z0-9][a-z0-9.+-]+$`)

// Whatever commands an image runs, a plan comes out, the same each time, and names only what can be the name of a package.
func FuzzPlan(f *testing.F) {
	for _, text := range []string{
		"uv sync --frozen --no-dev --group a --extra b", "pip install -r requirements.txt -e . --no-binary :all:", "poetry install --only main", "poetry run python x.py",
		"uv run --no-sync python manage.py collectstatic", "python -m pip wheel -w /w . && pip install /w/*", "uv export -o r.txt && pip install --target /t -r r.txt",
		". /v/bin/activate; pip install 'a[b]==1' ./x[y]", "pip install --prefix= --python", "uv pip sync requirements.txt", "uv --directory / sync -p",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		make := func() *plan.Plan {
			files := fstest.MapFS{
				"Dockerfile": {Data: []byte("FROM python:3.13\nWORKDIR /srv\nCOPY . .\nRUN <<EOS\n" + text + "\nEOS\nCMD [\"python\"]\n")}, "requirements.txt": {Data: []byte("a\n")},
				"pyproject.toml": {Data: []byte(uvProject)}, "uv.lock": {Data: []byte(uvShopLock)}, "x/pyproject.toml": {Data: []byte("[project]\nname = \"x\"\n")},
			}
			p, err := plan.New(plan.NewTree(files, []string{"Dockerfile", "pyproject.toml", "requirements.txt", "uv.lock", "x/pyproject.toml"}), plan.Options{Recognisers: []plan.Recogniser{python.Recogniser{}}})
			if err != nil {
				t.Skip(err) // the text is no shell, or calls too much
			}
			return p
		}
		first, second := make(), make()
		if diff := cmp.Diff(first.Recipe, second.Recipe); diff != "" {
			t.Errorf("two plans differ:\n%s", diff)
		}
		if first.Recipe == nil {
			return
		}
		for _, r := range first.Recipe.Roots {
			if i := slices.IndexFunc(r.Packages, func(p string) bool { return !debianName.MatchString(p) }); i >= 0 {
				t.Errorf("a root has the package %q", r.Packages[i])
			}
		}
	})
}
