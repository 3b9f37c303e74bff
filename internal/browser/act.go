package browser

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/dom"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// fill writes a value into the field with that label.
func (p *Page) fill(ctx context.Context, label, value string) error {
	return p.until(ctx, fmt.Sprintf("fill in %q", label), func(v *view) (string, error) {
		e, reason := v.find(label, "field", element.field)
		if beside, ok := v.beside(label); ok && reason == noSuch("field") {
			e, reason = beside, ""
		}
		switch {
		case reason != "":
			return reason, nil
		case e.disabled:
			return "the field is disabled", nil
		case e.readonly:
			return "the field is read-only", nil
		case e.ticked():
			return "", p.tick(ctx, v, e, value)
		case e.tag == "SELECT":
			return p.choose(ctx, e, value)
		}
		return "", p.write(ctx, e, value)
	})
}

// The functions run on the field itself, so that it does not matter in whose shadow root it is.
const (
	// selectAll makes what is typed next take the place of what is there.
	selectAll = `function() {
		this.focus();
		if (this.select) this.select();
		else getSelection().selectAllChildren(this);
	}`
	// current is what the field holds.
	current = `function() { return this.value === undefined ? this.textContent : this.value; }`
	// set is for fields that nobody can type into as one piece, such as dates.
	set = `function(value) {
		Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value").set.call(this, value);
		this.dispatchEvent(new Event("input", {bubbles: true, composed: true}));
		this.dispatchEvent(new Event("change", {bubbles: true}));
	}`
	choose = `function(text) {
		const plain = s => s.replace(/\s+/g, " ").trim();
		const option = [...this.options].find(o => plain(o.label || o.text) === plain(text)) ;
		if (!option) return [...this.options].map(o => plain(o.label || o.text));
		option.selected = true;
		this.dispatchEvent(new Event("input", {bubbles: true, composed: true}));
		this.dispatchEvent(new Event("change", {bubbles: true}));
		return null;
	}`
	click = `function() { this.click(); }`
)

// on calls a function on a node and reads its result into out, which may be nil.
func on(ctx context.Context, id cdp.BackendNodeID, function string, out any, args ...any) error {
	node, err := call(ctx, dom.ResolveNode, dom.ResolveNodeParams{BackendNodeID: id})
	if err != nil {
		return err
	}
	byValue, gesture := true, true
	params := runtime.CallFunctionOnParams{FunctionDeclaration: function, ObjectID: node.Object.ObjectID, ReturnByValue: &byValue, UserGesture: &gesture}
	for _, a := range args {
		value, err := json.Marshal(a)
		if err != nil {
			return err
		}
		params.Arguments = append(params.Arguments, &runtime.CallArgument{Value: value})
	}
	res, err := call(ctx, runtime.CallFunctionOn, params)
	if err != nil {
		return err
	}
	if res.ExceptionDetails != nil {
		return errors.New(exception(res.ExceptionDetails))
	}
	if out == nil || len(res.Result.Value) == 0 {
		return nil
	}
	return json.Unmarshal(res.Result.Value, out)
}

// write types a text.
func (p *Page) write(ctx context.Context, e element, value string) error {
	if slices.Contains([]string{"Date", "DateTime", "InputTime", "ColorWell", "slider"}, e.role) && e.tag == "INPUT" {
		return on(ctx, e.id, set, nil, value)
	}
	if err := on(ctx, e.id, selectAll, nil); err != nil {
		return err
	}
	var err error
	if value == "" {
		err = chromedp.Do(ctx, chromedp.KeyEvent("\b"))
	} else {
		_, err = call(ctx, input.InsertText, input.InsertTextParams{Text: value})
	}
	if err != nil {
		return err
	}
	var got string
	if err := on(ctx, e.id, current, &got); err != nil {
		return err
	}
	// Fields may put spaces and dashes of their own between what is typed.
	if bare(got) != bare(value) {
		return fmt.Errorf("the field does not take the value: of %d characters it has %d", len([]rune(value)), len([]rune(got)))
	}
	return nil
}

