package oidc_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"headwater/internal/oidc"
)

// provider is an OpenID Connect provider that does one thing wrong. Its user is signed in already, and agrees to all.
type provider struct {
	fault string
	life  time.Duration // of access tokens
	base  string
	key   *rsa.PrivateKey
	other *rsa.PrivateKey // is not published

	mu      sync.Mutex
	codes   map[string]request
	refresh map[string]bool
	locked  bool // nobody gets in any more
}

// request is an authorization request.
type request struct {
	redirect, nonce, challenge string
	used                       bool
}

const (
	clientID = "shop"
	redirect = "http://app.invalid/callback"
	secret   = "c1ient secret+"
)

// Keys take long to make.
var published, unpublished = sync.OnceValues(newKey), sync.OnceValues(newKey)

func newKey() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) }

func newProvider(t *testing.T, fault string, life time.Duration) *provider {
	t.Helper()
	p := &provider{fault: fault, life: life, codes: map[string]request{}, refresh: map[string]bool{}}
	var err, err2 error
	p.key, err = published()
	p.other, err2 = unpublished()
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", p.discovery)
	mux.HandleFunc("GET /keys", p.keys)
	mux.HandleFunc("GET /authorize", p.authorize)
	mux.HandleFunc("POST /token", p.token)
	mux.HandleFunc("GET /userinfo", p.userinfo)
	mux.HandleFunc("POST /revoke", p.revoke)
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	p.base = s.URL
	return p
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func (p *provider) discovery(w http.ResponseWriter, _ *http.Request) {
	m := map[string]any{
		"issuer": p.base, "authorization_endpoint": p.base + "/authorize", "token_endpoint": p.base + "/token", "jwks_uri": p.base + "/keys",
		"userinfo_endpoint": p.base + "/userinfo", "revocation_endpoint": p.base + "/revoke",
		"code_challenge_methods_supported": []string{"plain", "S256"}, "authorization_response_iss_parameter_supported": true,
	}
	switch p.fault {
	case "discovery: another issuer":
		m["issuer"] = p.base + "/"
	case "discovery: another host":
		m["token_endpoint"] = strings.Replace(p.base, "127.0.0.1", "localhost", 1) + "/token"
	case "discovery: no PKCE":
		delete(m, "code_challenge_methods_supported")
	case "discovery: no token endpoint":
		delete(m, "token_endpoint")
	case "revoke: is not told of":
		delete(m, "revocation_endpoint")
	case "little is offered":
		delete(m, "userinfo_endpoint")
		delete(m, "revocation_endpoint")
		delete(m, "authorization_response_iss_parameter_supported")
	}
	answer(w, http.StatusOK, m)
}

func (p *provider) keys(w http.ResponseWriter, _ *http.Request) {
	var key any = p.key.Public()
	if p.fault == "keys: the private one" {
		key = p.key
	}
	answer(w, http.StatusOK, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key, KeyID: "1", Algorithm: "RS256", Use: "sig"}}})
}

func (p *provider) authorize(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	q := r.URL.Query()
	to := q.Get("redirect_uri")
	registered := to == redirect || p.fault == "authorize: any redirect" || p.fault == "authorize: redirect by prefix" && strings.HasPrefix(to, redirect)
	if !registered || q.Get("client_id") != clientID && p.fault != "authorize: any client" {
		// Some ask people to sign in first, and others say so at once.
		p.locked = p.fault == "authorize: locks people out"
		if p.fault == "authorize: refuses late" || p.locked {
			http.Redirect(w, r, "/sign-in?secret=x", http.StatusFound)
			return
		}
		http.Error(w, "no such client or redirect_uri", http.StatusBadRequest)
		return
	}
	if p.locked {
		http.Error(w, "locked", http.StatusForbidden)
		return
	}
	code := rand.Text()
	p.codes[code] = request{redirect: to, nonce: q.Get("nonce"), challenge: q.Get("code_challenge")}
	back := url.Values{"code": {code}, "state": {q.Get("state")}, "iss": {p.base}}
	switch p.fault {
	case "authorize: of another issuer":
		back.Set("iss", "http://127.0.0.1")
	case "little is offered":
		back.Del("iss")
	case "authorize: denies":
		back = url.Values{"error": {"access_denied"}, "state": {q.Get("state")}}
	case "authorize: no state":
		back.Del("state")
	case "authorize: another state":
		back.Set("state", "other")
	}
	http.Redirect(w, r, to+"?"+back.Encode(), http.StatusFound)
}

