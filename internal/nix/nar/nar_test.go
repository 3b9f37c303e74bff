package nar_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/nix"
	"headwater/internal/nix/nar"
)

func readFile(tb testing.TB, name string) []byte {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

// object is an entry and its content.
type object struct {
	nar.Entry
	Content string
}

// list reads a whole archive.
func list(archive []byte) ([]object, error) {
	var out []object
	r := nar.NewReader(bytes.NewReader(archive))
	for {
		e, err := r.Next()
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		content, err := io.ReadAll(r)
		if err != nil {
			return out, err
		}
		out = append(out, object{e, string(content)})
	}
}

// sources makes what list gave a tree again.
func sources(objects []object) []nar.Source {
	var out []nar.Source
	for _, o := range objects {
		s := nar.Source{Path: o.Path, Type: o.Type, Executable: o.Executable, Target: o.Target, Size: o.Size}
		if o.Type == nar.File {
			s.Open = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(o.Content)), nil }
		}
		out = append(out, s)
	}
	return out
}

func dumpTree(tb testing.TB, sources []nar.Source) []byte {
	tb.Helper()
	var b bytes.Buffer
	if err := nar.DumpTree(tb.Context(), sources, &b); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// removable lets the test's own clean-up remove an unpacked tree.
func removable(tb testing.TB, dst string) {
	tb.Cleanup(func() {
		err := filepath.WalkDir(dst, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				err = os.Chmod(path, 0o700)
			}
			return err
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			tb.Error(err)
		}
	})
}

// odd is what testdata/vectors.sh made.
func odd() []object {
	file := func(path, content string) object {
		return object{nar.Entry{Path: path, Size: int64(len(content))}, content}
	}
	executable := func(path, content string) object {
		o := file(path, content)
		o.Executable = true
		return o
	}
	folder := func(path string) object { return object{Entry: nar.Entry{Path: path, Type: nar.Folder}} }
	link := func(path, target string) object {
		return object{Entry: nar.Entry{Path: path, Type: nar.Link, Target: target}}
	}
	named := func(name string) object { return file(name, name) }
	return []object{
		folder(""), named("\x01"), named("-a"), named("..."), named(".hidden"), folder("A"),
		folder("a"), file("a/Z", "2"), file("a/z", "1"), named("a b"), named("a-b"), named("a.b"), named("a0"),
		link("absolute", "/absolute/target"), link("dangling", "../nowhere"),
		folder("deep"), folder("deep/d"), folder("deep/d/e"), folder("deep/d/e/e"), folder("deep/d/e/e/p"), file("deep/d/e/e/p/eight", "12345678"),
		file("empty", ""), folder("empty-folder"), executable("empty-run", ""), file("group-run", "x"),
		named("line\nbreak"), link("long-link", strings.Repeat("l", 1000)), named(strings.Repeat("n", 255)), link("odd-link", "odd \xff\n"),
		executable("run", "#!/bin/sh\n"), named("~"), named("é"), named("\xff\xfe"),
	}
}

func TestReadsWhatNixWrote(t *testing.T) {
	for name, want := range map[string][]object{
		"odd.nar":    odd(),
		"empty.nar":  {{Entry: nar.Entry{}}},
		"run.nar":    {{nar.Entry{Executable: true, Size: 10}, "#!/bin/sh\n"}},
		"link.nar":   {{Entry: nar.Entry{Type: nar.Link, Target: "../nowhere"}}},
		"folder.nar": {{Entry: nar.Entry{Type: nar.Folder}}},
	} {
		t.Run(name, func(t *testing.T) {
			archive := readFile(t, name)
			got, err := list(archive)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if again := dumpTree(t, sources(got)); !bytes.Equal(again, archive) {
				t.Error("DumpTree writes another archive")
			}
			dst := filepath.Join(t.TempDir(), "dst")
			removable(t, dst)
			if err := nar.Unpack(t.Context(), bytes.NewReader(archive), dst); err != nil {
				t.Fatal(err)
			}
			var again bytes.Buffer
			if err := nar.Dump(&again, dst); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(again.Bytes(), archive) {
				t.Error("unpacked and dumped, it is another archive")
			}
		})
	}
}