func bare(s string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(" \t\r\n-.()/,\u00a0", r) {
			return -1
		}
		return r
	}, s)
}

// choose picks the option that has that text.
func (p *Page) choose(ctx context.Context, e element, value string) (string, error) {
	var others []string
	if err := on(ctx, e.id, choose, &others, value); err != nil {
		return "", err
	}
	if others != nil {
		return fmt.Sprintf("the choice has no option %q; it has %q", value, others), nil
	}
	return "", nil
}

// tick makes a checkbox, a switch or a radio button be on or off.
func (p *Page) tick(ctx context.Context, v *view, e element, value string) error {
	want := false
	switch strings.ToLower(value) {
	case "true", "yes", "on", "1":
		want = true
	case "false", "no", "off", "0":
	default:
		return errors.New(`the value of what is ticked is "true" or "false"`)
	}
	if e.checked == want {
		return nil
	}
	if reason, err := p.click(ctx, v, e); err != nil || reason == "" {
		return err
	}
	return on(ctx, e.id, click, nil)
}

// press presses what has that text or name. A button goes before a link, and that before what merely reacts to clicks.
func (p *Page) press(ctx context.Context, name string) error {
	return p.until(ctx, fmt.Sprintf("press %q", name), func(v *view) (string, error) {
		var e element
		reason := ""
		const kind = "button or link"
		for _, is := range []func(element) bool{
			func(e element) bool { return e.role == "button" },
			func(e element) bool { return e.role == "link" },
			func(e element) bool { return e.pressable() && e.role != clickable },
			func(e element) bool { return e.role == clickable },
		} {
			if e, reason = v.find(name, kind, is); reason != noSuch(kind) {
				break
			}
		}
		if reason != "" {
			return reason, nil
		}
		if e.disabled {
			return "it is disabled", nil
		}
		p.watch.touch()
		if reason, err := p.click(ctx, v, e); reason != "" || err != nil {
			return reason, err
		}
		p.settle(ctx)
		return "", nil
	})
}

// click clicks the middle of an element as a mouse does. It tells why that can't be done yet: the element moves, or something covers it.
func (p *Page) click(ctx context.Context, v *view, e element) (reason string, err error) {
	if _, err := call(ctx, dom.ScrollIntoViewIfNeeded, dom.ScrollIntoViewIfNeededParams{BackendNodeID: e.id}); err != nil {
		return "", err
	}
	x, y, err := middle(ctx, e.id)
	if err != nil {
		return "", err
	}
	time.Sleep(30 * time.Millisecond)
	if x2, y2, err := middle(ctx, e.id); err != nil || x2 != x || y2 != y {
		return "it moves", err
	}
	metrics, err := call(ctx, page.GetLayoutMetrics, cdp.Empty{})
	if err != nil {
		return "", err
	}
	hit, err := call(ctx, dom.GetNodeForLocation, dom.GetNodeForLocationParams{
		X: int64(x) + metrics.CSSLayoutViewport.PageX, Y: int64(y) + metrics.CSSLayoutViewport.PageY,
	})
	if err != nil {
		return "", err
	}
	if !v.within(hit.BackendNodeID, e.id) {
		return "something covers it", nil
	}
	return "", chromedp.Do(ctx, chromedp.MouseEvent(input.DispatchMouseEventTypeMouseMoved, x, y), chromedp.MouseClickXY(x, y))
}

// middle is the middle of an element's first piece, in pixels of what is shown of the page.
func middle(ctx context.Context, id cdp.BackendNodeID) (x, y float64, err error) {
	res, err := call(ctx, dom.GetContentQuads, dom.GetContentQuadsParams{BackendNodeID: id})
	if err != nil {
		return 0, 0, err
	}
	for _, q := range res.Quads {
		if len(q) == 8 && (q[0] != q[4] || q[1] != q[5]) {
			return (q[0] + q[2] + q[4] + q[6]) / 4, (q[1] + q[3] + q[5] + q[7]) / 4, nil
		}
	}
	return 0, 0, errors.New("is not visible")
}
