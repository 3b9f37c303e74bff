package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote"

	"headwater/internal/attest"
	"headwater/internal/cosigntest"
	"headwater/internal/image/imagetest"
)

// trust is whom a cosign is to believe.
type trust struct {
	identity, issuer    string
	root, chain, stamps string // files with certificates
}

// layout is one of cosign's, with the options by which it is verified without a network.
type layout struct {
	name    string
	options func(t *testing.T, w trust) []string
	brief   bool // it differs from another one by its options alone
}

// keylessLayouts are those in which a release of cosign verifies. Both take the roots for bundles from a file that the current one makes.
func keylessLayouts(dir string, current *cosigntest.Cosign) []layout {
	common := func(w trust, more ...string) []string {
		return append([]string{"--certificate-identity", w.identity, "--certificate-oidc-issuer", w.issuer, "--insecure-ignore-sct", "--insecure-ignore-tlog=true", "--use-signed-timestamps"}, more...)
	}
	return []layout{
		{"tags", func(_ *testing.T, w trust) []string {
			return common(w, "--new-bundle-format=false", "--ca-roots", w.root, "--timestamp-certificate-chain", w.stamps)
		}, false},
		{"tags, with a chain", func(_ *testing.T, w trust) []string {
			return common(w, "--new-bundle-format=false", "--certificate-chain", w.chain, "--timestamp-certificate-chain", w.stamps)
		}, true},
		{"bundles", func(t *testing.T, w trust) []string {
			file := filepath.Join(dir, filepath.Base(w.chain)+"-"+filepath.Base(w.stamps)+".json")
			if _, err := os.Stat(file); err == nil {
				return common(w, "--new-bundle-format=true", "--trusted-root", file)
			}
			current.Run(t, dir, "trusted-root", "create", "--out", file, "--fulcio", "url=https://fulcio.example,certificate-chain="+w.chain, "--tsa", "url=https://time.example,certificate-chain="+w.stamps)
			return common(w, "--new-bundle-format=true", "--trusted-root", file)
		}, false},
	}
}

// strangers makes the certificates of authorities that have nothing to do with those that were asked: a root, and a chain for timestamps.
func strangers(t *testing.T, dir string) (roots, stamps string) {
	t.Helper()
	certify := func(c, by *x509.Certificate, key *ecdsa.PrivateKey, with *ecdsa.PrivateKey) []byte {
		der, err := x509.CreateCertificate(rand.Reader, c, by, key.Public(), with)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "stranger"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	usage, err := asn1.Marshal([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 8}})
	if err != nil {
		t.Fatal(err)
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "stranger's time"}, NotBefore: root.NotBefore, NotAfter: root.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true, Value: usage}},
	}
	rootPEM := certificatePEM(certify(root, root, key, key))
	writeFile(t, dir, "stranger.pem", rootPEM)
	writeFile(t, dir, "strangers-time.pem", certificatePEM(certify(leaf, root, key, key))+rootPEM)
	return filepath.Join(dir, "stranger.pem"), filepath.Join(dir, "strangers-time.pem")
}

