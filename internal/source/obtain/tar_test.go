package obtain_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/source/obtain"
)

// The same commit is the same file, whatever the repository's settings and attributes are and whichever commits are its tips.
func TestTar(t *testing.T) {
	t.Parallel()
	repo := filepath.Join(t.TempDir(), "thing.git")
	git := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "git", append([]string{"-C", repo, "-c", "user.name=n", "-c", "user.email=e@example.invalid"}, args...)...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	if err := os.MkdirAll(filepath.Join(repo, "b"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"b/x": "$Id$\n", "a": "a\r\n", ".gitattributes": "a export-ignore text\nb/x ident export-subst\n"} {
		if err := os.WriteFile(filepath.Join(repo, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Symlink("b/x", filepath.Join(repo, "link")), os.Chmod(filepath.Join(repo, "b/x"), 0o755)); err != nil {
		t.Fatal(err)
	}
	git("init", "--quiet", "--initial-branch=main")
	git("add", ".")
	git("commit", "--quiet", "-m", "one")
	commit := git("rev-parse", "HEAD")
	var first, second bytes.Buffer
	o := obtain.Options{Cache: t.TempDir()}
	if err := obtain.Tar(t.Context(), "file://"+repo, commit, o, &first); err != nil {
		t.Fatal(err)
	}
	git("rm", "--quiet", "a")
	git("commit", "--quiet", "-m", "two")
	if err := obtain.Tar(t.Context(), "file://"+repo, commit, obtain.Options{Cache: t.TempDir()}, &second); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("two files of one commit differ")
	}
	var got []string
	for r := tar.NewReader(&first); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, strings.Join([]string{h.Name, h.FileInfo().Mode().String(), h.Linkname, string(text)}, " "))
	}
	want := []string{
		"thing/.gitattributes -rw-r--r--  a export-ignore text\nb/x ident export-subst\n", "thing/a -rw-r--r--  a\n", "thing/b/x -rwxr-xr-x  $Id: ", "thing/link Lrwxrwxrwx b/x ",
	}
	for i := range got {
		got[i], _, _ = strings.Cut(got[i], "Id: ")
	}
	for i := range want {
		want[i], _, _ = strings.Cut(want[i], "Id: ")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	var bad *obtain.GitError
	for _, id := range []string{"main", strings.Repeat("0", 40), "--upload-pack=x"} {
		if err := obtain.Tar(t.Context(), "file://"+repo, id, o, io.Discard); !errors.As(err, &bad) {
			t.Errorf("%s: %v", id, err)
		}
	}
}
