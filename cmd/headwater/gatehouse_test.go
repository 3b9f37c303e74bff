package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"headwater/internal/freeport"
	"headwater/internal/proctest"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/oauth2"
)

// gatehouse is a copy of the example, which a test may change, on a port of its own.
type gatehouse struct {
	dir   string // where headwater.yaml is
	src   string // the upstream's tree
	port  int
	store string
}

func newGatehouse(t *testing.T) gatehouse {
	t.Helper()
	examples := filepath.Join(t.TempDir(), "examples")
	if err := os.CopyFS(examples, os.DirFS("../../examples")); err != nil {
		t.Fatal(err)
	}
	g := gatehouse{
		dir: filepath.Join(examples, "homelab/gatehouse"), src: filepath.Join(examples, "gatehouse"),
		port: freePort(t), store: sharedStore(t),
	}
	g.edit(t, filepath.Join(g.dir, recipeFile), func(s string) string { return strings.ReplaceAll(s, "9000", strconv.Itoa(g.port)) })
	return g
}

func freePort(t *testing.T) int {
	t.Helper()
	port, err := freeport.Get()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func (g gatehouse) edit(t *testing.T, file string, change func(string) string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(change(string(b))), 0o644); err != nil {
		t.Fatal(err)
	}
}

// build builds and tells the package's path and what was made for it.
func (g gatehouse) build(t *testing.T) (string, []string) {
	t.Helper()
	out, progress := output(t, "build", "--json", "--store", g.store, g.dir)
	var result struct{ Path string }
	if err := json.Unmarshal([]byte(out), &result); err != nil {
		t.Fatal(err)
	}
	list := made(t, progress)
	slices.Sort(list)
	return result.Path, list
}

// What is built after a change is what the change concerns, and nothing else. The changes are new in each run, since the store
// knows those of earlier ones.
func TestGatehouseRebuildsWhatChanged(t *testing.T) {
	g := newGatehouse(t)
	g.build(t)
	nonce := rand.Text()
	for _, c := range []struct {
		name, file, line string
		want             []string
	}{
		{"nothing", "", "", nil},
		{"a file that no component uses", "README.md", nonce, nil},
		{"a Django view", "backend/gatehouse/api/views.py", "# " + nonce, []string{"build backend", "package gatehouse 1.4.0", "src source of backend"}},
		{"the API's schema", "schema.yml", "# " + nonce, []string{
			"build client-go", "build client-typescript", "build gatehouse-server", "build web", "package gatehouse 1.4.0",
			"src source of client-go", "src source of client-typescript",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			before, _ := g.build(t)
			if c.file != "" {
				g.edit(t, filepath.Join(g.src, c.file), func(s string) string { return s + c.line + "\n" })
			}
			after, made := g.build(t)
			if diff := cmp.Diff(c.want, made, cmp.Transformer("none", func(s []string) []string { return append([]string{}, s...) })); diff != "" {
				t.Error(diff)
			}
			if (before == after) != (c.want == nil) {
				t.Errorf("the package was %s and is %s", before, after)
			}
		})
	}
}

// A lock of what is locked already is the same bytes.
func TestGatehouseLocksTheSameAgain(t *testing.T) {
	g := newGatehouse(t)
	file := filepath.Join(g.dir, lockFile)
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	output(t, "lock", "--store", g.store, g.dir)
	after, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before, after) {
		t.Error(cmp.Diff(string(before), string(after)))
	}
}

