package python_test

import (
	"testing"

	"headwater/internal/ecosystem/python"
)

var trixie = python.Target{Major: 3, Minor: 13, GlibcMinor: 41, Arch: "x86_64"}

func TestChoose(t *testing.T) {
	for name, c := range map[string]struct {
		files  []string
		source bool
		want   string
		sdist  bool
		fails  bool
	}{
		"pure wheel":                  {files: []string{"a-1.0-py3-none-any.whl", "a-1.0.tar.gz"}, want: "a-1.0-py3-none-any.whl"},
		"two majors in one tag":       {files: []string{"a-1.0-py2.py3-none-any.whl"}, want: "a-1.0-py2.py3-none-any.whl"},
		"own ABI before stable":       {files: []string{"a-1.0-cp39-abi3-manylinux_2_28_x86_64.whl", "a-1.0-cp313-cp313-manylinux_2_28_x86_64.whl"}, want: "a-1.0-cp313-cp313-manylinux_2_28_x86_64.whl"},
		"newer stable ABI":            {files: []string{"a-1.0-cp37-abi3-manylinux_2_28_x86_64.whl", "a-1.0-cp311-abi3-manylinux_2_28_x86_64.whl"}, want: "a-1.0-cp311-abi3-manylinux_2_28_x86_64.whl"},
		"compressed platforms":        {files: []string{"a-1.0-cp313-cp313-manylinux2014_x86_64.manylinux_2_17_x86_64.whl"}, want: "a-1.0-cp313-cp313-manylinux2014_x86_64.manylinux_2_17_x86_64.whl"},
		"compiled before pure":        {files: []string{"a-1.0-py3-none-any.whl", "a-1.0-cp313-cp313-manylinux_2_17_x86_64.whl"}, want: "a-1.0-cp313-cp313-manylinux_2_17_x86_64.whl"},
		"glibc too new":               {files: []string{"a-1.0-cp313-cp313-manylinux_2_99_x86_64.whl", "a-1.0.tar.gz"}, want: "a-1.0.tar.gz", sdist: true},
		"musl, other arch, other ABI": {files: []string{"a-1.0-cp313-cp313-musllinux_1_2_x86_64.whl", "a-1.0-cp313-cp313-manylinux_2_17_aarch64.whl", "a-1.0-cp313-cp313t-manylinux_2_17_x86_64.whl", "a-1.0-cp312-cp312-manylinux_2_17_x86_64.whl", "a-1.0.tar.gz"}, want: "a-1.0.tar.gz", sdist: true},
		"a newer Python's stable ABI": {files: []string{"a-1.0-cp314-abi3-manylinux_2_17_x86_64.whl"}, fails: true},
		"compiling is forced":         {files: []string{"a-1.0-py3-none-any.whl", "a-1.0.zip", "a-1.0.tar.gz"}, source: true, want: "a-1.0.tar.gz", sdist: true},
		"forced without sdist":        {files: []string{"a-1.0-py3-none-any.whl"}, source: true, fails: true},
		"nothing of use":              {files: []string{"a-1.0.exe", "a-1.0-py3.13.egg"}, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			got, sdist, err := trixie.Choose(c.files, c.source)
			if (err != nil) != c.fails || got != c.want || sdist != c.sdist {
				t.Errorf("got %q, sdist %v, %v; want %q, sdist %v, failure %v", got, sdist, err, c.want, c.sdist, c.fails)
			}
		})
	}
}

func FuzzParseWheel(f *testing.F) {
	f.Add("a-1.0-1b-py2.py3-none-any.whl")
	f.Fuzz(func(t *testing.T, name string) {
		if w, err := python.ParseWheel(name); err == nil {
			trixie.Rank(w)
		}
	})
}
