package python_test

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/artifact"
	"headwater/internal/ecosystem/python"
	"headwater/internal/lock"
	"headwater/internal/nix"
	"headwater/internal/recipe"
)

const requirementsText = `# comment
-r base.txt
-c bounds.txt
--no-binary lxml
flask[async] >= 3 ; python_version > "3.8"  # why
gunicorn==23.0 \
    --hash=sha256:0000000000000000000000000000000000000000000000000000000000000001 \
    --hash=sha256:0000000000000000000000000000000000000000000000000000000000000002
-e ./packages/core[db]
./plain
git+https://forge.invalid/a/b@v1#egg=thing
thing2 @ https://files.invalid/thing2-1-py3-none-any.whl
`

func TestReadRequirements(t *testing.T) {
	t.Parallel()
	fsys := fstest.MapFS{
		"app/requirements.txt": {Data: []byte(requirementsText)}, "app/base.txt": {Data: []byte("-r requirements.txt\nbase\n")},
		"app/bounds.txt": {Data: []byte("x<2\n")},
	}
	f, err := python.ReadRequirements("app/requirements.txt", func(n string) ([]byte, error) { return fs.ReadFile(fsys, n) })
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, l := range f.Lines {
		got = append(got, fmt.Sprintf("%s:%d %s %s %s", l.File, l.Line, l.Name, l.Path, l))
	}
	const hash = "sha256:000000000000000000000000000000000000000000000000000000000000000"
	want := []string{
		"app/base.txt:2 base  base", `app/requirements.txt:5 flask  flask[async] >= 3 ; python_version > "3.8"`,
		"app/requirements.txt:6 gunicorn  gunicorn==23.0 --hash=" + hash + "1 --hash=" + hash + "2",
		"app/requirements.txt:9  app/packages/core -e ./app/packages/core[db]", "app/requirements.txt:10  app/plain ./app/plain",
		"app/requirements.txt:11 thing  thing @ git+https://forge.invalid/a/b@v1#egg=thing",
		"app/requirements.txt:12 thing2  thing2 @ https://files.invalid/thing2-1-py3-none-any.whl",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
	if len(f.Lines[2].Hashes) != 2 || len(f.Constraints) != 1 || cmp.Diff([]string{"lxml"}, f.NoBinary) != "" || len(f.Files) != 3 {
		t.Errorf("%+v", f)
	}
}

func TestReadRequirementsErrors(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"--frobnicate\n": "not known", "a==1 --hash=sha256:zz\n": "hash", "x\ny z\n": "r.txt:2", "-r none.txt\n": "none.txt", "https://x.invalid/a.zip\n": "without the package's name",
		"a @ https://x.invalid/${TOKEN}\n": "environment", "-e /etc\n": "relative",
	} {
		fsys := fstest.MapFS{"r.txt": {Data: []byte(text)}}
		_, err := python.ReadRequirements("r.txt", func(n string) ([]byte, error) { return fs.ReadFile(fsys, n) })
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want an error that says %q", text, err, want)
		}
	}
}

func FuzzReadRequirements(f *testing.F) {
	f.Add(requirementsText)
	f.Add("-r x\n-c x\n\\\n\\")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := python.ReadRequirements("x", func(string) ([]byte, error) { return []byte(text), nil })
		if err != nil {
			return
		}
		for _, l := range r.Lines {
			if l.Path == "" && l.Name == "" {
				t.Errorf("%q is a line without package and folder", l)
			}
		}
	})
}

func FuzzParseCrates(f *testing.F) {
	f.Add([]byte("[[package]]\nname = \"a\"\nversion = \"1.0\"\nsource = \"registry+x\"\nchecksum = \"" + strings.Repeat("0", 64) + "\"\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := python.ParseCrates(data)
		for _, a := range list {
			if err == nil && (strings.ContainsAny(a.File, "/\x00") || a.Hash.IsZero()) {
				t.Errorf("crate %+v", a)
			}
		}
	})
}

