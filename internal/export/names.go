package export

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	"headwater/internal/artifact"
	"headwater/internal/dag"
)

// maxSlug is how long a binding's name may be, but for a number at its end.
const maxSlug = 100

// name gives n a binding's name that no other has: what it is called for people, and no hash, so that what did not change
// reads the same in the next export. It has a dash in it, which tells it from the helpers'.
func (w *writer) name(n *dag.Node) string {
	slug := w.slug(n)
	name := slug
	for i := 2; w.taken[name]; i++ {
		name = slug + "-" + strconv.Itoa(i)
	}
	w.taken[name] = true
	return name
}

func (w *writer) slug(n *dag.Node) string {
	title := n.Name
	if n.Kind == dag.Fetch && n.Drv != nil {
		if a, err := artifact.ParseRef(n.Drv.Env["url"]); err == nil {
			title = strings.Join([]string{string(a.Ecosystem), a.Name, a.File}, "-")
		}
	}
	slug := cmp.Or(string(n.Kind), "node") + "-" + strings.TrimPrefix(title, string(n.Kind)+" ")
	slug = strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '_':
			return r
		case r == '.':
			return '_'
		}
		return '-'
	}, slug)
	return slug[:min(len(slug), maxSlug)]
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
