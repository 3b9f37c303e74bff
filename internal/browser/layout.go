package browser

import (
	"strconv"
	"strings"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/domsnapshot"
)

// styles are the computed styles that layout reads, in this order.
var styles = [...]string{"display", "visibility", "opacity", "overflow-x"}

// box is a node of the page with what is known of its layout.
type box struct {
	id         cdp.BackendNodeID
	tag        string
	parent     *box
	document   int
	attributes map[string]string
	laidOut    bool
	bounds     domsnapshot.Rectangle // x, y, width, height in pixels of its document
	style      [len(styles)]string   // of the nearest node that is laid out
	shown      bool                  // nothing around it hides it
	visible    bool                  // it is to be seen itself
	clickable  bool
	text       []string // pieces of text in it that are to be seen
}

// layout walks a snapshot of the page and its frames.
type layout struct {
	strings   []string
	documents []*domsnapshot.DocumentSnapshot
	done      map[int]bool // documents that were walked
	byID      map[cdp.BackendNodeID]*box
	order     []*box
	lines     []string
	line      strings.Builder
	block     *box // what the line is in
}

// read walks a snapshot from its first document on.
func read(strings []string, documents []*domsnapshot.DocumentSnapshot) *layout {
	l := &layout{strings: strings, documents: documents, byID: map[cdp.BackendNodeID]*box{}, done: map[int]bool{}}
	l.document(0, nil)
	return l
}

func (l *layout) str(i domsnapshot.StringIndex) string {
	if i < 0 || int(i) >= len(l.strings) {
		return ""
	}
	return l.strings[i]
}

// document walks one document; owner is the frame's element that it stands in.
func (l *layout) document(index int, owner *box) {
	if index < 0 || index >= len(l.documents) || l.done[index] {
		return
	}
	l.done[index] = true
	d := l.documents[index]
	if d == nil || d.Nodes == nil || d.Layout == nil {
		return
	}
	at := make(map[int64]int, len(d.Layout.NodeIndex)) // a node's layout
	for i, n := range d.Layout.NodeIndex {
		if _, ok := at[n]; !ok {
			at[n] = i
		}
	}
	frames := map[int64]int64{}
	if c := d.Nodes.ContentDocumentIndex; c != nil {
		for i, n := range c.Index {
			frames[n] = pick(c.Value, i)
		}
	}
	pseudo, click := map[int64]bool{}, map[int64]bool{}
	if p := d.Nodes.PseudoType; p != nil {
		for _, n := range p.Index {
			pseudo[n] = true
		}
	}
	if c := d.Nodes.IsClickable; c != nil {
		for _, n := range c.Index {
			click[n] = true
		}
	}
	boxes := make([]*box, len(d.Nodes.NodeName))
	for i := range boxes {
		parent := owner
		up := pick(d.Nodes.ParentIndex, i)
		if up >= 0 && up < int64(i) { // of the first it is -1
			parent = boxes[up]
		}
		b := l.node(d, i, parent)
		b.document = index
		b.clickable = click[int64(i)]
		if k, ok := at[int64(i)]; ok {
			l.lay(d, k, b)
		}
		boxes[i] = b
		if pick(d.Nodes.NodeType, i) == textNode && b.laidOut && !pseudo[int64(i)] && !pseudo[up] {
			l.write(b, l.str(pick(d.Layout.Text, at[int64(i)])))
		}
		if b.tag == "BR" || b.tag == "INPUT" && b.visible {
			l.endLine()
		}
		if f, ok := frames[int64(i)]; ok && b.visible {
			l.endLine()
			l.document(int(f), b)
		}
	}
	l.endLine()
}

// pick is an element of one of a snapshot's parallel lists, the zero value where that is shorter than it should be.
func pick[T any](list []T, i int) T {
	if i < 0 || i >= len(list) {
		var none T
		return none
	}
	return list[i]
}

// textNode is the DOM's number for a text.
const textNode = 3

func (l *layout) node(d *domsnapshot.DocumentSnapshot, i int, parent *box) *box {
	b := &box{id: pick(d.Nodes.BackendNodeID, i), tag: l.str(pick(d.Nodes.NodeName, i)), parent: parent, attributes: map[string]string{}, shown: true}
	if parent != nil {
		b.style, b.shown = parent.style, parent.shown
	}
	attributes := pick(d.Nodes.Attributes, i)
	for k := 0; k+1 < len(attributes); k += 2 {
		b.attributes[l.str(domsnapshot.StringIndex(attributes[k]))] = l.str(domsnapshot.StringIndex(attributes[k+1]))
	}
	l.byID[b.id] = b
	l.order = append(l.order, b)
	return b
}

// lay tells what the layout has of a node.
func (l *layout) lay(d *domsnapshot.DocumentSnapshot, k int, b *box) {
	b.laidOut, b.bounds = true, pick(d.Layout.Bounds, k)
	if s := pick(d.Layout.Styles, k); len(s) == len(styles) {
		for i, v := range s {
			b.style[i] = l.str(domsnapshot.StringIndex(v))
		}
		// Opacity is not inherited, but what is in it is as pale. A box of a pixel that cuts off what is in it is there for screen readers.
		if o, err := strconv.ParseFloat(b.style[2], 64); err == nil && o < 0.05 {
			b.shown = false
		}
		if b.style[3] != "visible" && len(b.bounds) == 4 && (b.bounds[2] <= 1 || b.bounds[3] <= 1) {
			b.shown = false
		}
	}
	// What stands before the page's beginning can't be scrolled to.
	inside := len(b.bounds) == 4 && b.bounds[2] > 0 && b.bounds[3] > 0 && b.bounds[0]+b.bounds[2] > 0 && b.bounds[1]+b.bounds[3] > 0
	b.visible = b.shown && inside && b.style[1] == "visible"
}

// write adds a text to its line, and to what it is written on.
func (l *layout) write(b *box, text string) {
	text = drawn(text)
	if !b.visible || text == "" {
		return
	}
	block := b.parent
	for p := b.parent; p != nil; p = p.parent {
		// What was typed in is not the page's word.
		if p.tag == "TEXTAREA" || p.tag == "INPUT" && !written(p.attributes["type"]) {
			return
		}
	}
	for block != nil && block.parent != nil && (!block.laidOut || block.style[0] == "inline") {
		block = block.parent
	}
	if block != l.block {
		l.endLine()
		l.block = block
	}
	l.line.WriteString(text)
	for p := b.parent; p != nil; p = p.parent {
		p.text = append(p.text, text)
	}
}

// written tells whether an input of that type shows its value as what is written on a button.
func written(inputType string) bool {
	switch strings.ToLower(inputType) {
	case "submit", "button", "reset":
		return true
	}
	return false
}

func (l *layout) endLine() {
	if s := strings.Join(strings.Fields(l.line.String()), " "); s != "" {
		l.lines = append(l.lines, s)
	}
	l.line.Reset()
	l.block = nil
}

// written is what is to be read on the node.
func (b *box) written() string { return strings.Join(strings.Fields(strings.Join(b.text, "")), " ") }