// sizes makes the tree of testdata/sizes.hash.
func sizes(tb testing.TB) string {
	dir := filepath.Join(tb.TempDir(), "sizes")
	if err := os.Mkdir(dir, 0o755); err != nil {
		tb.Fatal(err)
	}
	all := []int{4095, 4096, 4097, 131071, 131072, 131073, 262143, 262144, 262145, 1048577}
	for n := range 41 {
		all = append(all, n)
	}
	for _, n := range all {
		name := fmt.Sprint(n)
		content := strings.Repeat(name+"\n", n/len(name+"\n")+1)[:n]
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			tb.Fatal(err)
		}
	}
	return dir
}

func TestHashMatchesNix(t *testing.T) {
	dir := sizes(t)
	want := strings.TrimSpace(string(readFile(t, "sizes.hash")))
	var first, second bytes.Buffer
	h, size, err := nar.Hash(t.Context(), dir, &first, &second)
	if err != nil || h.SRI() != want {
		t.Fatalf("hash is %s, %v; Nix says %s", h.SRI(), err, want)
	}
	if int(size) != first.Len() || nix.Sum(nix.SHA256, first.Bytes()) != h || !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Errorf("the other writers had %d and %d bytes of %d", first.Len(), second.Len(), size)
	}
	if h2, size2, err := nar.HashPath(dir); h2 != h || size2 != size || err != nil {
		t.Errorf("HashPath: %v, %d, %v", h2, size2, err)
	}
	dst := filepath.Join(t.TempDir(), "dst")
	removable(t, dst)
	sum := nix.SHA256.New()
	if err := nar.Unpack(t.Context(), iotest.HalfReader(&first), dst, sum, io.Discard); err != nil {
		t.Fatal(err)
	}
	if got, err := nix.NewHash(nix.SHA256, sum.Sum(nil)); got != h || err != nil {
		t.Errorf("Unpack passed on another stream: %v, %v", got, err)
	}
	if h2, _, err := nar.HashPath(dst); h2 != h || err != nil {
		t.Errorf("the unpacked tree has hash %v, %v", h2, err)
	}
}

func TestUnpackMetadata(t *testing.T) {
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	dst := filepath.Join(t.TempDir(), "dst")
	removable(t, dst)
	if err := nar.Unpack(t.Context(), bytes.NewReader(readFile(t, "odd.nar")), dst); err != nil {
		t.Fatal(err)
	}
	for _, o := range odd() {
		fi, err := os.Lstat(filepath.Join(dst, o.Path))
		if err != nil {
			t.Fatal(err)
		}
		want := fs.FileMode(0o444)
		switch {
		case o.Type == nar.Folder:
			want = fs.ModeDir | 0o555
		case o.Type == nar.Link:
			want = fs.ModeSymlink | 0o777
		case o.Executable:
			want = 0o555
		}
		if fi.Mode() != want || !fi.ModTime().Equal(time.Unix(1, 0)) {
			t.Errorf("%q: %v, %v; want %v, 1970-01-01 00:00:01", o.Path, fi.Mode(), fi.ModTime(), want)
		}
	}
}

// archive writes strings as an archive has them, ints as bare numbers, and bytes as they are.
func archive(tokens ...any) []byte {
	var b []byte
	for _, t := range tokens {
		switch t := t.(type) {
		case int:
			b = binary.LittleEndian.AppendUint64(b, uint64(t))
		case []byte:
			b = append(b, t...)
		case string:
			b = binary.LittleEndian.AppendUint64(b, uint64(len(t)))
			b = append(b, t...)
			b = append(b, make([]byte, -len(t)&7)...)
		}
	}
	return b
}

func words(s string) []any {
	var out []any
	for w := range strings.FieldsSeq(s) {
		switch w {
		case "''":
			w = ""
		case "NUL":
			w = "a\x00b"
		}
		out = append(out, w)
	}
	return out
}

const (
	top   = "nix-archive-1 ( type directory "
	empty = "( type regular contents '' ) "
)

