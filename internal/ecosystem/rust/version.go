package rust

import (
	"cmp"
	"fmt"
	"io/fs"
	"regexp"
	"strconv"
	"strings"

	"headwater/internal/lock"
)

var rustPattern = regexp.MustCompile(`^[0-9]+\.[0-9]+(\.[0-9]+)?`)

// numbered is the version that a channel's name begins with, "" for "stable" and the like.
func numbered(channel string) string { return rustPattern.FindString(channel) }

// compareRust compares versions such as "1.85" and "1.85.1"; what is missing is zero, and "" is before all.
func compareRust(a, b string) int {
	x, y := strings.Split(numbered(a), "."), strings.Split(numbered(b), ".")
	for i := range 3 {
		if c := cmp.Compare(number(x, i), number(y, i)); c != 0 {
			return c
		}
	}
	return 0
}

func number(parts []string, i int) int {
	if i >= len(parts) {
		return 0
	}
	n, _ := strconv.Atoi(parts[i]) // of digits alone, see rustPattern; what is too large compares as large
	return n
}

// checkRoot tells what the root lacks, as far as its packages tell.
func checkRoot(root lock.Root, w *workspace, fsys fs.FS, o options) error {
	wanted, file, err := w.wanted(fsys)
	if err != nil {
		return err
	}
	if len(root.Paths) > 0 {
		return nil // what is in its paths, building tells
	}
	have := map[string]string{}
	for _, p := range root.Packages {
		have[p.Name] = p.Version
	}
	need := []string{"cargo", "rustc"}
	if o.Target == wasm {
		need = append(need, "libstd-rust-dev-wasm32")
	}
	for _, name := range need {
		if _, ok := have[name]; !ok {
			return fmt.Errorf("the root has no package %s, which building Rust components needs: add it to the root's packages", name)
		}
	}
	if v := have["rustc"]; wanted != "" && compareRust(wanted, v) > 0 {
		return fmt.Errorf("%s asks for Rust %s, the root's rustc is %s: take the root's packages from a later suite, such as forky", file, wanted, numbered(v))
	}
	return nil
}
