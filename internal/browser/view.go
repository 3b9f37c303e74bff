package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/domsnapshot"
	"github.com/chromedp/cdproto/page"
)

// view is what is to be seen of a page at one moment.
type view struct {
	address, title string
	lines          []string  // what is to be read, one for each block
	things         []element // what can be filled in or pressed, in the order of the page
	labels         []*box    // label elements
	parents        map[cdp.BackendNodeID]cdp.BackendNodeID
}

// element is something to fill in or to press.
type element struct {
	id       cdp.BackendNodeID
	box      *box
	tag      string // of HTML, in capitals
	role     string
	name     string   // accessible name: of a label element, aria-labelledby, aria-label, its own text
	others   []string // what else a person would call it by: its placeholder, what is written on it
	disabled bool
	readonly bool
	checked  bool
	visible  bool
}

// look reads the page from outside: the layout with its text and styles, and the accessibility tree of each frame for names, which the
// browser knows through shadow roots of any kind.
func (p *Page) look(ctx context.Context) (*view, error) {
	frames, err := call(ctx, page.GetFrameTree, cdp.Empty{})
	if err != nil {
		return nil, err
	}
	shot, err := call(ctx, domsnapshot.CaptureSnapshot, domsnapshot.CaptureSnapshotParams{ComputedStyles: styles[:]})
	if err != nil {
		return nil, err
	}
	if len(shot.Documents) == 0 {
		return &view{}, nil
	}
	l := read(shot.Strings, shot.Documents)
	v := &view{
		address: shown(l.str(shot.Documents[0].DocumentURL)), title: l.str(shot.Documents[0].Title), lines: l.lines,
		parents: map[cdp.BackendNodeID]cdp.BackendNodeID{},
	}
	for id, b := range l.byID {
		if b.parent != nil {
			v.parents[id] = b.parent.id
		}
	}
	// The elements' order is that of the tree, frames after the page itself.
	for _, id := range frameIDs(frames.FrameTree) {
		tree, err := call(ctx, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{FrameID: id})
		if err != nil {
			return nil, err
		}
		for _, n := range tree.Nodes {
			if b := l.byID[n.BackendDOMNodeID]; b != nil && !n.Ignored {
				v.add(n, b)
			}
		}
	}
	v.addClickable(l)
	for _, b := range l.order {
		if b.tag == "LABEL" && b.visible {
			v.labels = append(v.labels, b)
		}
	}
	return v, nil
}

func frameIDs(t *page.FrameTree) []cdp.FrameID {
	ids := []cdp.FrameID{t.Frame.ID}
	for _, c := range t.ChildFrames {
		ids = append(ids, frameIDs(c)...)
	}
	return ids
}

func (v *view) add(n *accessibility.Node, b *box) {
	e := element{id: b.id, box: b, tag: b.tag, role: word(n.Role), name: word(n.Name), visible: b.visible}
	if !e.field() && !e.pressable() {
		return
	}
	e.others = []string{b.attributes["placeholder"], b.attributes["aria-label"]}
	if e.pressable() {
		e.others = append(e.others, b.written())
	}
	for _, p := range n.Properties {
		switch p.Name {
		case accessibility.PropertyNameDisabled:
			e.disabled = word(p.Value) == "true"
		case accessibility.PropertyNameReadonly:
			e.readonly = word(p.Value) == "true"
		case accessibility.PropertyNameChecked:
			e.checked = word(p.Value) == "true"
		}
	}
	v.things = append(v.things, e)
}

// clickable is the role of what has no role but reacts to clicks.
const clickable = "clickable"

// addClickable adds what a page's script made into a button without saying so.
func (v *view) addClickable(l *layout) {
	known := map[cdp.BackendNodeID]bool{}
	for _, e := range v.things {
		known[e.id] = true
	}
	for _, b := range l.order {
		if text := b.written(); b.clickable && b.visible && b.tag != "LABEL" && !known[b.id] && text != "" && len(text) < 100 {
			v.things = append(v.things, element{id: b.id, box: b, tag: b.tag, role: clickable, name: text, visible: true})
		}
	}
}

// Roles as the browser names them. Those in capitals are its own, for fields that ARIA has no role for.
var (
	fieldRoles = [...]string{"textbox", "searchbox", "combobox", "spinbutton", "listbox", "checkbox", "radio", "switch", "slider",
		"Date", "DateTime", "InputTime", "ColorWell"}
	pressRoles = [...]string{"button", "link", "tab", "menuitem", "option", "treeitem", "DisclosureTriangle", "checkbox", "radio", "switch",
		"menuitemcheckbox", "menuitemradio", "combobox", clickable}
)

func (e element) field() bool     { return slices.Contains(fieldRoles[:], e.role) }
func (e element) pressable() bool { return slices.Contains(pressRoles[:], e.role) }
func (e element) ticked() bool {
	return e.role == "checkbox" || e.role == "radio" || e.role == "switch"
}

// called tells whether a person would call it so, and how well that fits: 0 not at all, then the more the better.
func (e element) called(name string) int {
	best := 0
	for _, n := range append([]string{e.name}, e.others...) {
		switch {
		case n == "":
		case strings.TrimSpace(n) == strings.TrimSpace(name):
			return 2
		case label(n) == label(name):
			best = 1
		}
	}
	return best
}

