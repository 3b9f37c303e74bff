package browser

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// Page is a tab with cookies of its own. Its methods are for one caller at a time.
type Page struct {
	browser *Browser
	ctx     context.Context // chromedp's handle of the tab, which is done when the page has crashed
	end     context.CancelCauseFunc
	watch   *watch
	hidden  hidden
}

// Step is one thing that a person does. Exactly one field is set.
type Step struct {
	Open  string            // an address
	Fill  map[string]string // visible label → value; a checkbox takes "true" and "false", a choice what is to be read on the option
	Press string            // what is written on a button, a link or another thing to press
	See   string            // text that is to be read on the page
}

// Do does a step. It waits until what the step needs is there and can be used, and after Press and Open until what they set off has come
// to rest. The error says what was looked for and what there is to be seen.
func (p *Page) Do(ctx context.Context, s Step) error {
	set := 0
	for _, is := range []bool{s.Open != "", len(s.Fill) > 0, s.Press != "", s.See != ""} {
		if is {
			set++
		}
	}
	if set != 1 {
		return fmt.Errorf("browser step: %d of open, fill, press and see are set, want one", set)
	}
	ctx, cancel := p.within(ctx)
	defer cancel()
	var err error
	switch {
	case s.Open != "":
		err = p.open(ctx, s.Open)
	case s.Press != "":
		err = p.press(ctx, s.Press)
	case s.See != "":
		err = p.see(ctx, s.See)
	default:
		for _, label := range slices.Sorted(maps.Keys(s.Fill)) {
			p.hidden.add(s.Fill[label])
		}
		for _, label := range slices.Sorted(maps.Keys(s.Fill)) {
			if err = p.fill(ctx, label, s.Fill[label]); err != nil {
				break
			}
		}
	}
	if err != nil {
		return &hiddenError{err, p.hidden.in(err.Error())}
	}
	return nil
}

// hiddenError is an error whose text has none of what was filled in. Its causes stay known to errors.Is.
type hiddenError struct {
	cause error
	text  string
}

func (e *hiddenError) Error() string { return e.text }

// Unwrap gives a cause that callers tell apart: the end of a time limit, or that the caller gave up.
func (e *hiddenError) Unwrap() error {
	for _, known := range []error{context.Canceled, context.DeadlineExceeded} {
		if errors.Is(e.cause, known) {
			return known
		}
	}
	return nil
}

// within is a context to speak to the page by, which ends with the caller's.
func (p *Page) within(ctx context.Context) (context.Context, context.CancelFunc) {
	inner, cancel := context.WithCancelCause(p.ctx)
	stop := context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })
	return inner, func() { stop(); cancel(nil) }
}

// call speaks the browser's protocol to the page.
func call[P, R any](ctx context.Context, c cdp.Command[P, R], params P) (R, error) {
	return chromedp.Run(ctx, func(ctx context.Context, t *chromedp.Target) (R, error) { return cdp.Call(ctx, t, c, params) })
}

// open goes to an address. That it leads to another place where nothing answers is no error, since that is how signing in for an
// application on somebody's own machine ends; WaitURL tells.
func (p *Page) open(ctx context.Context, address string) error {
	p.watch.opening()
	limited, cancel := context.WithTimeout(ctx, p.browser.wait)
	defer cancel()
	err := chromedp.Do(limited, chromedp.Navigate(address))
	if err == nil {
		p.settle(ctx) // scripts that make the page do so once they are there
		return nil
	}
	if ctx.Err() != nil {
		return wrap("open "+shown(address), p.why(ctx))
	}
	if last := p.watch.last(); last != "" && !sameOrigin(address, last) {
		return nil
	}
	if limited.Err() != nil {
		err = fmt.Errorf("has not loaded within %v%s", p.browser.wait, p.watch.pending())
	}
	return wrap("open "+shown(address), err)
}

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

func sameOrigin(a, b string) bool {
	x, err := url.Parse(a)
	y, err2 := url.Parse(b)
	return err == nil && err2 == nil && x.Scheme == y.Scheme && x.Host == y.Host
}

// shown is an address as errors have it: without its query and fragment, where codes and tokens are.
func shown(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "an address that is none"
	}
	if u.Opaque != "" || u.Scheme == "data" || u.Scheme == "blob" {
		return u.Scheme + ":…"
	}
	query := u.RawQuery != ""
	u.RawQuery, u.Fragment, u.RawFragment, u.User, u.ForceQuery = "", "", "", nil, false
	if query {
		return u.String() + "?…"
	}
	return u.String()
}

// see waits until a text is to be read.
func (p *Page) see(ctx context.Context, text string) error {
	want := plain(text)
	return p.until(ctx, fmt.Sprintf("see %q", text), func(v *view) (string, error) {
		if strings.Contains(plain(v.text()), want) {
			return "", nil
		}
		return "it is not to be read on the page", nil
	})
}