// The recipe is what plan writes, but for how people sign in and what is checked: planned from nothing, with the browser's root, it fits the
// committed lock and comes to the same derivations.
func TestGatehouseFromItsPlan(t *testing.T) {
	g := newGatehouse(t)
	want, _ := output(t, "graph", "--json", "../../examples/homelab/gatehouse")
	before, err := os.ReadFile(filepath.Join(g.dir, lockFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{recipeFile, planFile} {
		if err := os.Remove(filepath.Join(g.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	output(t, "plan", g.src, "-o", g.dir)
	g.edit(t, filepath.Join(g.dir, recipeFile), func(s string) string {
		return strings.Replace(s, "\nroots:\n", "\nroots:\n  chromium: {suites: [trixie], packages: [chromium-headless-shell, fonts-dejavu-core]}\n", 1)
	})
	output(t, "lock", "--store", g.store, g.dir)
	after, err := os.ReadFile(filepath.Join(g.dir, lockFile))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before, after) {
		t.Error(cmp.Diff(string(before), string(after)))
	}
	got, _ := output(t, "graph", "--json", g.dir)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// The service runs, people sign in, and OAuth2 and OpenID Connect work with a client library; Ctrl-C leaves nothing.
func TestGatehouseRuns(t *testing.T) {
	g := newGatehouse(t)
	state := filepath.Join(t.TempDir(), "state")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	r := startRun(ctx, t, "--store", g.store, "--state", state, "--env", fmt.Sprint("GATEHOUSE_LISTEN=0.0.0.0:", g.port), g.dir)
	t.Log(r.said)
	password := regexp.MustCompile(`password (\S+)`).FindStringSubmatch(r.said)
	base := "http://127.0.0.1:" + strconv.Itoa(g.port)
	if password == nil || !strings.Contains(r.said, base) {
		t.Errorf("run did not say where the service is and how to sign in\n%s", r.progress.String())
	} else {
		(&relyingParty{base: base, user: "admin", password: password[1]}).check(t)
	}
	r.interrupt(t)
	if strings.Contains(r.progress.String(), password[1]) {
		t.Error("the password stands in the logs")
	}
	for _, pid := range processesOf(t, state) {
		t.Errorf("process %s is left", pid)
	}
}

// processesOf lists processes that have state in their arguments.
func processesOf(t *testing.T, state string) []string {
	t.Helper()
	pids, err := proctest.With(state)
	if err != nil {
		t.Fatal(err)
	}
	return pids
}

// relyingParty uses the service as a browser and as an application that signs people in through it.
type relyingParty struct {
	base, user, password string
	browser              *http.Client
}

func (p *relyingParty) check(t *testing.T) {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	// Redirects to the application end the browser's way: nothing listens there.
	p.browser = &http.Client{Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if r.URL.Host == "app.invalid" {
			return http.ErrUseLastResponse
		}
		return nil
	}}
	if page := p.get(t, "/"); !strings.Contains(page, "<html") {
		t.Errorf("the page is no page: %s", page)
	}
	p.signIn(t)
	config, provider := p.register(t)
	token := p.authorize(t, config)
	p.judge(t, config, provider, token)
}

func (p *relyingParty) get(t *testing.T, path string) string {
	t.Helper()
	res, err := p.browser.Get(p.base + path)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s %v\n%s", path, res.Status, err, b)
	}
	return string(b)
}

// post sends JSON as the page's script does and reads the answer into out.
func (p *relyingParty) post(path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequest(http.MethodPost, p.base+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	for _, c := range p.browser.Jar.Cookies(req.URL) {
		if c.Name == "gatehouse_csrf" {
			req.Header.Set("X-CSRFToken", c.Value)
		}
	}
	res, err := p.browser.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode/100 != 2 {
		err = fmt.Errorf("POST %s: %s: %s", path, res.Status, b)
	}
	return errors.Join(err, json.Unmarshal(b, out))
}

func (p *relyingParty) signIn(t *testing.T) {
	t.Helper()
	p.get(t, "/api/v1/session/") // brings the CSRF cookie
	var answer any
	if err := p.post("/api/v1/session/", map[string]string{"username": p.user, "password": "wrong"}, &answer); err == nil {
		t.Error("a wrong password was taken")
	}
	if err := p.post("/api/v1/session/", map[string]string{"username": p.user, "password": p.password}, &answer); err != nil {
		t.Fatal(err)
	}
}

// register makes an OAuth2 client and reads the discovery document.
func (p *relyingParty) register(t *testing.T) (*oauth2.Config, *oidc.Provider) {
	t.Helper()
	provider, err := oidc.NewProvider(t.Context(), p.base)
	if err != nil {
		t.Fatal(err)
	}
	var client struct {
		ID     string `json:"client_id"`
		Secret string `json:"client_secret"`
	}
	const callback = "http://app.invalid/callback"
	err = p.post("/api/v1/applications/", map[string]any{"name": "test", "redirect_uris": []string{callback}, "skip_consent": true}, &client)
	if err != nil {
		t.Fatal(err)
	}
	return &oauth2.Config{ClientID: client.ID, ClientSecret: client.Secret, Endpoint: provider.Endpoint(), RedirectURL: callback,
		Scopes: []string{oidc.ScopeOpenID, "profile", "email"}}, provider
}

// code goes through the browser's part of the authorization code flow.
func (p *relyingParty) code(t *testing.T, config *oauth2.Config, verifier string) string {
	t.Helper()
	res, err := p.browser.Get(config.AuthCodeURL("state", oauth2.S256ChallengeOption(verifier), oidc.Nonce("nonce")))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	to, err := url.Parse(res.Header.Get("Location"))
	if err != nil || to.Query().Get("code") == "" || to.Query().Get("state") != "state" {
		b, _ := io.ReadAll(res.Body)
		t.Fatalf("no code: %s to %v, %v\n%s", res.Status, to, err, b)
	}
	return to.Query().Get("code")
}

// authorize gets tokens; a code with another verifier and a code that was used are refused.
func (p *relyingParty) authorize(t *testing.T, config *oauth2.Config) *oauth2.Token {
	t.Helper()
	verifier := oauth2.GenerateVerifier()
	if _, err := config.Exchange(t.Context(), p.code(t, config, verifier), oauth2.VerifierOption(oauth2.GenerateVerifier())); err == nil {
		t.Error("another verifier was taken")
	}
	code := p.code(t, config, verifier)
	token, err := config.Exchange(t.Context(), code, oauth2.VerifierOption(verifier))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := config.Exchange(t.Context(), code, oauth2.VerifierOption(verifier)); err == nil {
		t.Error("a code was taken twice")
	}
	return token
}

// judge checks the ID token's signature and claims, userinfo and refresh.
func (p *relyingParty) judge(t *testing.T, config *oauth2.Config, provider *oidc.Provider, token *oauth2.Token) {
	t.Helper()
	raw, _ := token.Extra("id_token").(string)
	id, err := provider.Verifier(&oidc.Config{ClientID: config.ClientID}).Verify(t.Context(), raw)
	if err != nil {
		t.Fatal(err)
	}
	if id.Nonce != "nonce" {
		t.Errorf("nonce %q", id.Nonce)
	}
	// After a code was used twice a server may revoke what it gave for it, so refresh starts from a sign-in of its own.
	verifier := oauth2.GenerateVerifier()
	token, err = config.Exchange(t.Context(), p.code(t, config, verifier), oauth2.VerifierOption(verifier))
	if err != nil {
		t.Fatal(err)
	}
	refreshed, err := config.TokenSource(t.Context(), &oauth2.Token{RefreshToken: token.RefreshToken}).Token()
	if err != nil {
		t.Fatal(err)
	}
	if refreshed.AccessToken == token.AccessToken {
		t.Error("refreshing gave the same token")
	}
	info, err := provider.UserInfo(t.Context(), oauth2.StaticTokenSource(refreshed))
	if err != nil {
		t.Fatal(err)
	}
	if info.Subject != id.Subject {
		t.Errorf("userinfo is of %q, the ID token of %q", info.Subject, id.Subject)
	}
}

// gatehouse is proven, as an ordinary user, in a real browser, with nothing installed.
func TestGatehouseIsProven(t *testing.T) {
	file := filepath.Join(t.TempDir(), "proof.json")
	// Machines that run tests are busy with others.
	v := runVerify(t, "--wait", "5m", "--max-migrate", "10m", "--max-check", "5m", "--max-time", "30m", "--proof", file,
		"-e", "GATEHOUSE_ACCESS_TOKEN_SECONDS=9", "../../examples/homelab/gatehouse") // so that an expired one is tried
	if v.exit != 0 {
		t.Fatalf("exit %d: %q: %+v\n%s", v.exit, v.first().Name, v.first().Failure, v.stderr)
	}
	kinds, findings, shots := map[string]int{}, 0, 0
	for _, c := range v.record.Checks {
		kinds[c.Kind]++
		findings += len(c.Findings)
		for _, f := range c.Findings {
			if strings.Contains(f.Seen, "not tried") && strings.Contains(f.Name, "expired") {
				t.Errorf("%s: %s", f.Name, f.Seen)
			}
		}
		for _, s := range c.Shots {
			shots++
			png, err := os.ReadFile(filepath.Join(strings.TrimSuffix(file, ".json")+".screenshots", s.SHA256+".png"))
			if sum := sha256.Sum256(png); err != nil || hex.EncodeToString(sum[:]) != s.SHA256 {
				t.Errorf("screenshot %q: %v", s.Title, err)
			}
		}
	}
	for kind, least := range map[string]int{"migrate": 2, "health": 2, "browser": 4, "request": 6, "oauth2": 2, "stop": 2, "process": 2, "audit": 3} {
		if kinds[kind] < least {
			t.Errorf("%d checks of kind %s, want %d", kinds[kind], kind, least)
		}
	}
	if findings < 20 || shots < 6 || len(v.record.Processes) != 2 {
		t.Errorf("%d findings, %d screenshots, processes %+v", findings, shots, v.record.Processes)
	}
}
