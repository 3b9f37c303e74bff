package browser_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"headwater/internal/freeport"
)

// pages are what services' sign-in pages are made of, one way each.
var pages = map[string]string{
	"/plain": `<!doctype html><title>Plain</title><h1>Welcome</h1>
		<form action="/signed-in" method="post"><label for="u">Username *</label><input id="u" name="user">
		<label>Password <input type="password" name="password"></label><button>Sign in</button></form>`,
	"/labels": `<!doctype html><form action="/signed-in" method="post">
		<span id="l">Account</span><input name="user" aria-labelledby="l"><input name="password" aria-label="Secret word" type="password">
		<input placeholder="One-time code" name="code"><input type="submit" value="Continue"></form>`,
	// Labels that a person ties to their fields by where they stand.
	"/loose": `<!doctype html><form action="/signed-in" method="post"><table><tr><td><label>Username</label><td><input name="user"></table>
		<div><label>Password</label></div><div><input name="password" type="password" placeholder="at least 8"></div>
		<div><input name="code" placeholder="Code"></div><button>Sign in</button></form>`,
	"/kinds": `<!doctype html><form action="/kinds-sent">
		<label>Language <select name="language"><option value="de">German</option><option value="fr">French</option></select></label>
		<label>Birthday <input type="date" name="day"></label><label>Number <input type="number" name="number" value="7"></label>
		<label><input type="checkbox" name="stay" value="1"> Stay signed in</label>
		<label>Remarks <textarea name="remarks">old</textarea></label><label>Read <input value="x" readonly></label>
		<label>Plan <input type="radio" name="plan" value="big"></label>
		<button type="button" onclick="this.form.submit()"><span style="text-transform: uppercase">Send</span> it</button></form>`,
	// A component within another, each with a shadow root of its own; only the inner one's form is known to its script.
	"/shadow": `<!doctype html><sign-in></sign-in><script>
		const mode = new URLSearchParams(location.search).get("mode") || "open";
		customElements.define("text-field", class extends HTMLElement { connectedCallback() {
			this.root = this.attachShadow({mode}); this.root.innerHTML = "<label for=i>" + this.getAttribute("label") + "</label><input id=i>";
		} });
		customElements.define("push-button", class extends HTMLElement { connectedCallback() {
			this.attachShadow({mode}).innerHTML = "<button><slot></slot></button>";
		} });
		customElements.define("sign-in", class extends HTMLElement { connectedCallback() {
			const root = this.attachShadow({mode});
			root.innerHTML = "<section><text-field label='User name'></text-field><text-field label=Password></text-field><push-button>Sign in</push-button></section>";
			root.querySelector("push-button").addEventListener("click", () => {
				const [user, password] = [...root.querySelectorAll("text-field")].map(f => f.root.querySelector("input").value);
				root.innerHTML = "<p>Signed in as <b>" + user + "</b> with " + password.length + " characters</p>";
			});
		} });</script>`,
	"/late": `<!doctype html><p>Loading</p><script>setTimeout(() => document.body.innerHTML =
		"<form action=/signed-in method=post><label>Username <input name=user></label><label>Password <input name=password></label>" +
		"<button disabled>Sign in</button></form>", 500); setTimeout(() => document.querySelector("button").disabled = false, 900);</script>`,
	// The second step has the button of the first. What is typed is checked by the service.
	"/two": `<!doctype html><form><label>Username <input id="u"></label><button>Continue</button></form><script>
		let user; document.forms[0].onsubmit = async e => { e.preventDefault();
			if (!user) { user = document.querySelector("#u").value; await fetch("/slow");
				document.forms[0].innerHTML = "<label>Password <input type=password></label><button>Continue</button>"; }
			else { await fetch("/slow"); document.body.innerHTML = "<h1>Hello " + user + "</h1>"; } };</script>`,
	"/disabled": `<!doctype html><button disabled>Sign in</button><fieldset disabled><label>Username <input></label></fieldset>`,
	"/hidden": `<!doctype html><p>To be read</p><p style="display:none">Gone by display</p><p style="visibility:hidden">Gone by visibility</p>
		<div style="opacity:0"><p>Gone by opacity</p></div><p style="position:absolute;left:-9999px">Gone to the left</p>
		<p style="position:absolute;width:1px;height:1px;overflow:hidden">For screen readers</p><div hidden><button>Gone button</button></div>
		<template><p>Gone in a template</p></template><div style="opacity:0"><button>Pale button</button></div>
		<details><summary>More</summary><p>Gone until opened</p></details><input value="Typed in">`,
	"/frame":           `<!doctype html><h1>Outside</h1><iframe src="/plain" style="width:600px;height:300px;margin-top:1500px"></iframe>`,
	"/frame-elsewhere": `<!doctype html><h1>Outside</h1><iframe src="http://localhost:PORT/plain" style="width:600px;height:300px;margin-top:1500px"></iframe>`,
	"/twice":           `<!doctype html><button>Delete</button><button>Delete</button>`,
	"/covered":         `<!doctype html><button>Accept</button><div style="position:fixed;inset:0;background:#fff8"></div>`,
	"/prefer":          `<!doctype html><a href="/plain">Sign in</a><form action="/signed-in"><button>Sign in</button></form>`,
	"/card":            `<!doctype html><div id="c" style="cursor:pointer"><span>Open the card</span></div><script>c.onclick = () => document.body.innerHTML = "Opened"</script>`,
	"/dialog":          `<!doctype html><button onclick="if (confirm('Sure?')) document.body.innerHTML = 'Agreed'">Ask</button>`,
	"/short":           `<!doctype html><label>PIN <input maxlength="4"></label>`,
	"/problems":        `<!doctype html><img src="/missing?token=t0psecret"><script>console.error("it hurts", 7); setTimeout(() => { throw new Error("uncaught") }); fetch("http://127.0.0.1:CLOSED/");</script><script src="http://other.invalid/x.js"></script>`,
}