// A requirements file without hashes is resolved, and the lock says that the versions are not the upstream's; a second lock asks for
// nothing. One with hashes takes the files of these hashes.
func TestLockRequirements(t *testing.T) {
	s := newShop(t)
	delete(s.component.Options, "lock")
	s.component.Options["requirements"] = []any{"requirements.txt"}
	s.component.Options["install"] = []any{"-e ./packages/core"}
	s.write("backend/requirements.txt", "alpha>=1\npacker<3\n")
	first, err := s.lock(t, lock.Component{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"alpha-1.4-py3-none-any.whl chosen", "packer-2.0-py3-none-any.whl chosen", "plug-1.1-py3-none-any.whl chosen"}, roles(first)); diff != "" {
		t.Errorf("artifacts (-want +got):\n%s", diff)
	}
	if !strings.Contains(string(first.Data), `"editable":true`) {
		t.Errorf("the folder is no member: %s", first.Data)
	}
	second, err := s.lock(t, first)
	if err != nil || len(s.shelf.asked) != 0 {
		t.Errorf("%v: a lock of what is known asks for %q", err, s.shelf.asked)
	}
	if diff := cmp.Diff(string(first.Data), string(second.Data)); diff != "" {
		t.Errorf("a second lock differs (-first +second):\n%s", diff)
	}

	delete(s.component.Options, "install")
	sum := strings.SplitN(shopHash(s, "alpha-1.4-py3-none-any.whl"), ":", 2)[1]
	s.write("backend/requirements.txt", "alpha==1.4 --hash=sha256:"+sum+"\n")
	pinned, err := s.lock(t, lock.Component{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"alpha-1.4-py3-none-any.whl"}, roles(pinned)); diff != "" {
		t.Errorf("artifacts (-want +got):\n%s", diff)
	}
	for text, want := range map[string]string{
		"alpha==1.4 --hash=sha256:" + strings.Repeat("0", 64) + "\nplug==1.1 --hash=sha256:" + strings.Repeat("0", 64): "requirements.txt:2: plug==1.1",
		"alpha==1.4 --hash=sha256:" + sum + "\nplug==1.1\n":                                                            "has no hash",
		"alpha==1.4\nthing @ git+https://forge.invalid/x@1\n":                                                          "git repositories",
	} {
		s.write("backend/requirements.txt", text)
		if _, err := s.lock(t, lock.Component{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want an error that says %q", text, err, want)
		}
	}
}

func shopHash(s *shop, file string) string { return s.shelf.put("unused", file, s.shelf.files[file]) }

// What comes from a git repository is built of the commit's tree, unless the recipe says what stands in.
func TestLockReplaced(t *testing.T) {
	s := newShop(t)
	original := string(s.files["backend/uv.lock"].Data)
	s.edit(t, "backend/uv.lock", `source = { registry = "https://index.invalid/simple" }
wheels = [{ url = "https://files.invalid/alpha`, `source = { git = "https://forge.invalid/alpha?rev=1#1234" }
wheels = [{ url = "https://files.invalid/alpha`)
	hash := s.shelf.put("unused", "alpha-1.4.tar", sdist(t, "alpha", "1.4", "pyproject.toml", pyproject("alpha", "1.4", `"packer"`, "")))
	c, err := s.lock(t, lock.Component{})
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(c.Artifacts, func(a lock.Artifact) bool { return a.Ecosystem == artifact.Git })
	if i < 0 || c.Artifacts[i].Name != "alpha" || c.Artifacts[i].Hint != "https://forge.invalid/alpha#1234" || "sha256:"+c.Artifacts[i].Hash.Base16() != hash || c.Artifacts[i].Role != "" {
		t.Errorf("locked %+v", c.Artifacts)
	}
	s.shelf.asked = nil
	if _, err := s.lock(t, c); err != nil || slices.Contains(s.shelf.asked, "alpha-1.4.tar") {
		t.Errorf("a second lock asked for %q: %v", s.shelf.asked, err)
	}
	s.shelf.put("unused", "alpha-1.5-py3-none-any.whl", wheel(t, "alpha", "1.5", nil, "alpha.py", ""))
	s.write("packages/alpha/pyproject.toml", pyproject("alpha", "1.6", `"packer"`, ""))
	for name, c := range map[string]struct {
		key  string
		by   recipe.Replacement
		text string // the upstream's lock
		want string
	}{
		"a version for git": {"pypi:Alpha@1.4", recipe.Replacement{Version: "1.4"}, "", "alpha 1.4: version 1.4 (alpha-1.4-py3-none-any.whl SUM) instead of version 1.4 from https://forge.invalid/alpha?rev=1#1234"},
		"the same file":     {"pypi:alpha@1.4", recipe.Replacement{URL: "https://mirror.invalid/alpha-1.4-py3-none-any.whl"}, original, "alpha 1.4: url https://mirror.invalid/alpha-1.4-py3-none-any.whl, the same bytes (alpha-1.4-py3-none-any.whl)"},
		"another file":      {"pypi:alpha", recipe.Replacement{File: "gone/alpha-1.5-py3-none-any.whl"}, original, "alpha 1.4: file gone/alpha-1.5-py3-none-any.whl (alpha-1.5-py3-none-any.whl SUM) instead of version 1.4"},
		"a folder":          {"pypi:alpha@1.4", recipe.Replacement{Source: "packages/alpha"}, original, "alpha: source packages/alpha instead of version 1.4"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.text != "" {
				was := s.files["backend/uv.lock"]
				s.write("backend/uv.lock", c.text)
				defer func() { s.files["backend/uv.lock"] = was }()
			}
			s.recipe.Replace = map[string]recipe.Replacement{c.key: c.by}
			first, err := s.lock(t, lock.Component{})
			if err != nil {
				t.Fatal(err)
			}
			again, err := s.lock(t, first)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(first, again, cmp.Comparer(func(a, b nix.Hash) bool { return a == b })); diff != "" {
				t.Errorf("locked again: %s", diff)
			}
			got := (&lock.File{Components: map[string]lock.Component{"env": first}}).Replaced()
			if len(got) != 1 {
				t.Fatalf("the lock notes %q", got)
			}
			for _, a := range first.Artifacts {
				got[0] = strings.ReplaceAll(got[0], a.Hash.SRI(), "SUM")
			}
			if diff := cmp.Diff("pypi "+c.want, got[0]); diff != "" {
				t.Error(diff)
			}
			if _, _, err := s.derive(t, first); err != nil {
				t.Error(err)
			}
		})
	}
}

