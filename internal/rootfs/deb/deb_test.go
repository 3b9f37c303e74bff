package deb_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/rootfs/deb"
	"headwater/internal/rootfs/debtest"
)

// read reads a whole package: its entries, and the files' content by path.
func read(data []byte, limits deb.Limits) ([]deb.Entry, map[string]string, error) {
	r, err := deb.NewReader(bytes.NewReader(data), limits)
	if err != nil {
		return nil, nil, err
	}
	defer r.Close()
	var entries []deb.Entry
	files := map[string]string{}
	for {
		e, err := r.Next()
		if errors.Is(err, io.EOF) {
			return entries, files, nil
		}
		if err != nil {
			return nil, nil, err
		}
		if e.Kind == deb.File {
			content, err := io.ReadAll(r)
			if err != nil {
				return nil, nil, err
			}
			files[e.Path] = string(content)
		}
		entries = append(entries, e)
	}
}

func TestRead(t *testing.T) {
	for _, compression := range []string{"", "gz", "xz", "zst"} {
		t.Run("compressed by "+compression, func(t *testing.T) {
			long := "./usr/share/" + strings.Repeat("long/", 40) + "name"
			data := debtest.Package{
				Compression: compression,
				Scripts:     map[string]string{"postinst": "#!/bin/sh\n"},
				Entries: []tar.Header{
					debtest.Folder("./"), debtest.Folder("./usr/"), debtest.Program("./usr/bin/a"), debtest.File("usr/b"),
					debtest.Link("./usr/c", "../etc/c"), debtest.HardLink("./usr/d", "./usr/b"), debtest.File(long),
				},
				Content: map[string]string{"./usr/bin/a": "hello"},
			}.Bytes(t)
			entries, files, err := read(data, deb.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			want := []deb.Entry{
				{Kind: deb.Folder, Executable: true},
				{Kind: deb.Folder, Path: "usr", Executable: true},
				{Kind: deb.File, Path: "usr/bin/a", Executable: true, Size: 5},
				{Kind: deb.File, Path: "usr/b", Size: 5},
				{Kind: deb.Link, Path: "usr/c", Target: "../etc/c", Executable: true},
				{Kind: deb.HardLink, Path: "usr/d", Target: "usr/b"},
				{Kind: deb.File, Path: strings.TrimPrefix(long, "./"), Size: int64(len(long))},
			}
			if d := cmp.Diff(want, entries); d != "" {
				t.Error(d)
			}
			if files["usr/bin/a"] != "hello" {
				t.Errorf("files: %q", files)
			}
			r, err := deb.NewReader(bytes.NewReader(data), deb.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if got := string(r.Control["postinst"]); got != "#!/bin/sh\n" {
				t.Errorf("postinst: %q", got)
			}
		})
	}
}

func TestHostileEntries(t *testing.T) {
	for _, tt := range []struct {
		name  string
		entry tar.Header
		err   string
	}{
		{"up", debtest.File("./../etc/passwd"), `".."`},
		{"up in the middle", debtest.File("./usr/../../etc/passwd"), `".."`},
		{"up at the end", debtest.Folder("./usr/.."), `".."`},
		{"absolute", debtest.File("/etc/passwd"), "absolute"},
		{"absolute folder", debtest.Folder("/"), "absolute"},
		{"file for the top", debtest.File("."), "replaces the top"},
		{"link for the top", debtest.Link("./", "/etc"), "replaces the top"},
		{"hard link up", debtest.HardLink("./usr/a", "../../etc/shadow"), `".."`},
		{"absolute hard link", debtest.HardLink("./usr/a", "/etc/shadow"), "absolute"},
		{"hard link to the top", debtest.HardLink("./usr/a", "./"), "to the top"},
		{"link to nothing", debtest.Link("./usr/a", ""), "empty"},
		{"long name", debtest.File("./usr/" + strings.Repeat("x", 256)), "255 bytes"},
		{"long path", debtest.File(strings.Repeat("x/", 2100) + "x"), "4096 bytes"},
		{"character device", tar.Header{Typeflag: tar.TypeChar, Name: "./dev/null", Devmajor: 1, Devminor: 3}, "device"},
		{"block device", tar.Header{Typeflag: tar.TypeBlock, Name: "./dev/sda", Devmajor: 8}, "device"},
		{"pipe", tar.Header{Typeflag: tar.TypeFifo, Name: "./run/pipe"}, "pipe"},
		{"unknown type", tar.Header{Typeflag: tar.TypeCont, Name: "./x", Format: tar.FormatUSTAR}, "type"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := read(debtest.Package{Entries: []tar.Header{debtest.Folder("./usr/"), tt.entry}}.Bytes(t), deb.Limits{})
			if err == nil || !strings.Contains(err.Error(), tt.err) || !strings.Contains(err.Error(), "entry ") {
				t.Errorf("got %v, want an error with %q that names the entry", err, tt.err)
			}
		})
	}
}

func TestHostilePackages(t *testing.T) {
	format := debtest.Member{Name: "debian-binary", Data: []byte("2.0\n")}
	control := debtest.Member{Name: "control.tar", Data: debtest.Tar(t, []tar.Header{debtest.File("control")}, nil)}
	data := debtest.Member{Name: "data.tar", Data: debtest.Tar(t, []tar.Header{debtest.File("a")}, nil)}
	xz := debtest.Member{Name: "data.tar.xz", Data: debtest.Compress(t, "xz", data.Data)}
	broken := debtest.Member{Name: "data.tar.xz", Data: bytes.Clone(xz.Data)}
	broken.Data[len(broken.Data)/2] ^= 0x55
	whole := debtest.Ar(format, control, xz)
	for _, tt := range []struct {
		name string
		data []byte
		err  string
	}{
		{"empty", nil, "no ar archive"},
		{"no archive", []byte("PK\x03\x04 and so on"), "no ar archive"},
		{"nothing in it", debtest.Ar(), "ends before"},
		{"another first member", debtest.Ar(control, format, data), "first member"},
		{"another format", debtest.Ar(debtest.Member{Name: "debian-binary", Data: []byte("3.0\n")}, control, data), "format"},
		{"no control", debtest.Ar(format, data), "control.tar"},
		{"no data", debtest.Ar(format, control), "ends before data.tar"},
		{"data twice", debtest.Ar(format, control, control), "data.tar"},
		{"unknown compression", debtest.Ar(format, control, debtest.Member{Name: "data.tar.rar", Data: data.Data}), "compression"},
		{"lies about compression", debtest.Ar(format, control, debtest.Member{Name: "data.tar.xz", Data: data.Data}), "data.tar.xz"},
		{"broken stream", debtest.Ar(format, control, broken), "xz"},
		{"cut off", whole[:len(whole)-20], ""},
		{"cut off at an entry", debtest.Ar(format, control, data)[:200+1024+1024], ""},
		{"control file twice", debtest.Ar(format, debtest.Member{Name: "control.tar", Data: debtest.Tar(t, []tar.Header{debtest.File("control"), debtest.File("./control")}, nil)}, data), "twice"},
		{"malformed member", append(debtest.Ar(format), bytes.Repeat([]byte("x"), 60)...), "malformed"},
		{"negative size", append(debtest.Ar(format), []byte("control.tar     0           0     0     100644  -1        `\n")...), "malformed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if e, _, err := read(tt.data, deb.Limits{}); err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("got %v, error %v; want an error with %q", e, err, tt.err)
			}
		})
	}
	// What is meant for others is passed over.
	if _, _, err := read(debtest.Ar(format, debtest.Member{Name: "_gpgbuilder", Data: []byte("x")}, control, data), deb.Limits{}); err != nil {
		t.Error(err)
	}
}