// serve serves the pages.
func serve(t *testing.T) string {
	t.Helper()
	mux := http.NewServeMux()
	for path, page := range pages {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			if path == "/problems" {
				w.Header().Set("Content-Security-Policy", "script-src 'unsafe-inline'")
				http.SetCookie(w, &http.Cookie{Name: "elsewhere", Value: "t0psecret", Domain: "other.invalid"})
			}
			_, port, _ := net.SplitHostPort(r.Host)
			fmt.Fprint(w, strings.NewReplacer("CLOSED", closedPort(t), "PORT", port).Replace(page))
		})
	}
	mux.HandleFunc("/signed-in", func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "session", Value: url.QueryEscape(r.FormValue("user"))})
		fmt.Fprintf(w, "<!doctype html><p>Signed in as <b>%s</b></p><p>with %d characters</p>", r.FormValue("user"), len(r.FormValue("password")))
	})
	mux.HandleFunc("/kinds-sent", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "<!doctype html>", r.URL.RawQuery) })
	mux.HandleFunc("/slow", func(http.ResponseWriter, *http.Request) { time.Sleep(300 * time.Millisecond) })
	mux.HandleFunc("/whoami", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "<!doctype html>You send %d cookies: %v", len(r.Cookies()), r.Cookies())
	})
	mux.HandleFunc("/authorize", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://app.invalid/callback?code=c0de&state="+r.FormValue("state"), http.StatusFound)
	})
	ended := make(chan struct{})
	mux.HandleFunc("/hangs", func(http.ResponseWriter, *http.Request) { <-ended })
	s := httptest.NewServer(mux)
	t.Cleanup(func() {
		close(ended)
		s.CloseClientConnections()
		s.Close()
	})
	return s.URL
}

// closedPort is a port where nothing answers.
func closedPort(t *testing.T) string {
	t.Helper()
	port, err := freeport.Get()
	if err != nil {
		t.Fatal(err)
	}
	return strconv.Itoa(port)
}