// What is signed with a certificate for an identity, by the real Fulcio and timestamped by the real authority, both releases of cosign accept
// for that identity and nothing else. The token is told to nobody.
func TestImageIsSignedWithoutAKey(t *testing.T) {
	cosigns, authority := cosigntest.New(t), cosigntest.NewAuthority(t)
	host, dir := registryServer(t, imagetest.New(t), ""), t.TempDir()
	repository := host + "/team/hello"
	pkg, _ := output(t, "build", "--store", sharedStore(t), "../../examples/hello")
	proven := filepath.Join(dir, "proof.json")
	provenOf(t, proven, pkg)
	token := authority.Token(t, "ann@mail.example", time.Hour)
	writeFile(t, dir, "registries.yaml", "registries: 1\nfulcio: "+authority.Fulcio+"\ntimestamp: https://time.example/\n")
	args := []string{
		"image", "-v", "--json", "--store", sharedStore(t), "../../examples/hello", "--push", repository, "--push", host + "/other/hello", "--sign", "keyless", "--timestamp", authority.Timestamp,
		"--sbom", filepath.Join(dir, "hello.cdx.json"), "--sbom", filepath.Join(dir, "hello.spdx.json"), "--proof", proven,
	}
	cmd := headwater(t.Context(), t, args...)
	cmd.Env = append(os.Environ(), tokenVariable+"="+token, "HEADWATER_REGISTRIES="+filepath.Join(dir, "registries.yaml"))
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, &errs)
	}
	var result struct{ Digest, SignedBy, Issuer string }
	if err := json.Unmarshal(out.Bytes(), &result); err != nil || result.SignedBy != "ann@mail.example" || result.Issuer != authority.URL {
		t.Fatalf("result %+v, %v", result, err)
	}
	if !strings.Contains(errs.String(), "with a certificate for ann@mail.example by the word of "+authority.URL) {
		t.Errorf("it does not say who signed: %s", &errs)
	}
	for _, part := range strings.Split(token, ".")[1:] {
		if strings.Contains(out.String()+errs.String(), part) {
			t.Errorf("it tells the token: %s%s", &out, &errs)
		}
	}

	right := trust{"ann@mail.example", authority.URL, authority.Root, authority.Chain, authority.TimestampChain}
	stranger, strangeStamps := strangers(t, dir)
	wrong := []struct {
		name string
		trust
		want string // in what cosign says, a regular expression
	}{
		{"another identity", trust{"bob@mail.example", right.issuer, right.root, right.chain, right.stamps}, "none of the expected identities|expected SAN value"},
		{"another issuer", trust{right.identity, "https://issuer.example", right.root, right.chain, right.stamps}, "none of the expected identities|expected issuer value"},
		{"other roots", trust{right.identity, right.issuer, stranger, stranger, right.stamps}, "signed by unknown authority|leaf certificate verification failed"},
		{"another one's time", trust{right.identity, right.issuer, right.root, right.chain, strangeStamps}, "verify RFC3161 timestamp|verify (signed )?timestamps"},
	}
	// The older release asks a service of others for what the file of roots has too, unless it is told of it; and it does not look for bundles of
	// an image's own signature, but takes what is under the tag.
	older := cosigns[0].With("SIGSTORE_ROOT_FILE="+right.root, "SIGSTORE_TSA_CERTIFICATE_FILE="+right.stamps)
	accepts := func(c *cosigntest.Cosign, l layout, w trust, command string, more ...string) error {
		if c == cosigns[0] && l.name == "bundles" {
			c = older
		}
		_, err := c.Try(t, dir, slices.Concat([]string{command}, l.options(t, w), more)...)
		return err
	}
	commands := func(c *cosigntest.Cosign, l layout) map[string][]string {
		if c == cosigns[0] && l.name == "bundles" {
			return map[string][]string{"verify-attestation": {"--type", "slsaprovenance1"}}
		}
		return map[string][]string{"verify": nil, "verify-attestation": {"--type", "slsaprovenance1"}}
	}
	// What was signed for one image, beside another one; and the same with the digest of that one in place.
	digest, moved, altered := result.Digest, changed(t, repository), changed(t, repository)
	others := []struct{ name, digest, want string }{
		{"another image's", moved, "digest in claim|subject digest|artifact digest"}, {"an altered", altered, "invalid signature|hashed messages don't match|could not verify envelope"},
	}
	refused := func(err error, want string) bool {
		return err != nil && regexp.MustCompile(want).MatchString(err.Error())
	}
	steal(t, repository, digest, moved, func(data []byte) []byte { return data })
	steal(t, repository, digest, altered, forged(digest, altered))
	for _, c := range cosigns {
		for _, l := range keylessLayouts(dir, cosigns[1]) {
			for command, kind := range commands(c, l) {
				for _, at := range []string{repository + "@" + digest, host + "/other/hello:1"} {
					if err := accepts(c, l, right, command, append(slices.Clone(kind), at)...); err != nil {
						t.Errorf("%s, %s: %v", c.Name, l.name, err)
					}
				}
				if l.brief {
					continue
				}
				for _, w := range wrong {
					if err := accepts(c, l, w.trust, command, append(slices.Clone(kind), repository+":1")...); !refused(err, w.want) {
						t.Errorf("%s, %s, %s: %s: %v", c.Name, l.name, command, w.name, err)
					}
				}
				for _, o := range others {
					if err := accepts(c, l, right, command, append(slices.Clone(kind), repository+"@"+o.digest)...); !refused(err, o.want) {
						t.Errorf("%s, %s, %s: %s signature: %v", c.Name, l.name, command, o.name, err)
					}
				}
			}
			if l.brief {
				continue
			}
			for _, kind := range []string{"cyclonedx", "spdxjson", attest.ProofType} {
				if err := accepts(c, l, right, "verify-attestation", "--type", kind, repository+":1"); err != nil {
					t.Errorf("%s, %s: %v", c.Name, l.name, err)
				}
			}
			if err := accepts(c, l, right, "verify-attestation", "--type", "vuln", repository+":1"); err == nil {
				t.Errorf("%s, %s: an attestation of another type is accepted", c.Name, l.name)
			}
		}
	}

	// It is told who is said to have signed, and believed nothing.
	text, o, exit := inspect(t, repository+"@"+digest)
	for _, way := range []attest.Way{attest.ByTag, attest.ByReferrer} {
		if want := "signature, by " + string(way) + ": not by a key that was given; it says it is by ann@mail.example, by the word of " + authority.URL + " (not checked)"; !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	for _, x := range o.Attached {
		if signed := x.Kind != attest.Other; x.Signed != "" || x.Fault != "" || signed != (x.Issued == "ann@mail.example" && x.Issuer == authority.URL) {
			t.Errorf("attached %+v", x)
		}
	}
	if exit != 0 || o.Provenance == nil || o.Provenance.Signed != "" {
		t.Errorf("exit %d, %+v", exit, o.Provenance)
	}
}