func refuse(w http.ResponseWriter, status int, code string) {
	answer(w, status, map[string]string{"error": code, "error_description": "the secret is " + secret})
}

func (p *provider) client(w http.ResponseWriter, r *http.Request) bool {
	id, password, _ := r.BasicAuth()
	id, _ = url.QueryUnescape(id)
	password, _ = url.QueryUnescape(password)
	switch {
	case id != clientID && p.fault != "token: any client":
		refuse(w, http.StatusUnauthorized, "invalid_client")
	case password != secret && p.fault == "token: another error for a wrong secret":
		refuse(w, http.StatusBadRequest, "invalid_request")
	case password != secret && p.fault != "token: any secret":
		refuse(w, http.StatusUnauthorized, "invalid_client")
	default:
		return true
	}
	return false
}

func (p *provider) token(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.client(w, r) {
		return
	}
	if r.FormValue("grant_type") == "refresh_token" {
		p.again(w, r.FormValue("refresh_token"))
		return
	}
	code := r.FormValue("code")
	req, ok := p.codes[code]
	sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
	proven := base64.RawURLEncoding.EncodeToString(sum[:]) == req.challenge ||
		p.fault == "token: any verifier" && r.FormValue("code_verifier") != "" || p.fault == "token: no verifier" && r.FormValue("code_verifier") == ""
	switch {
	case !ok, req.used && p.fault != "token: codes for ever", !proven, r.FormValue("redirect_uri") != req.redirect && p.fault != "token: any redirect":
		refuse(w, http.StatusBadRequest, "invalid_grant")
		return
	}
	req.used = true
	p.codes[code] = req
	out := p.tokens("alice")
	out["id_token"] = p.id(req.nonce, out["access_token"].(string))
	switch p.fault {
	case "token: no ID token":
		delete(out, "id_token")
	case "token: of another type":
		out["token_type"] = "mac"
	case "little is offered":
		delete(out, "refresh_token")
	}
	answer(w, http.StatusOK, out)
}

// tokens are new ones, without the ID token.
func (p *provider) tokens(subject string) map[string]any {
	now := time.Now()
	access := sign(jose.SigningKey{Algorithm: jose.RS256, Key: p.key}, map[string]any{"sub": subject, "exp": now.Add(p.life).UnixNano(), "jti": rand.Text()})
	refresh := rand.Text()
	p.refresh[refresh] = true
	return map[string]any{"access_token": access, "refresh_token": refresh, "token_type": "Bearer", "expires_in": int(p.life.Seconds())}
}

func (p *provider) again(w http.ResponseWriter, refresh string) {
	if !p.refresh[refresh] || p.fault == "refresh: refused" {
		refuse(w, http.StatusBadRequest, "invalid_grant")
		return
	}
	subject := "alice"
	if p.fault == "refresh: for another" {
		subject = "bob"
	}
	if p.fault != "refresh: stays" {
		delete(p.refresh, refresh)
		answer(w, http.StatusOK, p.tokens(subject))
		return
	}
	out := p.tokens(subject)
	delete(out, "refresh_token")
	answer(w, http.StatusOK, out)
}

func sign(key jose.SigningKey, claims any) string {
	signer, err := jose.NewSigner(key, (&jose.SignerOptions{}).WithHeader("kid", "1"))
	if err != nil {
		panic(err)
	}
	s, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		panic(err)
	}
	return s
}

