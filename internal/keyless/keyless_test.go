package keyless_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/digitorus/timestamp"

	"headwater/internal/attest"
	"headwater/internal/cosigntest"
	"headwater/internal/keyless"
)

var _ attest.Certified = (*keyless.Signer)(nil)

// jwt makes a token that nobody signed.
func jwt(claims string) string {
	enc := base64.RawURLEncoding.EncodeToString
	return enc([]byte(`{"alg":"ES256"}`)) + "." + enc([]byte(claims)) + "." + enc([]byte("a signature that is a secret"))
}

func parse(t testing.TB, text string) *keyless.Token {
	t.Helper()
	token, err := keyless.ParseToken([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// tells tells whether a text has a part of a token.
func tells(text, token string) bool {
	for _, part := range strings.Split(token, ".") {
		if part != "" && strings.Contains(text, part) {
			return true
		}
	}
	return false
}

func TestParseToken(t *testing.T) {
	enc := base64.RawURLEncoding.EncodeToString
	for _, c := range []struct{ text, want string }{ // want is of the token or the error
		{jwt(`{"iss":"https://issuer.example","sub":"7","email":"ann@mail.example","exp":2000000000}`), "identity token of ann@mail.example by https://issuer.example"},
		{" " + jwt(`{"iss":"https://issuer.example","sub":"repo:a/b"}`) + "\n", "identity token of repo:a/b by https://issuer.example"},
		{"", "it is empty"},
		{" \n", "it is empty"},
		{"secret", "it is no JWT"},
		{"secret.secret", "it is no JWT"},
		{"secret.?.secret", "it is no JWT"},
		{"a.b.c.d", "it is no JWT"},
		{enc([]byte("{}")) + "." + enc([]byte("secret")) + ".AAAA", "is not JSON"},
		{jwt(`{"iss":1,"sub":"secret"}`), "is not JSON"},
		{jwt(`{"sub":"secret"}`), "does not claim"},
		{jwt(`{"iss":"https://secret.example"}`), "does not claim"},
		{jwt(`{"iss":"` + strings.Repeat("secret", 6000) + `"}`), "more than 32768 bytes"},
	} {
		token, err := keyless.ParseToken([]byte(c.text))
		if err != nil {
			var fault *keyless.TokenError
			if !errors.As(err, &fault) || !strings.Contains(err.Error(), c.want) || fault.Hint() == "" || strings.Contains(err.Error()+fault.Hint(), "secret") {
				t.Errorf("%.80q: %v", c.text, err)
			}
			continue
		}
		if text := fmt.Sprintf("%v %+v %#v %s", token, token, token, token); !strings.HasPrefix(text, c.want+" ") || tells(text, strings.TrimSpace(c.text)) {
			t.Errorf("%.80q: %s", c.text, text)
		}
	}
	token := parse(t, jwt(`{"iss":"https://issuer.example","sub":"7","exp":2000000000.5}`))
	if err := token.Valid(time.Unix(1999999999, 0)); err != nil {
		t.Error(err)
	}
	var fault *keyless.TokenError
	if err := token.Valid(time.Unix(2000000000, 0)); !errors.As(err, &fault) || !strings.Contains(err.Error(), "that of 7 expired at 2033-05-18T03:33:20Z") {
		t.Errorf("when it has expired: %v", err)
	}
	if err := parse(t, jwt(`{"iss":"https://issuer.example","sub":"7"}`)).Valid(time.Unix(1<<40, 0)); err != nil {
		t.Errorf("where it does not say: %v", err)
	}
}

func TestParseAddress(t *testing.T) {
	for text, want := range map[string]string{
		"https://fulcio.example": "", "http://127.0.0.1:1/a/b": "",
		"fulcio.example": "not of http", "ftp://fulcio.example": "not of http", "https:///x": "not of http", "": "not of http", "/srv": "not of http",
		"https://u:secret@fulcio.example": "has credentials", "https://fulcio.example/?secret": "has a query", "https://fulcio.example/#secret": "has a query",
		"https://u:secret@fulcio.example:port": "does not parse",
	} {
		_, err := keyless.ParseAddress(text)
		if (err == nil) != (want == "") || err != nil && (!errors.As(err, new(*keyless.AddressError)) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret")) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// The real authorities give what a signature is verified by; the certificate authority refuses whom it does not know.
func TestRealAuthorities(t *testing.T) {
	a := cosigntest.NewAuthority(t)
	o := keyless.Options{Fulcio: a.Fulcio + "/", Timestamp: a.Timestamp}
	text := a.Token(t, "ann@mail.example", time.Hour)
	s, err := keyless.New(t.Context(), parse(t, text), o)
	if err != nil {
		t.Fatal(err)
	}
	want := "a certificate for ann@mail.example by the word of " + a.URL
	if printed := fmt.Sprintf("%v %+v %#v %s", s, s, s, s); !strings.HasPrefix(printed, want+" "+want) || tells(printed, text) {
		t.Errorf("printed, it is %s", printed)
	}
	message := []byte("a message")
	sig, err := s.Sign(message)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Chain()[0].CheckSignature(x509.ECDSAWithSHA256, message, sig); err != nil {
		t.Errorf("by the certificate: %v", err)
	}
	answer, err := s.Timestamp(t.Context(), sig)
	if err != nil {
		t.Fatal(err)
	}
	stamp, err := timestamp.ParseResponse(answer)
	if sum := sha256.Sum256(sig); err != nil || !bytes.Equal(stamp.HashedMessage, sum[:]) {
		t.Errorf("the timestamp is of %x, %v", stamp.HashedMessage, err)
	}

	expired, stranger := a.Token(t, "ann@mail.example", -time.Hour), cosigntest.NewIssuer(t).Token(t, "ann@mail.example", time.Hour)
	long := o
	long.Now = func() time.Time { return time.Now().Add(-2 * time.Hour) } // so that it is sent
	for _, c := range []struct {
		name, token, want string
		o                 keyless.Options
	}{
		{"expired", expired, "that of ann@mail.example expired at ", o},
		{"expired, by a clock that is late", expired, "HTTP status 400 (Bad Request)", long},
		{"of an issuer that is not known", stranger, "HTTP status 400 (Bad Request)", o},
		{"altered", text[:len(text)-4] + "AAAA", "HTTP status 400 (Bad Request)", o},
	} {
		_, err := keyless.New(t.Context(), parse(t, c.token), c.o)
		var fault *keyless.TokenError
		if !errors.As(err, &fault) || !strings.Contains(err.Error(), c.want) || fault.Hint() == "" || tells(err.Error()+fault.Hint(), c.token) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// fake is both authorities. It answers by default as the real ones do.
type fake struct {
	t        testing.TB
	root     *x509.Certificate
	key      *ecdsa.PrivateKey // the root's
	asked    map[string]int    // by path
	deadline time.Duration     // 0: the default
	headers  []http.Header

	template func(*x509.Certificate) // alters the certificate before it is signed
	subject  string                  // of whose name the proof is to be
	public   crypto.PublicKey        // for whom it is; nil: who asks
	above    *x509.Certificate       // what comes after it; nil: the root
	certify  http.HandlerFunc        // in place of an answer
	stamp    func(*timestamp.Timestamp)
	stamper  func(*x509.Certificate)
	answer   func([]byte) []byte // alters the timestamp
	time     http.HandlerFunc    // in place of an answer
}

func newFake(t testing.TB) *fake {
	f := &fake{t: t, asked: map[string]int{}, subject: "ann@mail.example"}
	var err error
	if f.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	f.root = f.signed(root, root, &f.key.PublicKey)
	return f
}

func (f *fake) signed(c, by *x509.Certificate, key crypto.PublicKey) *x509.Certificate {
	der, err := x509.CreateCertificate(rand.Reader, c, by, key, f.key)
	if err != nil {
		f.t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		f.t.Fatal(err)
	}
	return parsed
}

// RoundTrip implements http.RoundTripper, without a network.
func (f *fake) RoundTrip(req *http.Request) (*http.Response, error) {
	f.asked[req.URL.Path]++
	f.headers = append(f.headers, req.Header)
	w := httptest.NewRecorder()
	handle := f.giveCertificate
	if req.URL.Host == "time.example" {
		handle = f.giveTime
	}
	handle(w, req)
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	resp := w.Result()
	resp.Request = req
	return resp, nil
}

func inPEM(c *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
}

func (f *fake) giveCertificate(w http.ResponseWriter, req *http.Request) {
	if f.certify != nil {
		f.certify(w, req)
		return
	}
	var request struct {
		PublicKeyRequest struct {
			PublicKey         struct{ Content string }
			ProofOfPossession []byte
		}
	}
	if err := json.NewDecoder(req.Body).Decode(&request); err != nil {
		f.t.Fatal(err)
	}
	block, _ := pem.Decode([]byte(request.PublicKeyRequest.PublicKey.Content))
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		f.t.Fatal(err)
	}
	if sum := sha256.Sum256([]byte(f.subject)); !ecdsa.VerifyASN1(key.(*ecdsa.PublicKey), sum[:], request.PublicKeyRequest.ProofOfPossession) {
		status(http.StatusBadRequest, "the signature could not be verified")(w, req)
		return
	}
	if f.public != nil {
		key = f.public
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(10 * time.Minute), EmailAddresses: []string{"ann@mail.example"},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	}
	if f.template != nil {
		f.template(c)
	}
	above := f.root
	if f.above != nil {
		above = f.above
	}
	answer(f.t, w, inPEM(f.signed(c, f.root, key)), inPEM(above))
}

// answer answers with certificates.
func answer(t testing.TB, w io.Writer, chain ...string) {
	if err := json.NewEncoder(w).Encode(map[string]any{"signedCertificateEmbeddedSct": map[string]any{"chain": map[string]any{"certificates": chain}}}); err != nil {
		t.Fatal(err)
	}
}

func (f *fake) giveTime(w http.ResponseWriter, req *http.Request) {
	if f.time != nil {
		f.time(w, req)
		return
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	question, err := timestamp.ParseRequest(body)
	if err != nil {
		f.t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(3), NotBefore: f.root.NotBefore, NotAfter: f.root.NotAfter, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping},
	}
	if f.stamper != nil {
		f.stamper(c)
	}
	stamp := &timestamp.Timestamp{
		HashAlgorithm: question.HashAlgorithm, HashedMessage: question.HashedMessage, Nonce: question.Nonce, Time: time.Now(), Policy: asn1.ObjectIdentifier{1, 2, 3},
		AddTSACertificate: question.Certificates,
	}
	if f.stamp != nil {
		f.stamp(stamp)
	}
	data, err := stamp.CreateResponseWithOpts(f.signed(c, f.root, &f.key.PublicKey), f.key, crypto.SHA256)
	if err != nil {
		f.t.Fatal(err)
	}
	if f.answer != nil {
		data = f.answer(data)
	}
	if _, err := w.Write(data); err != nil {
		f.t.Fatal(err)
	}
}

const annToken = `{"iss":"https://issuer.example","sub":"7","email":"ann@mail.example"}`

func (f *fake) options() keyless.Options {
	return keyless.Options{
		Fulcio: "https://fulcio.example", Timestamp: "https://time.example/tsr", HTTP: f, Deadline: f.deadline,
		Wait:      func(context.Context, time.Duration) error { return nil },
		Authorize: func(u *url.URL) (string, error) { return "for " + u.String(), nil },
	}
}

// sign signs with what a fake gives.
func (f *fake) sign() error {
	s, err := keyless.New(f.t.Context(), parse(f.t, jwt(annToken)), f.options())
	if err != nil {
		return err
	}
	_, err = s.Timestamp(f.t.Context(), []byte("data"))
	return err
}

func status(code int, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, text, code) }
}

// endless never ends, as far as a test can wait for that.
func endless(w http.ResponseWriter, _ *http.Request) {
	_, _ = w.Write(bytes.Repeat([]byte("x"), 4<<20))
}

// What an authority that lies or fails answers is not signed with; what may pass is tried again, and nothing else.
func TestFalseAuthorities(t *testing.T) {
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	token := jwt(annToken)
	second := strings.Split(token, ".")[1]
	for _, c := range []struct {
		name  string
		alter func(*fake)
		want  string // of the error, "" for none
		hint  string
		tries int // of what went wrong
	}{
		{"all is well", func(*fake) {}, "", "", 1},
		{"a subject that is no address", func(f *fake) { f.subject = "7" }, "", "", 2},
		{"a subject that the token does not have", func(f *fake) { f.subject = "8" }, "refuses that of ann@mail.example", "Get a new one", 2},
		{"another key", func(f *fake) { f.public = &other.PublicKey }, "get certificate from https://fulcio.example: its certificate is for another key", "look at what answers there", 1},
		{"expired", func(f *fake) {
			f.template = func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Second) }
		}, "its certificate expired at", "look at what", 1},
		{"an authority itself", func(f *fake) {
			f.template = func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true }
		}, "not for signing code", "look at what", 1},
		{"for something else", func(f *fake) {
			f.template = func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }
		}, "not for signing code", "look at what", 1},
		{"a chain that is none", func(f *fake) { f.above = newFake(t).root }, "certificate 1 is not signed by the next one", "look at what", 1},
		{"no certificate", func(f *fake) { f.certify = func(w http.ResponseWriter, _ *http.Request) { answer(t, w) } }, "its answer has 0 certificates", "look at what", 1},
		{"many", func(f *fake) {
			f.certify = func(w http.ResponseWriter, _ *http.Request) { answer(t, w, make([]string, 11)...) }
		}, "its answer has 11 certificates", "look at what", 1},
		{"no PEM", func(f *fake) { f.certify = func(w http.ResponseWriter, _ *http.Request) { answer(t, w, "x") } }, "certificate 1 is not one in PEM", "look at what", 1},
		{"no certificate in PEM", func(f *fake) {
			f.certify = func(w http.ResponseWriter, _ *http.Request) {
				answer(t, w, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
			}
		}, "certificate 1 does not parse", "look at what", 1},
		{"no JSON", func(f *fake) { f.certify = status(200, "<html>") }, "its answer is not JSON", "look at what", 1},
		{"endless", func(f *fake) { f.certify = endless }, "its answer has more than 1048576 bytes", "look at what", 1},
		{"silent", func(f *fake) {
			f.deadline, f.certify = time.Millisecond, func(_ http.ResponseWriter, req *http.Request) { <-req.Context().Done() }
		}, "no whole answer within", "is the address right", 3},
		{"fails", func(f *fake) { f.certify = status(500, `{"code":13,"message":"out of certificates"}`) }, `HTTP status 500 (Internal Server Error): "out of certificates"`, "the fault is at the server", 3},
		{"fails once", func(f *fake) {
			f.certify = func(w http.ResponseWriter, req *http.Request) {
				f.certify = nil
				status(503, "busy")(w, req)
			}
		}, "", "", 2},
		{"fails, and repeats the token", func(f *fake) { f.certify = status(500, "what is "+token) }, "HTTP status 500 (Internal Server Error)", "the fault is", 3},
		{"fails, and repeats a part of the token", func(f *fake) { f.certify = status(500, `{"message":"what is `+second+`"}`) }, "HTTP status 500 (Internal Server Error)", "the fault is", 3},
		{"fails, and repeats a piece of the token", func(f *fake) { f.certify = status(500, "what is "+second[:40]+" for") }, `(Internal Server Error): "what is … for"`, "the fault is", 3},
		{"refuses, and repeats the token", func(f *fake) { f.certify = status(401, `{"message":"bad", "token":"`+token+`"}`) }, "refuses that of ann@mail.example by https://issuer.example: HTTP status 401 (Unauthorized)", "Get a new one", 1},
		{"controls a terminal", func(f *fake) { f.certify = status(400, "\x1b[2J") }, "HTTP status 400 (Bad Request)", "Get a new one", 2},
		{"talks much", func(f *fake) { f.certify = status(400, strings.Repeat("much ", 1000)) }, "much …\"", "Get a new one", 2},
		{"redirects", func(f *fake) {
			f.certify = func(w http.ResponseWriter, req *http.Request) {
				http.Redirect(w, req, "https://other.example/", http.StatusTemporaryRedirect)
			}
		}, "HTTP status 307 (Temporary Redirect)", "redirects are not followed", 1},
		{"is something else", func(f *fake) { f.certify = status(404, "no such page") }, "HTTP status 404 (Not Found): \"no such page\"", "is the address right", 1},

		{"time: of something else", func(f *fake) {
			f.stamp = func(s *timestamp.Timestamp) { s.HashedMessage = make([]byte, 32) }
		}, "get timestamp from https://time.example/tsr: its timestamp is of something else", "look at what", 1},
		{"time: by another sum", func(f *fake) {
			f.stamp = func(s *timestamp.Timestamp) { s.HashAlgorithm = crypto.SHA384 }
		}, "its timestamp is of something else", "look at what", 1},
		{"time: another nonce", func(f *fake) {
			f.stamp = func(s *timestamp.Timestamp) { s.Nonce = big.NewInt(1) }
		}, "answers another question", "look at what", 1},
		{"time: no nonce", func(f *fake) { f.stamp = func(s *timestamp.Timestamp) { s.Nonce = nil } }, "answers another question", "look at what", 1},
		{"time: no certificate", func(f *fake) {
			f.stamp = func(s *timestamp.Timestamp) { s.AddTSACertificate = false }
		}, "no certificate for timestamps with it", "look at what", 1},
		{"time: a certificate for something else", func(f *fake) {
			f.stamper = func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning} }
		}, "no certificate for timestamps with it", "look at what", 1},
		{"time: late", func(f *fake) {
			f.stamp = func(s *timestamp.Timestamp) { s.Time = time.Now().Add(time.Hour) }
		}, "the certificate for the key lives from", "the clock of one of the two", 1},
		{"time: early", func(f *fake) {
			f.stamp = func(s *timestamp.Timestamp) { s.Time = time.Now().Add(-time.Hour) }
		}, "the certificate for the key lives from", "the clock of one of the two", 1},
		{"time: altered", func(f *fake) {
			f.answer = func(data []byte) []byte { return append(data[:len(data)-8:len(data)-8], make([]byte, 8)...) }
		}, "its answer is no timestamp", "look at what", 1},
		{"time: none", func(f *fake) { f.time = status(200, "<html>") }, "its answer is no timestamp", "look at what", 1},
		{"time: endless", func(f *fake) { f.time = endless }, "more than 65536 bytes", "look at what", 1},
		{"time: fails", func(f *fake) { f.time = status(502, "") }, "HTTP status 502 (Bad Gateway)", "the fault is at the server", 3},
		{"time: wants credentials", func(f *fake) { f.time = status(401, "") }, "HTTP status 401 (Unauthorized)", "~/.netrc", 1},
	} {
		f := newFake(t)
		c.alter(f)
		err := f.sign()
		if c.want == "" {
			if err != nil || f.asked["/api/v2/signingCert"] != c.tries || f.asked["/tsr"] != 1 {
				t.Errorf("%s: %v after %v", c.name, err, f.asked)
			}
			continue
		}
		var hinted interface{ Hint() string }
		if !errors.As(err, &hinted) || !strings.Contains(err.Error(), c.want) || !strings.Contains(hinted.Hint(), c.hint) || tells(err.Error()+hinted.Hint(), token) || strings.ContainsRune(err.Error(), '\x1b') || len(err.Error()) > 600 {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		path := "/api/v2/signingCert"
		if strings.HasPrefix(c.name, "time: ") {
			path = "/tsr"
		}
		if f.asked[path] != c.tries || path == "/api/v2/signingCert" && f.asked["/tsr"] != 0 {
			t.Errorf("%s: asked %v", c.name, f.asked)
		}
	}
}

// The token goes to the certificate authority and nobody else; who is asked for the time gets the credentials for that address.
func TestWhoGetsTheToken(t *testing.T) {
	f := newFake(t)
	if err := f.sign(); err != nil {
		t.Fatal(err)
	}
	if len(f.headers) != 2 || f.headers[0].Get("Authorization") != "Bearer "+jwt(annToken) || f.headers[1].Get("Authorization") != "for https://time.example/tsr" || f.headers[1].Get("User-Agent") != "headwater" {
		t.Errorf("asked with %v", f.headers)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stop")
	f.certify = func(w http.ResponseWriter, req *http.Request) {
		cancel(stop)
		status(500, "")(w, req)
	}
	if _, err := keyless.New(ctx, parse(t, jwt(annToken)), f.options()); !errors.Is(err, stop) || f.asked["/api/v2/signingCert"] != 2 {
		t.Errorf("cancelled: %v after %v", err, f.asked)
	}
}

// Where nobody listens, that is told, with the address.
func TestNobodyListens(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	s.Close()
	o := newFake(t).options()
	o.Fulcio, o.HTTP = s.URL, nil
	var fault *keyless.Error
	_, err := keyless.New(t.Context(), parse(t, jwt(annToken)), o)
	if !errors.As(err, &fault) || !strings.Contains(err.Error(), "get certificate from "+s.URL+": dial tcp ") || fault.Hint() == "" {
		t.Error(err)
	}
}

// Whatever a token is, reading it ends with one, which does not show, or a TokenError.
func FuzzParseToken(f *testing.F) {
	f.Add([]byte(jwt(annToken)))
	f.Add([]byte(jwt(`{"iss":"a","sub":"b","exp":1e300}`)))
	f.Fuzz(func(t *testing.T, data []byte) {
		token, err := keyless.ParseToken(data)
		if err != nil {
			if !errors.As(err, new(*keyless.TokenError)) {
				t.Error(err)
			}
			return
		}
		_ = token.Valid(time.Now())
		if part := strings.Split(strings.TrimSpace(string(data)), ".")[2]; len(part) > 20 && strings.Contains(token.String(), part) {
			t.Error(token)
		}
	})
}

// Whatever authorities answer, reading it ends, and nothing is signed with it.
func FuzzAnswers(f *testing.F) {
	good := newFake(f)
	var stamp []byte
	good.answer = func(data []byte) []byte { stamp = data; return data }
	if err := good.sign(); err != nil {
		f.Fatal(err)
	}
	var certificates bytes.Buffer
	answer(f, &certificates, inPEM(good.root), inPEM(good.root))
	f.Add(certificates.Bytes(), stamp)
	f.Add([]byte(`{"signedCertificateDetachedSct":{"chain":{"certificates":["x"]}}}`), bytes.Repeat([]byte{0x30, 0x80}, 1000))
	f.Fuzz(func(t *testing.T, certificates, stamp []byte) {
		write := func(data []byte) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(data) }
		}
		a := &fake{t: t, asked: map[string]int{}, root: good.root, key: good.key, subject: good.subject, certify: write(certificates)}
		if err := a.sign(); !errors.As(err, new(*keyless.Error)) {
			t.Errorf("certificates: %v", err)
		}
		a.certify, a.time = nil, write(stamp)
		if err := a.sign(); !errors.As(err, new(*keyless.Error)) {
			t.Errorf("timestamp: %v", err)
		}
	})
}