func TestLimits(t *testing.T) {
	zeros := strings.Repeat("\x00", 1<<20)
	for _, compression := range []string{"gz", "xz", "zst"} {
		data := debtest.Package{
			Compression: compression, Entries: []tar.Header{debtest.File("a"), debtest.File("b")}, Content: map[string]string{"a": zeros, "b": zeros},
		}.Bytes(t)
		for _, tt := range []struct {
			name   string
			limits deb.Limits
			err    string
		}{
			{"enough", deb.Limits{Data: 3 << 20, Entries: 2}, ""},
			{"bytes", deb.Limits{Data: 1<<20 + 4096}, "larger"},
			{"entries", deb.Limits{Entries: 1}, "entries"},
			{"control", deb.Limits{Control: 100}, "larger"},
		} {
			_, _, err := read(data, tt.limits)
			if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
				t.Errorf("%s, %s: got %v, want %q", compression, tt.name, err, tt.err)
			}
		}
	}
}

func FuzzReader(f *testing.F) {
	for _, compression := range []string{"", "gz", "xz", "zst"} {
		f.Add(debtest.Package{Compression: compression, Entries: []tar.Header{debtest.Folder("./"), debtest.Link("./a", "b")}}.Bytes(f))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, _, err := read(data, deb.Limits{Control: 1 << 20, Data: 1 << 20, Entries: 100})
		if err != nil {
			return
		}
		for _, e := range entries {
			for part := range strings.SplitSeq(e.Path, "/") {
				if part == ".." || part == "." || part == "" && e.Path != "" {
					t.Errorf("path %q", e.Path)
				}
			}
			if e.Kind == deb.Link && e.Target == "" {
				t.Errorf("link %q to nothing", e.Path)
			}
		}
	})
}