func hostile() map[string]struct {
	archive []byte
	want    string
} {
	entry := func(name string) string { return "entry ( name " + name + " node " + empty + ") " }
	text := func(s string) []byte { return archive(words(s)...) }
	return map[string]struct {
		archive []byte
		want    string
	}{
		"empty":               {nil, "unexpected EOF"},
		"another magic":       {text("nix-archive-2 " + empty), `want "nix-archive-1", have "nix-archive-2"`},
		"a tar":               {make([]byte, 10240), `want "nix-archive-1", have ""`},
		"a gzip":              {append([]byte{0x1f, 0x8b, 8}, make([]byte, 100)...), "string of "},
		"unknown type":        {text("nix-archive-1 ( type fifo )"), `type "fifo" is unknown`},
		"no type":             {text("nix-archive-1 ( regular )"), `want "type"`},
		"no contents":         {text("nix-archive-1 ( type regular )"), `want executable or contents, have ")"`},
		"executable value":    {text("nix-archive-1 ( type regular executable yes contents '' )"), `want "", have "yes"`},
		"contents twice":      {text("nix-archive-1 ( type regular contents '' contents '' )"), `want ")", have "contents"`},
		"contents first":      {text("nix-archive-1 ( type regular contents '' executable '' )"), `want ")", have "executable"`},
		"bytes follow":        {append(text("nix-archive-1 "+empty), 0), "bytes follow its end at 112"},
		"second archive":      {text("nix-archive-1 " + empty + "nix-archive-1 " + empty), "bytes follow"},
		"name .":              {text(top + entry(".") + ")"), `entry name "." is reserved`},
		"name ..":             {text(top + entry("..") + ")"), `entry name ".." is reserved`},
		"empty name":          {text(top + entry("''") + ")"), `entry name "" is reserved`},
		"name with slash":     {text(top + entry("../x") + ")"), "holds a slash or NUL"},
		"absolute name":       {text(top + entry("/etc") + ")"), "holds a slash or NUL"},
		"name with NUL":       {text(top + entry("NUL") + ")"), "holds a slash or NUL"},
		"long name":           {text(top + entry(strings.Repeat("n", 256)) + ")"), "string of 256 bytes where at most 255"},
		"entry twice":         {text(top + entry("a") + entry("a") + ")"), `entry "a" comes after "a"`},
		"unsorted":            {text(top + entry("b") + entry("a") + ")"), `entry "a" comes after "b"`},
		"sorted by locale":    {text(top + entry("a") + entry("B") + ")"), `entry "B" comes after "a"`},
		"through a link":      {text(top + "entry ( name a node ( type symlink target /tmp ) ) entry ( name a node ( type directory " + entry("x") + ") ) )"), `entry "a" comes after "a"`},
		"node without entry":  {text(top + "node " + empty + ")"), `want entry or ), have "node"`},
		"entry without name":  {text(top + "entry ( node " + empty + ") )"), `want "name"`},
		"empty target":        {text("nix-archive-1 ( type symlink target '' )"), "link target is empty"},
		"target with NUL":     {text("nix-archive-1 ( type symlink target NUL )"), "holds NUL"},
		"long target":         {text("nix-archive-1 ( type symlink target " + strings.Repeat("t", 4096) + " )"), "string of 4096 bytes where at most 4095"},
		"huge string":         {archive("nix-archive-1", -1), "string of 18446744073709551615 bytes"},
		"huge file":           {archive("nix-archive-1", "(", "type", "regular", "contents", -1), "size 18446744073709551615 is impossible"},
		"big file, truncated": {archive("nix-archive-1", "(", "type", "regular", "contents", 1<<40, "x"), "unexpected EOF"},
		"padding":             {archive("nix-archive-1", "(", "type", "regular", "contents", 1, []byte("x\x00\x00\x00\x00\x00\x00\x01")), "padding is not zero"},
		"padding of a tag":    {append(binary.LittleEndian.AppendUint64(nil, 13), "nix-archive-1\x00\x00\x01"...), "padding is not zero"},
	}
}

func TestHostileArchives(t *testing.T) {
	for name, c := range hostile() {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			err := nar.Unpack(t.Context(), bytes.NewReader(c.archive), filepath.Join(dir, "dst"))
			if !errors.Is(err, nar.ErrFormat) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
			if left, err := os.ReadDir(dir); len(left) != 0 || err != nil {
				t.Errorf("left over: %v, %v", left, err)
			}
		})
	}
}

func TestNestingBomb(t *testing.T) {
	bomb := archive(words("nix-archive-1 " + strings.Repeat("( type directory entry ( name a node ", 3000))...)
	objects, err := list(bomb)
	if len(objects) != 2049 || !errors.Is(err, nar.ErrFormat) || !strings.Contains(err.Error(), "path is longer than 4095 bytes") {
		t.Errorf("%d objects, error %v", len(objects), err)
	}
	dir := t.TempDir()
	if err := nar.Unpack(t.Context(), bytes.NewReader(bomb), filepath.Join(dir, "dst")); err == nil || !strings.Contains(err.Error(), "longer than 4095 bytes") {
		t.Errorf("unpacked: %v", err)
	}
	if left, err := os.ReadDir(dir); len(left) != 0 || err != nil {
		t.Errorf("left over: %v, %v", left, err)
	}
}