func (p *provider) id(nonce, access string) string {
	now := time.Now()
	hash := sha256.Sum256([]byte(access))
	claims := map[string]any{
		"iss": p.base, "sub": "alice", "aud": clientID, "exp": now.Add(time.Hour).Unix(), "iat": now.Unix(), "nonce": nonce,
		"at_hash": base64.RawURLEncoding.EncodeToString(hash[:16]),
	}
	key := jose.SigningKey{Algorithm: jose.RS256, Key: p.key}
	switch p.fault {
	case "ID token: another issuer":
		claims["iss"] = "http://127.0.0.1"
	case "ID token: for another":
		claims["aud"] = []string{"other"}
	case "ID token: expired":
		claims["exp"] = now.Add(-time.Minute).Unix()
	case "ID token: old":
		claims["iat"] = now.Add(-time.Hour).Unix()
	case "ID token: no nonce":
		delete(claims, "nonce")
	case "ID token: another nonce":
		claims["nonce"] = "other"
	case "ID token: another hash":
		claims["at_hash"] = base64.RawURLEncoding.EncodeToString(hash[16:])
	case "little is offered":
		delete(claims, "at_hash")
	case "ID token: another key":
		key.Key = p.other
	case "ID token: shared key":
		key = jose.SigningKey{Algorithm: jose.HS256, Key: []byte(strings.Repeat(secret, 3))}
	case "ID token: no signature":
		b, err := json.Marshal(claims)
		if err != nil {
			panic(err)
		}
		return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + base64.RawURLEncoding.EncodeToString(b) + "."
	}
	return sign(key, claims)
}

func (p *provider) userinfo(w http.ResponseWriter, r *http.Request) {
	raw := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	var claims struct {
		Subject string `json:"sub"`
		Expiry  int64  `json:"exp"`
	}
	token, err := jose.ParseSignedCompact(raw, []jose.SignatureAlgorithm{jose.RS256})
	var payload []byte
	if err == nil {
		payload, err = token.Verify(p.key.Public())
	}
	if none := strings.HasSuffix(raw, "."); none && p.fault == "userinfo: takes unsigned tokens" || p.fault == "userinfo: takes any token" {
		payload, err = base64.RawURLEncoding.DecodeString(strings.Split(raw, ".")[1])
	}
	if p.fault == "userinfo: takes any token" {
		payload = []byte(`{"sub":"alice","exp":9223372036854775807}`)
	} else if err == nil {
		err = json.Unmarshal(payload, &claims)
	}
	expired := time.Now().UnixNano() > claims.Expiry && p.fault != "userinfo: takes expired tokens" && p.fault != "userinfo: takes any token"
	switch {
	case err != nil || expired:
		if p.fault != "userinfo: no challenge" {
			w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		}
		status := http.StatusUnauthorized
		if p.fault == "userinfo: forbidden" {
			status = http.StatusForbidden
		}
		answer(w, status, nil)
	case p.fault == "userinfo: fails":
		http.Error(w, raw, http.StatusInternalServerError)
	case p.fault == "userinfo: of another":
		answer(w, http.StatusOK, map[string]string{"sub": "bob"})
	default:
		if claims.Subject == "" {
			claims.Subject = "alice"
		}
		answer(w, http.StatusOK, map[string]string{"sub": claims.Subject})
	}
}

func (p *provider) revoke(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.client(w, r) {
		return
	}
	if p.fault == "revoke: fails" {
		http.Error(w, "", http.StatusInternalServerError)
		return
	}
	if p.fault != "revoke: nothing" {
		delete(p.refresh, r.FormValue("token"))
	}
}

// visit is a user's browser that goes to an address, and on to where it is led.
func visit(ctx context.Context, address string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return "", err
	}
	res, err := (&http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	to := res.Header.Get("Location")
	if to == "" || !strings.HasPrefix(to, oidc.Target(address)) {
		return "", errors.New("the page does not go there; it says: " + res.Status + " at " + address)
	}
	return to, nil
}
