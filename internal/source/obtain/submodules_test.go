package obtain_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/source/obtain"
)

// forge is a folder of repositories.
type forge struct {
	t   *testing.T
	dir string
}

func (f forge) git(repo string, args ...string) string {
	f.t.Helper()
	at := filepath.Join(f.dir, repo)
	if err := os.MkdirAll(at, 0o755); err != nil {
		f.t.Fatal(err)
	}
	options := []string{"-C", at, "-c", "user.name=n", "-c", "user.email=e@example.invalid", "-c", "protocol.file.allow=always"}
	out, err := exec.CommandContext(f.t.Context(), "git", append(options, args...)...).CombinedOutput()
	if err != nil {
		f.t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// commit makes a repository of a file, or adds to it.
func (f forge) commit(repo, name, text string) {
	f.t.Helper()
	f.git(repo, "init", "--quiet", "--initial-branch=main")
	if err := os.WriteFile(filepath.Join(f.dir, repo, name), []byte(text), 0o644); err != nil {
		f.t.Fatal(err)
	}
	f.git(repo, "add", ".")
	f.git(repo, "commit", "--quiet", "-m", name)
}

// newForge has a service with a theme in it, which has icons in it.
func newForge(t *testing.T) forge {
	f := forge{t, t.TempDir()}
	f.commit("icons", "icon.svg", "<svg/>")
	f.commit("theme", "theme.css", "body {}")
	f.git("theme", "submodule", "--quiet", "add", "../icons", "icons")
	f.commit("theme", "more.css", "p {}")
	f.commit("service", "main.txt", "service")
	f.git("service", "submodule", "--quiet", "add", "../theme", "web/theme")
	f.commit("service", "more.txt", "service")
	f.commit("theme", "later.css", "not pinned yet")
	return f
}

func TestSubmodules(t *testing.T) {
	t.Parallel()
	want := []string{".gitmodules", "main.txt", "more.txt", "web/theme/.gitmodules", "web/theme/icons/icon.svg", "web/theme/more.css", "web/theme/theme.css"}
	f := newForge(t)
	service := filepath.Join(f.dir, "service")
	for name, src := range map[string]string{"a URL": "file://" + service + "@main", "a folder": service + "@main"} {
		found, err := obtain.Find(t.Context(), src, obtain.Options{Cache: t.TempDir()})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(want, list(t, found.Dir)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	// What the clone has of a submodule is taken from there.
	if err := os.RemoveAll(filepath.Join(f.dir, "theme")); err != nil {
		t.Fatal(err)
	}
	if _, err := obtain.Find(t.Context(), service+"@main", obtain.Options{Cache: t.TempDir()}); err != nil {
		t.Errorf("a clone whose submodule's repository is gone: %v", err)
	}
	_, err := obtain.Find(t.Context(), "file://"+service+"@main", obtain.Options{Cache: t.TempDir()})
	if bad := new(obtain.GitError); !errors.As(err, &bad) || !strings.Contains(err.Error(), "submodule web/theme") {
		t.Errorf("a submodule that is gone: %v", err)
	}
}

// A commit's tree tells where it is from; what the clone of it was told to sign in with is nobody's business.
func TestWhereACommitIsFrom(t *testing.T) {
	t.Parallel()
	f := forge{t, t.TempDir()}
	f.commit("service", "main.txt", "service")
	id := f.git("service", "rev-parse", "HEAD")
	service := filepath.Join(f.dir, "service")
	for _, c := range []struct{ remote, src, url, revision string }{
		{"", service, "", ""},
		{"", service + "@main", "", id},
		{"", "file://" + service + "@main", "", id},
		{"https://ann:word@forge.example/service.git", service + "@main", "https://forge.example/service.git", id},
	} {
		if c.remote != "" {
			f.git("service", "remote", "add", "origin", c.remote)
		}
		found, err := obtain.Find(t.Context(), c.src, obtain.Options{Cache: t.TempDir()})
		if err != nil || found.URL != c.url || found.Revision != c.revision {
			t.Errorf("%s (%s): from %q, %q, %v", c.src, c.remote, found.URL, found.Revision, err)
		}
	}
}

// What no git would take, and what leads elsewhere.
func TestHostileSubmodules(t *testing.T) {
	t.Parallel()
	f := newForge(t)
	head := f.git("icons", "rev-parse", "HEAD")
	for name, c := range map[string]struct{ modules, want string }{
		"an option":         {"[submodule \"x\"]\n\tpath = x\n\turl = --upload-pack=false\n", "is no address"},
		"above the forge":   {"[submodule \"x\"]\n\tpath = x\n\turl = " + strings.Repeat("../", 40) + "x\n", "leads out of"},
		"another transport": {"[submodule \"x\"]\n\tpath = x\n\turl = ext::false\n", "submodule x"},
		"no settings":       {"[submodule \n", ".gitmodules"},
		"a name that leads": {"[submodule \"../../../icons/.git\"]\n\tpath = x\n\turl = ../nothing\n", "submodule x"},
	} {
		repo := strings.ReplaceAll(name, " ", "-")
		f.commit(repo, ".gitmodules", c.modules)
		f.git(repo, "update-index", "--add", "--cacheinfo", "160000,"+head+",x")
		f.git(repo, "commit", "--quiet", "-m", "a submodule")
		_, err := obtain.Find(t.Context(), "file://"+filepath.Join(f.dir, repo)+"@main", obtain.Options{Cache: t.TempDir()})
		if bad := new(obtain.GitError); !errors.As(err, &bad) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error that says %q", name, err, c.want)
		}
	}
	// One of which nothing says where it is stays empty.
	f.commit("bare", "main.txt", "x")
	f.git("bare", "update-index", "--add", "--cacheinfo", "160000,"+head+",x")
	f.git("bare", "commit", "--quiet", "-m", "a submodule")
	found, err := obtain.Find(t.Context(), "file://"+filepath.Join(f.dir, "bare")+"@main", obtain.Options{Cache: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"main.txt"}, list(t, found.Dir)); diff != "" {
		t.Error(diff)
	}
}

func TestSubmodulesFromElsewhere(t *testing.T) {
	f := newForge(t)
	f.commit("local", ".gitmodules", "[submodule \"x\"]\n\tpath = x\n\turl = "+filepath.Join(f.dir, "icons")+"\n")
	f.git("local", "update-index", "--add", "--cacheinfo", "160000,"+f.git("icons", "rev-parse", "HEAD")+",x")
	f.git("local", "commit", "--quiet", "-m", "a submodule")
	settings := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(settings, []byte("[url \"file://"+f.dir+"/\"]\n\tinsteadOf = https://forge.invalid/\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GIT_CONFIG_GLOBAL", settings)
	if _, err := obtain.Find(t.Context(), "https://forge.invalid/service@main", obtain.Options{Cache: t.TempDir()}); err != nil {
		t.Errorf("relative addresses: %v", err)
	}
	_, err := obtain.Find(t.Context(), "https://forge.invalid/local@main", obtain.Options{Cache: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), "is a folder of this machine") {
		t.Errorf("a folder of this machine: %v", err)
	}
}