// until looks at the page again and again until try has no reason to wait, or the time is up: then the error is what, the reason, and what
// is to be seen. An error of try ends the wait, and so does a page that is an error and stays as it is.
func (p *Page) until(ctx context.Context, what string, try func(*view) (reason string, err error)) error {
	limited, cancel := context.WithTimeout(ctx, p.browser.wait)
	defer cancel()
	var seen *view
	reason := "the page shows nothing yet"
	for {
		v, err := p.look(limited)
		if err == nil {
			seen = v
			if reason, err = try(v); reason == "" && err == nil {
				return nil
			}
			if err != nil && limited.Err() == nil && p.ctx.Err() == nil && !moved(err) {
				return fmt.Errorf("%s: %w%s", what, err, seen)
			}
		}
		if ended := p.gone(); ended != nil {
			return fmt.Errorf("%s: %w", what, ended)
		}
		if status := p.watch.refused(); status != "" && seen != nil {
			return fmt.Errorf("%s: %s, and the page answers %s%s", what, reason, status, seen)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %s: %w%s", what, reason, p.why(ctx), seen)
		case <-limited.Done():
			if ctx.Err() != nil {
				return fmt.Errorf("%s: %s: %w%s", what, reason, p.why(ctx), seen)
			}
			return fmt.Errorf("%s: %s after %v%s", what, reason, p.browser.wait, seen)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// moved tells of errors that come of a page that changes while it is looked at; another look helps.
func moved(err error) bool {
	for _, s := range []string{"ode with given id", "ould not find node", "not have a layout object", "not compute content quads", "node is detached",
		"navigated", "frame", "context with", "No node found", "is not visible", "not an Element", "not focusable"} {
		if strings.Contains(err.Error(), s) {
			return true
		}
	}
	return false
}

// gone tells why there is no page any more, nil if there is.
func (p *Page) gone() error {
	switch cause := context.Cause(p.ctx); {
	case cause == nil || errors.Is(cause, errCrashed) || errors.Is(cause, errClosed):
		return cause
	default:
		return ended(cause)
	}
}

// why tells why a context of the page's is done: the page's end, or that the caller gave up.
func (p *Page) why(ctx context.Context) error { return cmp.Or(p.gone(), context.Cause(ctx)) }

// settle waits until what was set off has come to rest: no document, script or data is on the way for a moment, or the time is up. What
// stays open for long, as streams do, holds up a step for that time at most.
func (p *Page) settle(ctx context.Context) {
	const quiet, most = 150 * time.Millisecond, 5 * time.Second
	end := time.Now().Add(min(most, p.browser.wait))
	for time.Now().Before(end) && ctx.Err() == nil && !p.watch.quietFor(quiet) {
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// WaitURL waits until the page goes to an address that begins with prefix, whether or not something answers there, and returns it whole.
// An address counts once: the next call waits for another. A page that is an error and stays as it is ends the wait at once.
func (p *Page) WaitURL(ctx context.Context, prefix string) (string, error) {
	ctx, cancel := p.within(ctx)
	defer cancel()
	end := time.After(p.browser.wait)
	for {
		if address, ok := p.watch.visited(prefix); ok {
			return address, nil
		}
		reason := ""
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("wait for the address %s: %w", shown(prefix), p.why(ctx))
		case <-end:
			reason = fmt.Sprintf("the page does not go there after %v", p.browser.wait)
		case <-time.After(20 * time.Millisecond):
			status := p.watch.refused()
			if status == "" {
				continue
			}
			reason = "the page does not go there, but answers " + status
		}
		limited, stop := context.WithTimeout(ctx, 5*time.Second)
		defer stop()
		seen, _ := p.look(limited) // only to tell of it
		return "", errors.New(p.hidden.in(fmt.Sprintf("wait for the address %s: %s%s", shown(prefix), reason, seen)))
	}
}

// Screenshot is a PNG picture of what is to be seen of the page.
func (p *Page) Screenshot(ctx context.Context) ([]byte, error) {
	ctx, cancel := p.within(ctx)
	defer cancel()
	ctx, stop := context.WithTimeout(ctx, p.browser.wait)
	defer stop()
	shot, err := call(ctx, page.CaptureScreenshot, page.CaptureScreenshotParams{Format: page.CaptureScreenshotFormatPng})
	if err != nil {
		return nil, fmt.Errorf("take a screenshot: %w", err)
	}
	return shot.Data, nil
}

// Problems tells what went wrong on the page since it was opened: uncaught exceptions, errors on the console, requests that failed or were
// answered with an error, and violations of the content security policy. Each is told once.
func (p *Page) Problems() []string {
	var out []string
	for _, s := range p.watch.list() {
		out = append(out, p.hidden.in(s))
	}
	return out
}

// Close closes the page and forgets its cookies. Pages that stay open are closed with the browser.
func (p *Page) Close() {
	p.end(errClosed)
	_ = chromedp.Cancel(p.ctx) // it is gone with the browser at the latest
}
