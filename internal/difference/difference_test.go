package difference_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"headwater/internal/difference"
)

var (
	made  = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	again = made.Add(50 * time.Hour)

	conditions = difference.Conditions{
		Made: made, Again: again, Host: []string{"localhost"}, User: []string{"build", "1000"}, Kernel: "6.12.5-amd64", Cores: []int{9, 8},
	}
)

// tree writes files; "-> x" is a link, a name that ends in "*" an executable, one in "/" a folder.
func tree(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		at := filepath.Join(dir, strings.TrimRight(name, "*/"))
		err := os.MkdirAll(filepath.Dir(at), 0o755)
		mode := os.FileMode(0o644)
		if strings.HasSuffix(name, "*") {
			mode = 0o755
		}
		if err == nil {
			target, link := strings.CutPrefix(content, "-> ")
			switch {
			case link:
				err = os.Symlink(target, at)
			case strings.HasSuffix(name, "/"):
				err = os.Mkdir(at, 0o755)
			default:
				err = os.WriteFile(at, []byte(content), mode)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func compare(t testing.TB, a, b map[string]string) difference.Result {
	t.Helper()
	r, err := difference.Trees(t.Context(), tree(t, a), tree(t, b), conditions)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// one compares a single file.
func one(t testing.TB, a, b string) difference.File {
	t.Helper()
	r := compare(t, map[string]string{"f": a}, map[string]string{"f": b})
	if len(r.Different) == 0 {
		t.Fatalf("no difference is found: %+v", r)
	}
	return r.Different[0]
}

func bytesOf(order binary.AppendByteOrder, at time.Time) string {
	return string(order.AppendUint32(nil, uint32(at.Unix())))
}

// The cause is read out of what differs.
func TestCauses(t *testing.T) {
	bin := "\x7fELF\x00\x01\x02\x03" + strings.Repeat("\x00\x01", 40)
	for _, c := range []struct {
		name, a, b string
		want       difference.Cause
	}{
		{"a date", "built 2026-03-04T05:06:07Z\n", "built 2026-03-06T07:06:07Z\n", difference.Time},
		{"a date as mail has it", "Date: Wed, 04 Mar 2026 05:06:07 +0000", "Date: Fri, 06 Mar 2026 07:06:07 +0000", difference.Time},
		{"a date as date prints it", "Wed Mar  4 05:06:07 UTC 2026", "Fri Mar  6 07:06:07 UTC 2026", difference.Time},
		{"a date as the C compiler has it", bin + "Mar  4 2026\x00" + bin, bin + "Mar  6 2026\x00" + bin, difference.Time},
		{"a time of day", "at 05:06:07.", "at 07:06:09.", difference.Time},
		{"a compact date", "version 20260304050607", "version 20260306070607", difference.Time},
		{"seconds since 1970", fmt.Sprintf(`{"t":%d}`, made.Unix()), fmt.Sprintf(`{"t":%d}`, again.Unix()), difference.Time},
		{"milliseconds since 1970", fmt.Sprintf(`{"t":%d}`, made.UnixMilli()), fmt.Sprintf(`{"t":%d}`, again.UnixMilli()), difference.Time},
		{"a large number that is no time", `{"t":5234567890}`, `{"t":5234567999}`, difference.Number},
		{"how long it took", "done in 31.2 s", "done in 29.9 s", difference.Time},
		{"four bytes", bin + bytesOf(binary.LittleEndian, made) + bin, bin + bytesOf(binary.LittleEndian, again) + bin, difference.Time},
		{"four bytes, the other end first", bin + bytesOf(binary.BigEndian, made) + bin, bin + bytesOf(binary.BigEndian, again) + bin, difference.Time},
		{"a folder", "#line 1 \"/build/source-1/x.c\"", "#line 1 \"/build/source-2/x.c\"", difference.BuildPath},
		{"a temporary folder", "from /tmp/tmp.Ab3dEfGh1k/x", "from /tmp/tmp.Zy9xWvUt2s/x", difference.BuildPath},
		{"a temporary file", "sourcefile tmpa8f3k2l1.py", "sourcefile tmpq0z9y8x7.py", difference.BuildPath},
		{"a home folder in a program", bin + "/home/ann/src/x.go\x00" + bin, bin + "/home/bob/src/x.go\x00" + bin, difference.BuildPath},
		{"lines", "one\ntwo\nthree\nfour\n", "one\nthree\ntwo\nfour\n", difference.Order},
		{"keys", `{"alpha": 1, "beta": 2, "gamma": 3}`, `{"gamma": 3, "alpha": 1, "beta": 2}`, difference.Order},
		{"bytes", bin + "\x01\x02\x03\x04\xff", bin + "\x03\x01\xff\x04\x02", difference.Order},
		{"a UUID", "id: 3f2504e0-4f89-41d3-9a0c-0305e82c3301", "id: 9b2d04e0-1a89-4ff3-8a0c-77aae82c3302", difference.RandomID},
		{"sixteen bytes", bin + "\x3f\x25\x04\xe0\x4f\x89\x41\xd3\x9a\x0c\x03\x05\xe8\x2c\x33\x01" + bin, bin + "\x9b\x2d\xf4\x00\x1a\x80\x4f\xf3\x8a\x0d\x77\xaa\x18\x2d\x34\x02" + bin, difference.RandomID},
		{"hexadecimal digits", `nonce = "a3f09b81cc47d2e5"`, `nonce = "07be41d95f6c8a20"`, difference.RandomID},
		{"letters and digits", `key: Zk3jQ9xW2pLm8Rt5Yv1N`, `key: bH7sD4gF6aKo0Ce9Uq2X`, difference.RandomID},
		{"a host", "built on ci-runner-7.example", "built on localhost", difference.HostName},
		{"a user and a host", "root@ci-runner-7", "build@localhost", difference.HostName},
		{"a user", "built by jenkins", "built by build", difference.User},
		{"a kernel", "Linux 5.10.0-9-amd64", "Linux 6.12.5-amd64", difference.Kernel},
		{"processors", "workers: 4", "workers: 9", difference.Cores},
		{"a count", "objects: 4711", "objects: 4712", difference.Number},
		{"a number in two languages", "total 1,234.50", "total 1.234,50", difference.Locale},
		{"a sorted list in two languages", "Zebra\napple\nmouse\n", "apple\nmouse\nZebra\n", difference.Locale},
		{"an address", "<object at 0x7f3a5c2b1d90>", "<object at 0x7f91e0047d90>", difference.Address},
		{"a linker's build id", bin + "\x04\x00\x00\x00\x14\x00\x00\x00\x03\x00\x00\x00GNU\x00" + "\x81\x1c\xfe" + bin, bin + "\x04\x00\x00\x00\x14\x00\x00\x00\x03\x00\x00\x00GNU\x00" + "\x22\xee\x80" + bin, difference.Follows},
		{"words", "the colour is red", "the colour is blue", difference.Unknown},
		{"nothing and something", "", "x", difference.Unknown},
		{"the first line is gone", "a\nb\nc\nd\n", "b\nc\nd\n", difference.Unknown},
	} {
		f := one(t, c.a, c.b)
		if f.Cause != c.want || f.What != difference.Content || f.Why == "" || len(f.Spots) == 0 {
			t.Errorf("%s: %+v, want %s", c.name, f, c.want)
		}
	}
}

// Where it differs is told: the line and what of it, or the bytes.
func TestSpots(t *testing.T) {
	long := strings.Repeat("word ", 100)
	for _, c := range []struct {
		name, a, b string
		want       []difference.Spot
	}{
		{"a line", "a\nbuilt 05:06\nc\n", "a\nbuilt 07:06\nc\n", []difference.Spot{{Offset: 9, Line: 2, Here: "built 05:06", There: "built 07:06"}}},
		{"lines that are there only once", "a\nb\n", "a\nx\ny\nb\n", []difference.Spot{{Offset: 2, Line: 2, There: "x"}, {Offset: 2, Line: 2, There: "y"}}},
		{"a long line", long + "5 apples " + long, long + "6 apples " + long, []difference.Spot{{Offset: 500, Line: 1,
			Here: "…" + strings.Repeat("word ", 8) + "5 apples " + strings.Repeat("word ", 14) + "w…", There: "…" + strings.Repeat("word ", 8) + "6 apples " + strings.Repeat("word ", 14) + "w…"}}},
		{"what a terminal would obey", "\x1b[31mred", "\x1b[32mred", []difference.Spot{{Offset: 3, Line: 1, Here: ".[31mred", There: ".[32mred"}}},
		{"bytes", "0123456789abcdef\x00\x01two\xff", "0123456789abcdef\x00\x02two\xfe", []difference.Spot{
			{Offset: 17, Here: "00000010  00 01 74 77 6f ff                                |..two.|", There: "00000010  00 02 74 77 6f fe                                |..two.|"}}},
		{"an end", "\x00\x01", "\x00\x01" + strings.Repeat("\x00", 14) + "x", []difference.Spot{
			{Offset: 2, Here: "00000000  00 01                                            |..|", There: "00000000  00 01 00 00 00 00 00 00 00 00 00 00 00 00 00 00  |................|"}}},
	} {
		f := one(t, c.a, c.b)
		if diff := cmp.Diff(c.want, f.Spots); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}

// found is a difference in short.
type found struct {
	Path  string
	What  difference.What
	Cause difference.Cause
}

func short(r difference.Result) []found {
	var list []found
	for _, f := range r.Different {
		list = append(list, found{f.Path, f.What, f.Cause})
	}
	return list
}

func TestTrees(t *testing.T) {
	for _, c := range []struct {
		name string
		a, b map[string]string
		want []found
	}{
		{"the same", map[string]string{"a/b": "x", "l": "-> a", "e/": "", "x*": "x"}, map[string]string{"a/b": "x", "l": "-> a", "e/": "", "x*": "x"}, nil},
		{"a link", map[string]string{"l": "-> /build/one/x"}, map[string]string{"l": "-> /build/two/x"}, []found{{"l", difference.Link, difference.BuildPath}}},
		{"a file that is a folder", map[string]string{"x": "x"}, map[string]string{"x/": ""}, []found{{"x", difference.Kind, difference.Unknown}}},
		{"an executable", map[string]string{"x": "x"}, map[string]string{"x*": "x"}, []found{{"x", difference.Mode, difference.Unknown}}},
		{"only one has it", map[string]string{"a/x": "x", "b/y.js": "y", "c": "c"}, map[string]string{"a/y": "z", "b/z.css": "y", "d/e": "f"}, []found{
			{"a/x", difference.OnlyHere, difference.Unknown}, {"a/y", difference.OnlyThere, difference.Unknown},
			{"b/y.js", difference.OnlyHere, difference.Unknown}, {"b/z.css", difference.OnlyThere, difference.Unknown},
			{"c", difference.OnlyHere, difference.Unknown}, {"d", difference.OnlyThere, difference.Unknown},
		}},
		{"a temporary name", map[string]string{"tmpabcdefgh": "x"}, map[string]string{"tmpzyxwvuts": "x"}, []found{{"tmpabcdefgh", difference.Name, difference.BuildPath}}},
		{"names with a hash of the content", map[string]string{"main.3fa20b91cc.js": "at 05:06:07", "x": ""}, map[string]string{"main.90be41d95f.js": "at 07:06:07", "x": ""}, []found{
			{"main.3fa20b91cc.js", difference.Name, difference.Follows}, {"main.3fa20b91cc.js", difference.Content, difference.Time},
		}},
		{"names with a random part", map[string]string{"chunk-a3f09b81.js": "x", "y": ""}, map[string]string{"chunk-07be41d9.js": "x", "y": ""}, []found{
			{"chunk-a3f09b81.js", difference.Name, difference.RandomID},
		}},
	} {
		if diff := cmp.Diff(c.want, short(compare(t, c.a, c.b))); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}

// The tree itself may be a file.
func TestTreeThatIsAFile(t *testing.T) {
	a, b := tree(t, map[string]string{"f": "pid 41"}), tree(t, map[string]string{"f": "pid 47"})
	r, err := difference.Trees(t.Context(), a+"/f", b+"/f", conditions)
	if diff := cmp.Diff([]found{{"", difference.Content, difference.Number}}, short(r)); err != nil || diff != "" || r.Files != 1 {
		t.Errorf("%+v, %v: %s", r, err, diff)
	}
}

// Of very many differences the first are explained and all are counted.
func TestManyDifferences(t *testing.T) {
	a, b := map[string]string{}, map[string]string{}
	for i := range 100 {
		a[fmt.Sprintf("%03d", i)], b[fmt.Sprintf("%03d", i)] = "at 05:06:07", "at 07:06:07"
	}
	if r := compare(t, a, b); r.Files != 100 || r.Differ != 100 || len(r.Different) != difference.MaxFiles {
		t.Errorf("%d of %d differ, %d explained", r.Differ, r.Files, len(r.Different))
	}
}

// A file that is too large to be read as a whole is shown where it differs first.
func TestLargeFile(t *testing.T) {
	const at = 200 << 20
	var names [2]string
	for i, text := range []string{"made at 2026-03-04 05:06:07!", "made at 2026-03-06 07:06:07!"} {
		names[i] = filepath.Join(t.TempDir(), "f")
		f, err := os.Create(names[i])
		if err == nil {
			_, err = f.WriteAt([]byte(text), at) // a hole before
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	r, err := difference.Trees(t.Context(), names[0], names[1], conditions)
	if err != nil || len(r.Different) != 1 || r.Different[0].Cause != difference.Time || r.Different[0].Spots[0].Offset != at+17 {
		t.Errorf("%+v, %v", r, err)
	}
}

type zipped struct {
	name, text string
	at         time.Time
}

func zipOf(t testing.TB, list ...zipped) string {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, e := range list {
		w, err := z.CreateHeader(&zip.FileHeader{Name: e.name, Modified: e.at, Method: zip.Deflate})
		if err == nil {
			_, err = w.Write([]byte(e.text))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func tarOf(t testing.TB, list ...tar.Header) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range list {
		text := h.PAXRecords["text"]
		h.PAXRecords, h.Size = nil, int64(len(text))
		err := w.WriteHeader(&h)
		if err == nil {
			_, err = w.Write([]byte(text))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func gzipOf(t testing.TB, text string, level int, at time.Time) string {
	t.Helper()
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, level)
	if err == nil {
		w.ModTime = at
		_, err = w.Write([]byte(text))
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func zstdOf(t testing.TB, text string) string {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return string(w.EncodeAll([]byte(text), nil))
}

// Archives are looked into.
func TestArchives(t *testing.T) {
	file := func(name, text string, change ...func(*tar.Header)) tar.Header {
		h := tar.Header{Name: name, Mode: 0o644, ModTime: made, Typeflag: tar.TypeReg, PAXRecords: map[string]string{"text": text}}
		for _, c := range change {
			c(&h)
		}
		return h
	}
	later := func(h *tar.Header) { h.ModTime = again }
	owned := func(h *tar.Header) { h.Uid, h.Uname = 1000, "build" }
	entry := func(name, text string) zipped { return zipped{name, text, made} }
	for _, c := range []struct {
		name, a, b string
		want       []found
	}{
		{"the time of an entry", zipOf(t, entry("a", "x")), zipOf(t, zipped{"a", "x", again}), []found{{"f!a", difference.Header, difference.Time}}},
		{"the order of entries", zipOf(t, entry("b", "x"), entry("a", "y"), entry("c", "")), zipOf(t, entry("c", ""), entry("a", "y"), entry("b", "x")), []found{{"f", difference.Sequence, difference.Order}}},
		{"an entry", zipOf(t, entry("META-INF/M", "Build-Host: ci-7\n"), entry("b", "y")), zipOf(t, entry("META-INF/M", "Build-Host: localhost\n"), entry("b", "y")), []found{{"f!META-INF/M", difference.Content, difference.HostName}}},
		{"entries that only one has", zipOf(t, entry("a", "")), zipOf(t, entry("b", "")), []found{{"f!a", difference.OnlyHere, difference.Unknown}, {"f!b", difference.OnlyThere, difference.Unknown}}},
		{"an archive in an archive", zipOf(t, entry("x.jar", zipOf(t, entry("v", "id 3f2504e0-4f89-41d3-9a0c-0305e82c3301")))), zipOf(t, entry("x.jar", zipOf(t, entry("v", "id 9b2d04e0-1a89-4ff3-8a0c-77aae82c3302")))), []found{{"f!x.jar!v", difference.Content, difference.RandomID}}},
		{"a tar's time", tarOf(t, file("./a", "x")), tarOf(t, file("./a", "x", later)), []found{{"f!a", difference.Header, difference.Time}}},
		{"a tar's owner", tarOf(t, file("a", "x")), tarOf(t, file("a", "x", owned)), []found{{"f!a", difference.Header, difference.User}}},
		{"a compressed tar", gzipOf(t, tarOf(t, file("a", "cores 4")), 6, time.Time{}), gzipOf(t, tarOf(t, file("a", "cores 9")), 6, time.Time{}), []found{{"f!a", difference.Content, difference.Cores}}},
		{"a layer", zstdOf(t, tarOf(t, file("a", "x"), file("b", "at 05:06:07"))), zstdOf(t, tarOf(t, file("a", "x"), file("b", "at 07:06:07"))), []found{{"f!b", difference.Content, difference.Time}}},
		{"gzip's own time", gzipOf(t, "x", 6, made), gzipOf(t, "x", 6, again), []found{{"f", difference.Header, difference.Time}}},
		{"compressed text", gzipOf(t, "objects: 4711", 6, time.Time{}), gzipOf(t, "objects: 4712", 6, time.Time{}), []found{{"f!unpacked", difference.Content, difference.Number}}},
		{"another level", gzipOf(t, strings.Repeat("abc", 999), 1, time.Time{}), gzipOf(t, strings.Repeat("abc", 999), 9, time.Time{}), []found{{"f", difference.Content, difference.Unknown}}},
		{"what only begins as one", "\x1f\x8bnothing", "\x1f\x8banything", []found{{"f", difference.Content, difference.Unknown}}},
	} {
		r := compare(t, map[string]string{"f": c.a}, map[string]string{"f": c.b})
		if diff := cmp.Diff(c.want, short(r)); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}

// Whatever two files are, they are compared, and what is told of them can be shown.
func FuzzContents(f *testing.F) {
	f.Add([]byte("built 2026-03-04\n"), []byte("built 2026-03-06\n"))
	f.Add([]byte("\x00\x01"), []byte("\x00\x02\x03"))
	f.Add([]byte(gzipOf(f, "x", 1, made)), []byte(gzipOf(f, "y", 1, again)))
	f.Add([]byte(zipOf(f, zipped{"a", "b", made})), []byte(zipOf(f, zipped{"a", "c", made})))
	f.Add([]byte(tarOf(f, tar.Header{Name: "a", Typeflag: tar.TypeReg})), []byte(tarOf(f, tar.Header{Name: "b", Typeflag: tar.TypeReg})))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		if bytes.Equal(a, b) {
			return
		}
		r := compare(t, map[string]string{"f": string(a)}, map[string]string{"f": string(b)})
		if r.Differ != 1 || len(r.Different) == 0 {
			t.Fatalf("%+v", r)
		}
		for _, file := range r.Different {
			if file.Cause == "" || file.Why == "" || file.What == "" {
				t.Errorf("%+v", file)
			}
			for _, s := range file.Spots {
				if strings.ContainsFunc(s.Here+s.There, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
					t.Errorf("%+v", s)
				}
			}
		}
	})
}