// Who cannot sign pushes nothing.
func TestImageThatCannotBeSignedIsNotPushed(t *testing.T) {
	authority, dir := cosigntest.NewAuthority(t), t.TempDir()
	repository := registryServer(t, imagetest.New(t), "") + "/team/hello"
	for _, c := range []struct {
		token, fulcio, timestamp string
		want                     string
		exit                     int
	}{
		{cosigntest.NewIssuer(t).Token(t, "ann@mail.example", time.Hour), authority.Fulcio, authority.Timestamp, "identity token: " + authority.Fulcio + " refuses that of ann@mail.example", exitInput},
		{authority.Token(t, "ann@mail.example", time.Hour), authority.Timestamp, authority.Timestamp, "get certificate from " + authority.Timestamp + ": HTTP status 404", exitEnvironment},
		{authority.Token(t, "ann@mail.example", time.Hour), authority.Fulcio, authority.Fulcio, "get timestamp from " + authority.Fulcio + ": HTTP status 404", exitEnvironment},
	} {
		writeFile(t, dir, "token", c.token+"\n")
		cmd := headwater(t.Context(), t, "image", "--store", sharedStore(t), "../../examples/hello", "--push", repository,
			"--sign", "keyless", "--identity-token", filepath.Join(dir, "token"), "--fulcio", c.fulcio, "--timestamp", c.timestamp)
		said, err := cmd.CombinedOutput()
		if err == nil || cmd.ProcessState.ExitCode() != c.exit || !strings.Contains(string(said), c.want) || !strings.Contains(string(said), "hint: ") {
			t.Errorf("%v\n%s", err, said)
		}
		for _, part := range strings.Split(c.token, ".")[1:] {
			if strings.Contains(string(said), part) {
				t.Errorf("it tells the token: %s", said)
			}
		}
		if _, err := remote.Head(named(t, repository).Tag("1")); err == nil {
			t.Error("it is pushed")
		}
	}
}

func certificatePEM(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}
