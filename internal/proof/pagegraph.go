package proof

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// drawing is the graph as the page draws it, in pixels: what is needed stands left of what needs it.
type drawing struct {
	Width, Height int
	Boxes         []graphBox
	Edges         []graphEdge
	Fetches       int // nodes that are not drawn
}

type graphBox struct {
	X, Y, Width, Height int
	Kind, Name, Whole   string // Name is what fits
	Made, Critical      bool
}

type graphEdge struct {
	Path     string // of SVG
	Critical bool
}

// Sizes of a drawing, in pixels.
const (
	boxWidth, boxHeight = 144, 34
	columnGap, rowGap   = 32, 10
	margin              = 8
	longestName         = 19 // characters that fit into a box
)

// graph lays out what is not a fetch. A node's column is one right of the rightmost one that it needs; within a column, nodes stand by the
// middle of what they need.
func (b *Build) graph() *drawing {
	d := &drawing{}
	nodes := map[string]Node{}
	var order []string
	for _, n := range b.Nodes {
		if n.fetches() {
			d.Fetches++
			continue
		}
		nodes[n.ID] = n
		order = append(order, n.ID)
	}
	needs := reduced(nodes, order)
	columns := columns(order, needs)
	row := map[string]int{}
	for _, ids := range columns {
		slices.SortStableFunc(ids, func(x, y string) int {
			a, b := middle(needs[x], row), middle(needs[y], row)
			switch {
			case a < b:
				return -1
			case a > b:
				return 1
			}
			return strings.Compare(nodes[x].Kind+nodes[x].Name+x, nodes[y].Kind+nodes[y].Name+y)
		})
		for i, id := range ids {
			row[id] = i
		}
	}
	on := b.critical()
	some := slices.ContainsFunc(b.Nodes, func(n Node) bool { return n.Made }) // else there is nothing to tell apart
	at := map[string]graphBox{}
	most := 0
	for _, ids := range columns {
		most = max(most, len(ids))
	}
	for c, ids := range columns {
		top := margin + (most-len(ids))*(boxHeight+rowGap)/2
		for i, id := range ids {
			n := nodes[id]
			box := graphBox{X: margin + c*(boxWidth+columnGap), Y: top + i*(boxHeight+rowGap), Width: boxWidth, Height: boxHeight,
				Kind: n.Kind, Name: fit(n), Whole: n.Name, Made: n.Made || !some, Critical: on[id]}
			at[id] = box
			d.Boxes = append(d.Boxes, box)
		}
	}
	for _, id := range order {
		for _, need := range needs[id] {
			from, to := at[need], at[id]
			x1, y1, x2, y2 := from.X+boxWidth, from.Y+boxHeight/2, to.X, to.Y+boxHeight/2
			bend := (x2 - x1) / 2
			d.Edges = append(d.Edges, graphEdge{
				Path: fmt.Sprintf("M%d %dC%d %d %d %d %d %d", x1, y1, x1+bend, y1, x2-bend, y2, x2, y2), Critical: on[id] && on[need],
			})
		}
	}
	d.Width, d.Height = margin*2+len(columns)*(boxWidth+columnGap)-columnGap, margin*2+most*(boxHeight+rowGap)-rowGap
	return d
}

// reduced are the needs of each node without those that another need has already.
func reduced(nodes map[string]Node, order []string) map[string][]string {
	all := map[string]map[string]bool{} // what a node needs, directly or not
	var reach func(id string) map[string]bool
	reach = func(id string) map[string]bool {
		if r, ok := all[id]; ok {
			return r
		}
		r := map[string]bool{}
		all[id] = r // also ends where a graph has a circle, which none has
		for _, n := range nodes[id].Needs {
			if _, ok := nodes[n]; ok {
				r[n] = true
				for m := range reach(n) {
					r[m] = true
				}
			}
		}
		return r
	}
	out := map[string][]string{}
	for _, id := range order {
		for _, n := range nodes[id].Needs {
			_, drawn := nodes[n]
			if drawn && !slices.Contains(out[id], n) && !slices.ContainsFunc(nodes[id].Needs, func(m string) bool { return m != n && reach(m)[n] }) {
				out[id] = append(out[id], n)
			}
		}
	}
	return out
}

// columns puts each node right of all that it needs, and as far right as what needs it lets it be, so that edges are short.
func columns(order []string, needs map[string][]string) [][]string {
	depth := map[string]int{}
	var deep func(id string) int
	deep = func(id string) int {
		if d, ok := depth[id]; ok {
			return d
		}
		depth[id] = 0
		d := 0
		for _, n := range needs[id] {
			d = max(d, deep(n)+1)
		}
		depth[id] = d
		return d
	}
	last := 0
	for _, id := range order {
		last = max(last, deep(id))
	}
	users := map[string][]string{}
	for _, id := range order {
		for _, n := range needs[id] {
			users[n] = append(users[n], id)
		}
	}
	byDepth := slices.Clone(order)
	slices.SortStableFunc(byDepth, func(a, b string) int { return depth[b] - depth[a] })
	for _, id := range byDepth {
		if len(users[id]) > 0 {
			right := last
			for _, u := range users[id] {
				right = min(right, depth[u]-1)
			}
			depth[id] = right
		}
	}
	list := make([][]string, last+1)
	for _, id := range order {
		list[depth[id]] = append(list[depth[id]], id)
	}
	return list
}

// middle is the mean row of some nodes, before all others if there are none.
func middle(ids []string, row map[string]int) float64 {
	if len(ids) == 0 {
		return -1
	}
	sum := 0
	for _, id := range ids {
		sum += row[id]
	}
	return float64(sum) / float64(len(ids))
}

// fit is a node's name in what a box has room for.
func fit(n Node) string {
	name := n.plain()
	if utf8.RuneCountInString(name) <= longestName {
		return name
	}
	return string([]rune(name)[:longestName-1]) + "…"
}