// A package in a folder of a repository is built there, with the rest of the repository beside it.
func TestLockFolderOfARepository(t *testing.T) {
	s := newShop(t)
	s.edit(t, "backend/uv.lock", `source = { registry = "https://index.invalid/simple" }
wheels = [{ url = "https://files.invalid/alpha`, `source = { git = "https://forge.invalid/mono?subdirectory=libs%2Falpha&rev=1#1234" }
wheels = [{ url = "https://files.invalid/alpha`)
	tree := func(folder string) []byte {
		return sdist(t, "mono", "0", "pyproject.toml", pyproject("mono", "0", `"absent"`, ""), folder+"/pyproject.toml", pyproject("alpha", "1.4", `"packer"`, ""))
	}
	s.shelf.put("unused", "alpha-1.4.tar", tree("libs/alpha"))
	c, err := s.lock(t, lock.Component{})
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(c.Artifacts, func(a lock.Artifact) bool { return a.Ecosystem == artifact.Git })
	if i < 0 || c.Artifacts[i].Hint != "https://forge.invalid/mono#1234" {
		t.Errorf("locked %+v", c.Artifacts)
	}
	if want := `"folder":"libs/alpha"`; !strings.Contains(strings.Join(strings.Fields(string(c.Data)), ""), want) {
		t.Errorf("the lock does not say %s:\n%s", want, c.Data)
	}
	again, err := s.lock(t, c)
	if diff := cmp.Diff(string(c.Data), string(again.Data)); diff != "" || err != nil {
		t.Errorf("locked again: %v %s", err, diff)
	}
	for name, c := range map[string]struct{ address, want string }{
		"no such folder": {"subdirectory=libs%2Fbeta", "it has no folder libs/beta"},
		"outside":        {"subdirectory=..%2F..", "is no folder of its git repository"},
	} {
		t.Run(name, func(t *testing.T) {
			was := s.files["backend/uv.lock"]
			defer func() { s.files["backend/uv.lock"] = was }()
			s.write("backend/uv.lock", strings.Replace(string(was.Data), "subdirectory=libs%2Falpha", c.address, 1))
			if _, err := s.lock(t, lock.Component{}); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error that says %q", err, c.want)
			}
		})
	}
}
