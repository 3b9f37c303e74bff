package index_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/rootfs/index"
)

func scan(text string) (list []string, err error) {
	err = index.ScanContents(strings.NewReader(text), func(path, packages []byte) {
		list = append(list, string(path)+"|"+string(packages))
	})
	return list, err
}

func TestScanContents(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       []string
	}{
		{"empty", "", nil},
		{"files", "usr/include/a.h       libdevel/liba-dev\nusr/bin/b\tutils/b,main/utils/c\n", []string{"usr/include/a.h|libdevel/liba-dev", "usr/bin/b|utils/b,main/utils/c"}},
		{"a path with spaces", "usr/share/a b/c  d  misc/e\n", []string{"usr/share/a b/c  d|misc/e"}},
		{"no line end", "a b/c", []string{"a|b/c"}},
		{"no packages", "a\n\n  b\n", nil},
	} {
		got, err := scan(tt.text)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
	if _, err := scan("a b/c\n" + strings.Repeat("x", 1<<20)); err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("a line of a megabyte: %v", err)
	}
}

func FuzzScanContents(f *testing.F) {
	f.Add("usr/include/a.h  libdevel/liba-dev\nusr/share/a b\tx/y,z/a\n")
	f.Fuzz(func(t *testing.T, text string) {
		text = strings.ReplaceAll(text, "|", "/") // which stands between a path and its packages here
		list, err := scan(text)
		if err == nil && len(list) > strings.Count(text, "\n")+1 {
			t.Errorf("%d files in %d lines", len(list), strings.Count(text, "\n")+1)
		}
		for _, l := range list {
			path, packages, _ := strings.Cut(l, "|")
			if path == "" || packages == "" || strings.ContainsAny(packages, " \t\n") {
				t.Errorf("made up %q", l)
			}
		}
	})
}