// skim reads an archive without its contents.
func skim(archive []byte) error {
	r := nar.NewReader(bytes.NewReader(archive))
	for {
		if _, err := r.Next(); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

func TestTruncatedAnywhere(t *testing.T) {
	dst := filepath.Join(t.TempDir(), "dst")
	for _, name := range []string{"odd.nar", "empty.nar", "run.nar", "link.nar", "folder.nar"} {
		whole := readFile(t, name)
		for n := range whole {
			if n%8 == 0 {
				if err := nar.Unpack(t.Context(), bytes.NewReader(whole[:n]), dst); !errors.Is(err, nar.ErrFormat) {
					t.Fatalf("%d bytes of %s unpacked: %v", n, name, err)
				}
				if _, err := os.Lstat(dst); !errors.Is(err, fs.ErrNotExist) {
					t.Fatalf("%d bytes of %s left something: %v", n, name, err)
				}
			}
			objects, err := list(whole[:n])
			if !errors.Is(err, io.ErrUnexpectedEOF) || !errors.Is(err, nar.ErrFormat) {
				t.Fatalf("%d bytes of %s: %d objects, error %v", n, name, len(objects), err)
			}
			if err := skim(whole[:n]); !errors.Is(err, io.ErrUnexpectedEOF) || !errors.Is(err, nar.ErrFormat) {
				t.Fatalf("%d bytes of %s, contents skipped: error %v", n, name, err)
			}
		}
		if err := skim(whole); err != nil {
			t.Errorf("%s, contents skipped: %v", name, err)
		}
	}
}

func TestReaderLeavesWhatFollows(t *testing.T) {
	src := bytes.NewReader(append(readFile(t, "run.nar"), "what follows"...))
	r := nar.NewReader(src)
	if _, err := r.Next(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Next(); err != io.EOF || r.Offset() != 160 {
		t.Fatalf("%v at %d", err, r.Offset())
	}
	if _, err := r.Next(); err != io.EOF {
		t.Errorf("after the end: %v", err)
	}
}

func TestUnpackSparesWhatIsThere(t *testing.T) {
	for _, name := range []string{"empty.nar", "link.nar", "folder.nar", "odd.nar"} {
		dst := filepath.Join(t.TempDir(), "dst")
		if err := os.WriteFile(dst, []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := nar.Unpack(t.Context(), bytes.NewReader(readFile(t, name)), dst); !errors.Is(err, fs.ErrExist) {
			t.Errorf("%s: error %v", name, err)
		}
		if got, err := os.ReadFile(dst); string(got) != "mine" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestUnpackFailures(t *testing.T) {
	broken := errors.New("broken")
	odd := readFile(t, "odd.nar")
	cancelled, cancel := context.WithCancelCause(t.Context())
	cancel(broken)
	for name, c := range map[string]struct {
		ctx  context.Context
		r    io.Reader
		also io.Writer
	}{
		"reading":    {t.Context(), io.MultiReader(bytes.NewReader(odd[:len(odd)/2]), iotest.ErrReader(broken)), io.Discard},
		"at the end": {t.Context(), io.MultiReader(bytes.NewReader(odd), iotest.ErrReader(broken)), io.Discard},
		"writing":    {t.Context(), bytes.NewReader(odd), failing{broken}},
		"cancelled":  {cancelled, bytes.NewReader(odd), io.Discard},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := nar.Unpack(c.ctx, c.r, filepath.Join(dir, "dst"), c.also); !errors.Is(err, broken) || errors.Is(err, nar.ErrFormat) {
				t.Errorf("error %v", err)
			}
			if left, err := os.ReadDir(dir); len(left) != 0 || err != nil {
				t.Errorf("left over: %v, %v", left, err)
			}
		})
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestDumpFailures(t *testing.T) {
	broken := errors.New("broken")
	dir := sizes(t)
	if err := nar.DumpTo(t.Context(), dir); err != nil {
		t.Errorf("to nobody: %v", err)
	}
	if err := nar.DumpTo(t.Context(), dir, io.Discard, failing{broken}, io.Discard); !errors.Is(err, broken) {
		t.Errorf("writing: %v", err)
	}
	cancelled, cancel := context.WithCancelCause(t.Context())
	cancel(broken)
	if _, _, err := nar.Hash(cancelled, dir); !errors.Is(err, broken) {
		t.Errorf("cancelled: %v", err)
	}
	if err := nar.Dump(io.Discard, filepath.Join(dir, "lacking")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("lacking: %v", err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := nar.HashPath(dir); err == nil || !strings.Contains(err.Error(), "pipe: neither file, folder nor link") {
		t.Errorf("pipe: %v", err)
	}
}

func TestDumpTreeRejects(t *testing.T) {
	text := func(path, content string, size int64) nar.Source {
		return nar.Source{Path: path, Size: size, Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(content)), nil }}
	}
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		sources []nar.Source
		want    string
	}{
		"twice":          {[]nar.Source{text("a", "", 0), text("a", "", 0)}, `"a": twice there`},
		"below a file":   {[]nar.Source{text("a/b", "", 0), text("a", "", 0), text("a-b", "", 0)}, `"a/b": "a" is no folder`},
		"below a link":   {[]nar.Source{{Path: "a", Type: nar.Link, Target: "/"}, text("a/b/c", "", 0)}, `"a/b/c": "a" is no folder`},
		"below the top":  {[]nar.Source{text("", "", 0), text("b", "", 0)}, `"b": "" is no folder`},
		"absolute":       {[]nar.Source{text("/a", "", 0)}, `"/a": entry name "" is reserved`},
		"upwards":        {[]nar.Source{text("a/../b", "", 0)}, `entry name ".." is reserved`},
		"trailing slash": {[]nar.Source{text("a/", "", 0)}, `entry name "" is reserved`},
		"long":           {[]nar.Source{text(strings.Repeat("a/", 2048)+"b", "", 0)}, "longer than 4095"},
		"empty target":   {[]nar.Source{{Path: "a", Type: nar.Link}}, "link target is empty"},
		"type":           {[]nar.Source{{Path: "a", Type: 9}}, "unknown type Type(9)"},
		"no content":     {[]nar.Source{{Path: "a", Size: 1}}, "no content of 1 bytes"},
		"negative size":  {[]nar.Source{text("a", "", -1)}, "no content of -1 bytes"},
		"folder content": {[]nar.Source{{Path: "a", Type: nar.Folder, File: "/x"}}, "a folder has no content"},
		"shorter":        {[]nar.Source{text("a", "abc", 4)}, "a: is shorter than it said"},
		"longer":         {[]nar.Source{text("a", "abc", 2)}, "a: is longer than it said"},
		"big, shorter":   {[]nar.Source{text("a", strings.Repeat("x", 300_000), 300_001)}, "a: is shorter than it said"},
		"big, longer":    {[]nar.Source{text("a", strings.Repeat("x", 300_000), 299_999)}, "a: is longer than it said"},
		"open fails":     {[]nar.Source{{Path: "a", Size: 1, Open: func() (io.ReadCloser, error) { return nil, broken }}}, "a: broken"},
		"read fails":     {[]nar.Source{{Path: "a", Size: 1, Open: func() (io.ReadCloser, error) { return io.NopCloser(iotest.ErrReader(broken)), nil }}}, "a: broken"},
		"no such file":   {[]nar.Source{{Path: "a", File: "testdata/lacking"}}, "testdata/lacking: no such file"},
		"file is folder": {[]nar.Source{{Path: "a", File: "testdata"}}, "testdata: changed while it was read"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, _, err := nar.HashTree(t.Context(), c.sources); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

// A tree on disk and a selection of all its files, in any order and without its folders, are one archive.
func TestDumpTreeOfFiles(t *testing.T) {
	dir := sizes(t)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []nar.Source
	for _, e := range slices.Backward(entries) {
		all = append(all, nar.Source{Path: "x/" + e.Name(), File: filepath.Join(dir, e.Name())})
	}
	above := filepath.Join(t.TempDir(), "above")
	if err := os.Mkdir(above, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(dir, filepath.Join(above, "x")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(above, "x"), dir); err != nil {
		t.Fatal(err)
	}
	want, size, err := nar.HashPath(above)
	if err != nil {
		t.Fatal(err)
	}
	var passed bytes.Buffer
	got, n, err := nar.HashTree(t.Context(), all, &passed)
	if err != nil || got != want || n != size || int64(passed.Len()) != size {
		t.Errorf("%v, %d, %v; want %v, %d", got, n, err, want, size)
	}
}
