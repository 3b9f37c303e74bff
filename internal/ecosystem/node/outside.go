package node

import (
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"headwater/internal/plan"
)

const (
	maxScanned = 20000   // files of a project that are looked at
	maxSource  = 1 << 20 // bytes of one
)

// outside lists the files and folders of a tree that a project's files name and that are not below the project's folder, sorted:
// relative imports, "extends" and "paths" of a tsconfig.json, "file:" dependencies. unknown are those that the tree does not have; a
// build may make them.
func outside(t *plan.Tree, folder string) (out, unknown []string) {
	names := regexp.MustCompile("[\"'`](?:file:|link:)?((?:\\./)?(?:\\.\\./)+[A-Za-z0-9_@.][^\"'`\\s*?${}]*)")
	arguments := regexp.MustCompile("[\"'`\\s=:]((?:\\./)?(?:\\.\\./)+[A-Za-z0-9_@.][^\"'`\\s*?${}\\\\;&|]*)")
	found, other := map[string]bool{}, map[string]bool{}
	for i, name := range t.Below(folder) {
		if i > maxScanned || !looks(name) || strings.Contains(name, "/"+modulesName+"/") {
			continue
		}
		if fi, err := fs.Stat(t.FS(), name); err != nil || fi.Size() > maxSource {
			continue
		}
		data, err := t.Read(name)
		if err != nil {
			continue
		}
		pattern := names
		if path.Base(name) == manifestName { // scripts name files as arguments
			pattern = arguments
		}
		for _, m := range pattern.FindAllSubmatchIndex(data, 1000) {
			if written.Match(data[max(0, m[2]-20):m[2]]) {
				continue
			}
			to := path.Join(path.Dir(name), string(data[m[2]:m[3]]))
			if to == "." || strings.HasPrefix(to, "..") || to == folder || strings.HasPrefix(to, folder+"/") || strings.HasPrefix(folder, to+"/") {
				continue
			}
			if at := resolve(t, to); at != "" {
				found[at] = true
			} else {
				other[to] = true
			}
		}
	}
	for name := range found {
		if !slices.ContainsFunc(keys(found), func(o string) bool { return o != name && strings.HasPrefix(name, o+"/") }) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out, slices.Sorted(maps.Keys(other))
}

func keys(m map[string]bool) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	return out
}

// written is what stands before a folder that a command writes to.
var written = regexp.MustCompile(`--(?:outDir|out-dir|outdir|output-path|dist-dir|output|out)[= ]\s*["']?$`)

// looks tells whether a file may import others.
func looks(name string) bool {
	return slices.Contains([]string{".js", ".cjs", ".mjs", ".jsx", ".ts", ".cts", ".mts", ".tsx", ".vue", ".svelte", ".astro", ".css", ".scss", ".less", ".json", ".mdx"}, path.Ext(name)) && path.Base(name) != npmLockName
}

// resolve is the file or folder that an import means.
func resolve(t *plan.Tree, to string) string {
	if t.Exists(to) {
		return to
	}
	for _, ext := range []string{".ts", ".tsx", ".js", ".mjs", ".jsx", ".json", ".vue", ".d.ts"} {
		if t.Has(to + ext) {
			return to + ext
		}
	}
	if base, ok := strings.CutSuffix(to, ".js"); ok && t.Has(base+".ts") {
		return base + ".ts"
	}
	return ""
}
