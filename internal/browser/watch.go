package browser

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/inspector"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
)

// watch is what is known of a page by its events.
type watch struct {
	mu       sync.Mutex
	problems []string
	requests map[network.RequestID]request
	active   time.Time // when something was last on the way
	went     []string  // addresses of the page itself since it was last opened, redirects too
	used     int       // how many of them WaitURL is done with
	answered string    // the page's own status where it is an error, "" otherwise
	frame    cdp.FrameID
}

type request struct {
	address string // as it is shown
	method  string
	kind    network.ResourceType
	main    string // the whole address, if it is the page itself that is asked for
}

// mostProblems bounds what is kept of a page that fails without end.
const mostProblems = 100

func newWatch() *watch { return &watch{requests: map[network.RequestID]request{}} }

// of says which frame is the page itself.
func (w *watch) of(frame cdp.FrameID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.frame = frame
}

// event takes an event of the page. It must not speak to the page itself.
func (p *Page) event(e any) {
	switch e.(type) {
	case *page.EventJavascriptDialogOpening:
		// A person agrees; the page does nothing else until then.
		p.browser.work.Go(func() {
			ctx, cancel := context.WithTimeout(p.ctx, p.browser.wait)
			defer cancel()
			_, _ = call(ctx, page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{Accept: true})
		})
	case *inspector.EventTargetCrashed:
		p.end(errCrashed)
	}
	p.watch.event(e)
}

// Why there is no page any more, where Chromium still runs.
var (
	errCrashed = errors.New("the page crashed")
	errClosed  = errors.New("the page was closed")
)

func (w *watch) event(e any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch e := e.(type) {
	case *network.EventRequestWillBeSent:
		w.sent(e)
	case *network.EventResponseReceived:
		if r, ok := w.requests[e.RequestID]; ok && e.Response.Status >= 400 {
			w.problem("request: %s %s: answers %d %s", r.method, r.address, e.Response.Status, e.Response.StatusText)
		}
		if e.Type == network.ResourceTypeDocument && e.FrameID == w.frame {
			w.answered = ""
			if e.Response.Status >= 400 {
				w.answered = fmt.Sprintf("%d %s", e.Response.Status, e.Response.StatusText)
			}
		}
		if e.Response.MimeType == "text/event-stream" { // has no end to wait for
			delete(w.requests, e.RequestID)
		}
	case *network.EventResponseReceivedExtraInfo:
		for _, b := range e.BlockedCookies {
			w.blocked(b)
		}
	case *network.EventLoadingFinished:
		w.ended(e.RequestID)
	case *network.EventLoadingFailed:
		w.failed(e)
	case *runtime.EventExceptionThrown:
		w.problem("exception: %s", exception(e.ExceptionDetails))
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeAssert {
			w.problem("console: %s", words(e.Args))
		}
	case *log.EventEntryAdded:
		// What of the network fails is told by the request.
		if e.Entry.Level == log.EntryLevelError && e.Entry.Source != log.EntrySourceNetwork {
			w.problem("%s: %s", e.Entry.Source, e.Entry.Text)
		}
	case *page.EventNavigatedWithinDocument:
		if e.FrameID == w.frame {
			w.went = append(w.went, e.URL)
		}
	case *inspector.EventTargetCrashed:
		w.problem("the page crashed")
	}
}

func (w *watch) sent(e *network.EventRequestWillBeSent) {
	r := request{address: shown(e.Request.URL), method: e.Request.Method, kind: e.Type}
	if e.Type == network.ResourceTypeDocument && e.FrameID == w.frame {
		r.main = e.Request.URL + e.Request.URLFragment
		w.answered = ""
		w.went = append(w.went, r.main)
	}
	if !lasting(e.Type) && !strings.HasPrefix(e.Request.URL, "data:") && !strings.HasPrefix(e.Request.URL, "blob:") {
		w.requests[e.RequestID] = r
	}
	w.active = time.Now()
}

// lasting tells of requests that are open for as long as the page is.
func lasting(t network.ResourceType) bool {
	return t == network.ResourceTypeWebSocket || t == network.ResourceTypeEventSource || t == network.ResourceTypePing
}

func (w *watch) ended(id network.RequestID) {
	if _, ok := w.requests[id]; ok {
		delete(w.requests, id)
		w.active = time.Now()
	}
}

