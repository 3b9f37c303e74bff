package node

import (
	"io/fs"
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
// relative imports, "extends" and "paths" of a tsconfig.json, "file:" dependencies.
func outside(t *plan.Tree, folder string) []string {
	names := regexp.MustCompile("[\"'`](?:file:|link:)?((?:\\./)?(?:\\.\\./)+[A-Za-z0-9_@.][^\"'`\\s*?${}]*)")
	found := map[string]bool{}
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
		for _, m := range names.FindAllSubmatch(data, 1000) {
			to := path.Join(path.Dir(name), string(m[1]))
			if to == "." || strings.HasPrefix(to, "..") || to == folder || strings.HasPrefix(to, folder+"/") || strings.HasPrefix(folder, to+"/") {
				continue
			}
			if at := resolve(t, to); at != "" {
				found[at] = true
			}
		}
	}
	var out []string
	for name := range found {
		if !slices.ContainsFunc(keys(found), func(o string) bool { return o != name && strings.HasPrefix(name, o+"/") }) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

func keys(m map[string]bool) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	return out
}

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