// find is the one element of a kind that is called so. Otherwise it tells why there is none.
func (v *view) find(name, kind string, is func(element) bool) (element, string) {
	for rank := 2; rank > 0; rank-- {
		var found []element
		invisible := false
		for _, e := range v.things {
			if is(e) && e.called(name) == rank {
				// What is ticked is often drawn by other means than its own box.
				if e.visible || e.ticked() {
					found = append(found, e)
				} else {
					invisible = true
				}
			}
		}
		found = v.innermost(found)
		switch {
		case len(found) == 1:
			return found[0], ""
		case len(found) > 1:
			return element{}, fmt.Sprintf("%d %ss are called that", len(found), kind)
		case invisible:
			return element{}, "there is such a " + kind + ", but not to be seen"
		}
	}
	return element{}, noSuch(kind)
}

func noSuch(kind string) string { return "there is no such " + kind }

// beside is the field that stands nearest to the one label with that text, below it or right of it, for labels that the page does not tie
// to their field. It tells whether there is one.
func (v *view) beside(name string) (element, bool) {
	var at *box
	for _, b := range v.labels {
		if label(b.written()) == label(name) {
			if at != nil {
				return element{}, false
			}
			at = b
		}
	}
	const below, right = 40, 300 // pixels that may be between them
	var nearest element
	best := -1.0
	for _, e := range v.things {
		if at == nil || !e.field() || !e.visible || e.box.document != at.document {
			continue
		}
		down, across := e.box.bounds[1]-at.bounds[1]-at.bounds[3], e.box.bounds[0]-at.bounds[0]-at.bounds[2]
		under := down > -5 && down < below && across < 0 && e.box.bounds[0]+e.box.bounds[2] > at.bounds[0]
		next := across > -5 && across < right && down < 0 && e.box.bounds[1]+e.box.bounds[3] > at.bounds[1]
		if distance := max(down, across); (under || next) && (best < 0 || distance < best) {
			nearest, best = e, max(0, distance)
		}
	}
	return nearest, best >= 0
}

// innermost leaves out what only holds another one of the list.
func (v *view) innermost(list []element) []element {
	outer := map[cdp.BackendNodeID]bool{}
	for _, e := range list {
		for id, ok := v.parents[e.id]; ok; id, ok = v.parents[id] {
			outer[id] = true
		}
	}
	return slices.DeleteFunc(list, func(e element) bool { return outer[e.id] })
}

func (v *view) text() string { return strings.Join(v.lines, "\n") }

// within tells whether a node stands inside of another, or around it.
func (v *view) within(a, b cdp.BackendNodeID) bool {
	for _, pair := range [][2]cdp.BackendNodeID{{a, b}, {b, a}} {
		for id, ok := pair[0], true; ok; id, ok = v.parents[id] {
			if id == pair[1] {
				return true
			}
		}
	}
	return false
}

// mostText bounds what an error has of the page's text.
const mostText = 800

// String is what an error tells of the page.
func (v *view) String() string {
	if v == nil {
		return ""
	}
	var fields, buttons, links []string
	for _, e := range v.things {
		name := e.name
		for _, o := range e.others {
			if name == "" {
				name = o
			}
		}
		s := fmt.Sprintf("%q", strings.Join(strings.Fields(name), " "))
		if e.disabled {
			s += " (disabled)"
		}
		switch {
		case !e.visible && !e.ticked():
		case e.field():
			fields = append(fields, s)
		case e.role == "link":
			links = append(links, s)
		case e.role != "option":
			buttons = append(buttons, s)
		}
	}
	text := strings.Join(v.lines, " / ")
	if r := []rune(text); len(r) > mostText {
		text = string(r[:mostText]) + "…"
	}
	out := "\n  page: " + v.address
	if v.title != "" {
		out += fmt.Sprintf(" %q", v.title)
	}
	for _, part := range []struct {
		name string
		list []string
	}{{"fields", fields}, {"buttons", buttons}, {"links", links}} {
		const most = 30
		list := strings.Join(part.list[:min(most, len(part.list))], ", ")
		if len(part.list) > most {
			list += fmt.Sprintf(" and %d more", len(part.list)-most)
		}
		if list == "" {
			list = "none"
		}
		out += "\n  " + part.name + ": " + list
	}
	if text == "" {
		text = "none"
	}
	return out + "\n  text: " + text
}

// plain is a text as it is compared: letters' case and white space make no difference, since styles change both.
func plain(s string) string { return strings.ToLower(strings.Join(strings.Fields(drawn(s)), " ")) }

// label is a label as it is compared: marks such as that of a field that must be filled in are no part of it.
func label(s string) string { return strings.TrimRight(plain(s), " *:…") }

// drawn is a text without the characters that icon fonts draw pictures for.
func drawn(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Co, r) || unicode.Is(unicode.Cf, r) {
			return -1
		}
		return r
	}, s)
}

// word is a value of the accessibility tree as text.
func word(v *accessibility.Value) string {
	if v == nil {
		return ""
	}
	var s string
	if json.Unmarshal(v.Value, &s) == nil {
		return s
	}
	return string(v.Value)
}