func (w *watch) failed(e *network.EventLoadingFailed) {
	r, ok := w.requests[e.RequestID]
	w.ended(e.RequestID)
	// Requests that a page gives up as it is left are no failures. Nor is that nothing answers where an application would.
	if !ok || e.Canceled || e.ErrorText == "net::ERR_ABORTED" && e.BlockedReason == "" {
		return
	}
	why := e.ErrorText
	if e.BlockedReason != "" {
		why += " (blocked: " + string(e.BlockedReason) + ")"
	}
	if e.CorsErrorStatus != nil {
		why += " (" + string(e.CorsErrorStatus.CorsError) + ")"
	}
	if r.main == "" || len(w.went) < 2 || sameOrigin(w.went[0], r.main) {
		w.problem("request: %s %s: %s", r.method, r.address, why)
	}
}

// query is what an address has behind its path, where codes and tokens are.
var query = regexp.MustCompile(`(https?://[^\s?#"'<>()]+)[?#][^\s"'<>()…][^\s"'<>()]*`)

// blocked tells of a cookie that the browser does not keep, unless it is for other sites, whose are not kept by many people's browsers either.
func (w *watch) blocked(b *network.BlockedSetCookieWithReason) {
	name, _, _ := strings.Cut(b.CookieLine, "=")
	for _, reason := range b.BlockedReasons {
		switch reason {
		case network.SetCookieBlockedReasonSecureOnly, network.SetCookieBlockedReasonSameSiteNoneInsecure, network.SetCookieBlockedReasonOverwriteSecure,
			network.SetCookieBlockedReasonSyntaxError, network.SetCookieBlockedReasonInvalidDomain, network.SetCookieBlockedReasonInvalidPrefix,
			network.SetCookieBlockedReasonNameValuePairExceedsMaxSize, network.SetCookieBlockedReasonDisallowedCharacter:
			w.problem("cookie: %s is not accepted: %s", strings.TrimSpace(name), reason)
			return
		}
	}
}

func (w *watch) problem(format string, args ...any) {
	text := query.ReplaceAllString(fmt.Sprintf(format, args...), "$1?…")
	if len(w.problems) < mostProblems && !slices.Contains(w.problems, text) {
		w.problems = append(w.problems, text)
	}
}

func exception(d *runtime.ExceptionDetails) string {
	text := d.Text
	if d.Exception != nil && d.Exception.Description != "" {
		text += " " + d.Exception.Description
	} else if d.Exception != nil && len(d.Exception.Value) > 0 {
		text += " " + string(d.Exception.Value)
	}
	if d.URL != "" {
		text += fmt.Sprintf(" (%s:%d)", shown(d.URL), d.LineNumber+1)
	}
	return text
}

// words is what a call of the console's printed.
func words(args []*runtime.RemoteObject) string {
	var out []string
	for _, a := range args {
		var s string
		switch {
		case json.Unmarshal(a.Value, &s) == nil:
			out = append(out, s)
		case len(a.Value) > 0:
			out = append(out, string(a.Value))
		default:
			out = append(out, a.Description)
		}
	}
	return strings.Join(out, " ")
}

func (w *watch) opening() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.went, w.used, w.answered = nil, 0, ""
}

// last is the address that the page went to last, "" if none.
func (w *watch) last() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.went) == 0 {
		return ""
	}
	return w.went[len(w.went)-1]
}

// visited is the first address with the prefix that has not been told yet.
func (w *watch) visited(prefix string) (string, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := w.used; i < len(w.went); i++ {
		if strings.HasPrefix(w.went[i], prefix) {
			w.used = i + 1
			return w.went[i], true
		}
	}
	return "", false
}

// refused is the status of a page that is an error and goes nowhere, "" if it may still.
func (w *watch) refused() string {
	const still = 2 * time.Second
	if !w.quietFor(still) {
		return ""
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.answered
}

// pending tells what is on the way.
func (w *watch) pending() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []string
	for _, r := range w.requests {
		list = append(list, r.method+" "+r.address)
	}
	slices.Sort(list)
	if len(list) == 0 {
		return ""
	}
	return "; not answered yet: " + strings.Join(list[:min(len(list), 5)], ", ")
}

func (w *watch) quietFor(d time.Duration) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.requests) == 0 && time.Since(w.active) >= d
}

// touch makes what comes to rest do so from now on.
func (w *watch) touch() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.active = time.Now()
}

func (w *watch) list() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.problems)
}
