package attest_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	provenancev1 "github.com/in-toto/attestation/go/predicates/provenance/v1"
	intoto "github.com/in-toto/attestation/go/v1"
	"github.com/secure-systems-lab/go-securesystemslib/encrypted"
	"google.golang.org/protobuf/encoding/protojson"

	"headwater/internal/artifact"
	"headwater/internal/attest"
	"headwater/internal/dag"
	"headwater/internal/image"
	"headwater/internal/lock"
	"headwater/internal/nix"
	"headwater/internal/proof"
	"headwater/internal/sbom"
)

// secret is the password of the tests' keys.
const secret = "open sesame"

// pkcs8 makes a private key.
func pkcs8(t testing.TB, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func ecKey(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newKey(t testing.TB) *attest.Key {
	t.Helper()
	key, err := attest.ParseKey(pemOf("PRIVATE KEY", pkcs8(t, ecKey(t, elliptic.P256()))), "")
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestParseKey(t *testing.T) {
	ec := ecKey(t, elliptic.P256())
	der := pkcs8(t, ec)
	locked, err := encrypted.Encrypt(der, []byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(&ec.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, password string
		data           []byte
		want           string // of the error
	}{
		{"cosign's", secret, pemOf("ENCRYPTED SIGSTORE PRIVATE KEY", locked), ""},
		{"cosign's as it once was", secret, pemOf("ENCRYPTED COSIGN PRIVATE KEY", locked), ""},
		{"PKCS #8", "", pemOf("PRIVATE KEY", der), ""},
		{"another password", "x" + secret, pemOf("ENCRYPTED SIGSTORE PRIVATE KEY", locked), "password does not open it"},
		{"a damaged file", secret, pemOf("ENCRYPTED SIGSTORE PRIVATE KEY", locked[:40]), "password does not open it"},
		{"not encrypted", secret, pemOf("ENCRYPTED SIGSTORE PRIVATE KEY", der), "password does not open it"},
		{"no PKCS #8", "", pemOf("PRIVATE KEY", der[1:]), "no PKCS #8"},
		{"SEC 1", "", pemOf("EC PRIVATE KEY", der), `"EC PRIVATE KEY"`},
		{"a public key", "", pemOf("PUBLIC KEY", public), "public key"},
		{"RSA", "", pemOf("PRIVATE KEY", pkcs8(t, other)), "another kind"},
		{"another curve", "", pemOf("PRIVATE KEY", pkcs8(t, ecKey(t, elliptic.P384()))), "ECDSA with P-384"},
		{"no PEM", "", der, "no PEM"},
	} {
		key, err := attest.ParseKey(c.data, c.password)
		if c.want != "" {
			var fault *attest.KeyError
			if !errors.As(err, &fault) || !strings.Contains(err.Error(), c.want) || fault.Hint() == "" || strings.Contains(err.Error()+fault.Hint(), secret) {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		again, err := attest.ParsePublicKey(key.Public().PEM())
		if err != nil || !again.Equal(key.Public()) || again.ID() != key.Public().ID() {
			t.Errorf("%s: its public key read again is another one, %v", c.name, err)
		}
		number := ec.D.String()
		if text := fmt.Sprintf("%v %+v %#v %s", key, key, key, key); strings.Contains(text, number[:20]) {
			t.Errorf("%s: printed, it tells %s", c.name, text)
		}
	}
	for _, data := range [][]byte{nil, pemOf("PRIVATE KEY", der), pemOf("PUBLIC KEY", der)} {
		if _, err := attest.ParsePublicKey(data); !errors.As(err, new(*attest.KeyError)) {
			t.Errorf("as a public key: %v", err)
		}
	}
}

// place is a repository with an image in it.
type place struct {
	ref    image.Ref
	image  v1.Image
	digest v1.Hash
	*image.Repository
}

func newPlace(t *testing.T) *place {
	t.Helper()
	s := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0)), registry.WithReferrersSupport(true)))
	t.Cleanup(s.Close)
	ref, err := image.ParseRef(strings.TrimPrefix(s.URL, "http://")+"/team/svc", "1", false)
	if err != nil {
		t.Fatal(err)
	}
	p := &place{ref: ref, Repository: image.OpenRepository(ref, image.PushOptions{Wait: time.Millisecond})}
	p.image, p.digest = p.put(t)
	return p
}

// put puts another image there.
func (p *place) put(t *testing.T) (v1.Image, v1.Hash) {
	t.Helper()
	img, err := random.Image(100, 1)
	if err != nil {
		t.Fatal(err)
	}
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	tag, err := name.NewTag(p.ref.String())
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(tag, img); err != nil {
		t.Fatal(err)
	}
	return img, digest
}

func (p *place) attach(t *testing.T, img v1.Image, list ...image.Attachment) {
	t.Helper()
	if err := image.Attach(t.Context(), img, p.ref, list, image.PushOptions{Wait: time.Millisecond}); err != nil {
		t.Fatal(err)
	}
}

// lines has a line for each thing beside an image: what, how, and what is to be thought of it.
func lines(t *testing.T, source attest.Source, digest v1.Hash, keys ...*attest.PublicKey) []string {
	t.Helper()
	list, err := attest.List(t.Context(), source, digest, keys...)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, a := range list {
		verdict := "not signed by it"
		switch {
		case a.Fault != nil:
			verdict = a.Fault.Error()
		case a.Verified():
			verdict = "verified"
		}
		out = append(out, strings.TrimSpace(fmt.Sprint(a.Kind, " ", a.Type))+" by "+string(a.Way)+": "+verdict)
	}
	return out
}

func statementsOf(t *testing.T, digest v1.Hash) []*attest.Statement {
	t.Helper()
	subject := attest.Subject("svc:1", digest)
	bom, err := attest.Materials(subject, []byte(`{"bomFormat":"CycloneDX", "specVersion":"1.6"}`))
	if err != nil {
		t.Fatal(err)
	}
	r, err := attest.Proof(subject, &proof.Record{Format: proof.Format, Service: "svc", Checks: []proof.Check{{Name: "it greets <b>", OK: true}}, Passed: true})
	if err != nil {
		t.Fatal(err)
	}
	return []*attest.Statement{bom, r}
}

// What a key signed is verified by it and by no other, about the image and no other, and is there once however often it is attached.
func TestSignAndList(t *testing.T) {
	p, key, other := newPlace(t), newKey(t), newKey(t)
	list, err := attest.Attachments(t.Context(), key, p.digest, p.ref.Repository(), statementsOf(t, p.digest)...)
	if err != nil {
		t.Fatal(err)
	}
	document, err := attest.Document(statementsOf(t, p.digest)[0])
	if err != nil {
		t.Fatal(err)
	}
	p.attach(t, p.image, append(list, document)...)
	signed := []string{
		"signature by tag: verified", "signature by referrer: verified",
		"attestation https://cyclonedx.org/bom by tag: verified", "attestation urn:headwater:proof:1 by tag: verified",
		"attestation https://cyclonedx.org/bom by referrer: verified", "attestation urn:headwater:proof:1 by referrer: verified",
		"document application/vnd.cyclonedx+json by referrer: not signed by it",
	}
	same := func(name string, want, got []string) {
		t.Helper()
		if diff := cmp.Diff(counts(want), counts(got)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	same("its key", signed, lines(t, p, p.digest, key.Public()))
	same("one of two keys", signed, lines(t, p, p.digest, other.Public(), key.Public()))
	var unsigned []string
	for _, l := range signed {
		unsigned = append(unsigned, strings.Replace(l, ": verified", ": not signed by it", 1))
	}
	same("another key", unsigned, lines(t, p, p.digest, other.Public()))
	same("no key", unsigned, lines(t, p, p.digest))

	again, err := attest.Attachments(t.Context(), key, p.digest, p.ref.Repository(), statementsOf(t, p.digest)...)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(list, again); diff != "" {
		t.Errorf("signed again it is other bytes: %s", diff)
	}
	p.attach(t, p.image, again...)
	same("attached again", signed, lines(t, p, p.digest, key.Public()))

	moved, digest := p.put(t)
	if got := lines(t, p, digest, key.Public()); len(got) != 0 {
		t.Errorf("a changed image has %q", got)
	}
	// What was signed for one image, under the names of another.
	var stolen []image.Attachment
	for _, a := range list {
		a.Tag = strings.Replace(a.Tag, p.digest.Hex, digest.Hex, 1)
		stolen = append(stolen, a)
	}
	p.attach(t, moved, stolen...)
	for _, l := range lines(t, p, digest, key.Public()) {
		if strings.Contains(l, "verified") {
			t.Errorf("for a changed image: %s", l)
		}
	}
	if _, err := attest.Attachments(t.Context(), key, digest, p.ref.Repository(), statementsOf(t, p.digest)...); err == nil {
		t.Error("a statement about another image is signed")
	}
}

func counts(list []string) map[string]int {
	n := map[string]int{}
	for _, l := range list {
		n[l]++
	}
	return n
}

// altered is a source with something else in its blobs, or its manifests.
type altered struct {
	attest.Source
	blob     func([]byte) []byte
	manifest func([]byte) []byte
}

func (a altered) Blob(ctx context.Context, digest v1.Hash) ([]byte, error) {
	data, err := a.Source.Blob(ctx, digest)
	if a.blob != nil {
		data = a.blob(data)
	}
	return data, err
}

func (a altered) Manifest(ctx context.Context, name string) ([]byte, error) {
	data, err := a.Source.Manifest(ctx, name)
	if a.manifest != nil && data != nil {
		data = a.manifest(data)
	}
	return data, err
}

func match(pattern, with string) func([]byte) []byte {
	return func(data []byte) []byte { return regexp.MustCompile(pattern).ReplaceAll(data, []byte(with)) }
}

// Whatever is changed of what was signed, nothing of it is verified any more.
func TestAltered(t *testing.T) {
	p, key := newPlace(t), newKey(t)
	list, err := attest.Attachments(t.Context(), key, p.digest, p.ref.Repository(), statementsOf(t, p.digest)...)
	if err != nil {
		t.Fatal(err)
	}
	p.attach(t, p.image, list...)
	for _, c := range []struct {
		name string
		altered
		spared string // what lines have that are still verified, "" if none is
		want   string // of one of the others
	}{
		{"payloads", altered{blob: match(`("payload":"[^"]{40})[^"]{4}|team/svc`, "${1}ICAg")}, "", "not signed by it"},
		{"types of payloads", altered{blob: match("vnd.in-toto", "vnd.other")}, "signature by tag", "the envelope has"},
		{"signatures", altered{blob: match(`("sig":"[^"]{40})[^"]{4}`, "${1}AAAA"), manifest: match(`(/signature":"[^"]{40})[^"]{4}`, "${1}AAAA")}, "", "not signed by it"},
		{"no envelopes", altered{blob: match("dsseEnvelope", "other")}, "by tag", "no envelope"},
		{"no JSON", altered{blob: match("(?s).*", "<")}, "", "no bundle"},
		{"no manifests", altered{manifest: match("(?s).*", "<")}, "", "manifest sha256:"},
		{"another subject", altered{manifest: match(`"digest":"`+p.digest.String(), `"digest":"sha256:`+strings.Repeat("0", 64))}, "by tag", "refers to something else"},
	} {
		c.Source = p
		got := lines(t, c.altered, p.digest, key.Public())
		if !strings.Contains(strings.Join(got, "\n"), c.want) {
			t.Errorf("%s: %q", c.name, got)
		}
		for _, l := range got {
			if strings.HasSuffix(l, ": verified") && (c.spared == "" || !strings.Contains(l, c.spared)) {
				t.Errorf("%s: %s", c.name, l)
			}
		}
	}
}

// small is a build with an artifact of each kind.
func small(t *testing.T) attest.Build {
	t.Helper()
	maker := new(dag.Maker)
	src, err := maker.Tree(dag.Node{Kind: dag.Src, Name: "source of web", Component: "web", Content: content{}}, "source")
	if err != nil {
		t.Fatal(err)
	}
	goods, err := maker.Fetch(artifact.Artifact{Ecosystem: artifact.NPM, Name: "clock", Version: "1", File: "clock-1.tgz", Hash: nix.Sum(nix.SHA512, []byte("clock"))})
	if err != nil {
		t.Fatal(err)
	}
	pkg := &dag.Node{Kind: dag.Package, Name: "svc", DrvPath: "/nix/store/00000000000000000000000000000000-svc.drv", Drv: goods.Drv, Inputs: []*dag.Node{src, goods}, Outputs: map[string]nix.StorePath{"out": "/nix/store/00000000000000000000000000000001-svc"}}
	have := nix.StorePath("/nix/store/00000000000000000000000000000002-tool")
	return attest.Build{
		Package: pkg, RecipeText: []byte("headwater: 1\n"), LockText: []byte("{}\n"), SourceURL: "https://forge.example/svc", Revision: strings.Repeat("0a", 20), Version: "test",
		Lock: &lock.File{Roots: map[string]lock.Root{"paths": {Paths: []lock.Path{{Path: have, NARHash: nix.Sum(nix.SHA256, []byte("tool"))}}}}},
		Parts: &sbom.Document{Name: "svc", Version: "1", Parts: []*sbom.Part{
			{Ref: string(have), Kind: sbom.Artifact, Name: "tool", Output: string(have), In: []string{"web"}},
			{Ref: "component:web", Kind: sbom.Component, Name: "web", Notes: []string{"npm clock: from a folder instead of version 1"}},
			{Ref: sbom.PackageRef, Kind: sbom.Package, Name: "svc"},
			{Ref: "pkg:npm/clock@1", PURL: "pkg:npm/clock@1", Kind: sbom.Artifact, Name: "clock", Version: "1", In: []string{"", "web"}, Notes: []string{"another file"}, Origins: []sbom.Origin{
				{Artifact: "headwater:npm/clock/1/clock-1.tgz", File: "clock-1.tgz", Hash: nix.Sum(nix.SHA512, []byte("clock")), Hint: "https://registry.example/clock-1.tgz"},
			}},
		}},
	}
}

// content is a source of no files.
type content struct{}

func (content) ContentAddress() nix.ContentAddress {
	return nix.ContentAddress{Method: nix.NAR, Hash: nix.Sum(nix.SHA256, []byte("source"))}
}

func (content) Write(context.Context, string, func(nix.StorePath) string) error { return nil }

// A provenance names all that went into the build, with its hash, and is one by the library of those who specify it.
func TestProvenance(t *testing.T) {
	digest := v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("ab", 32)}
	s, err := attest.NewProvenance(attest.Subject("svc:1", digest), small(t))
	if err != nil {
		t.Fatal(err)
	}
	data, err := s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	again, err := attest.NewProvenance(attest.Subject("svc:1", digest), small(t))
	if err != nil {
		t.Fatal(err)
	}
	if other, err := again.Encode(); err != nil || !bytes.Equal(data, other) {
		t.Errorf("made again it is other bytes, %v", err)
	}
	statement, predicate := new(intoto.Statement), new(provenancev1.Provenance)
	if err := protojson.Unmarshal(data, statement); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(statement.Validate(), protojson.Unmarshal(s.Predicate, predicate), predicate.Validate()); err != nil {
		t.Fatalf("%v in %s", err, data)
	}
	got := map[string]string{}
	for _, r := range predicate.BuildDefinition.ResolvedDependencies {
		for algorithm, sum := range r.Digest {
			got[r.Name] = strings.TrimSpace(r.Uri + " " + algorithm + ":" + sum[:8])
		}
	}
	hash := func(a nix.Algo, text string) string { return nix.Sum(a, []byte(text)).Base16()[:8] }
	want := map[string]string{
		"/nix/store/00000000000000000000000000000002-tool": "narSha256:" + hash(nix.SHA256, "tool"),
		"clock-1.tgz":    "pkg:npm/clock@1 sha512:" + hash(nix.SHA512, "clock"),
		"headwater.yaml": "sha256:" + hash(nix.SHA256, "headwater: 1\n"),
		"headwater.lock": "sha256:" + hash(nix.SHA256, "{}\n"),
		"source":         "https://forge.example/svc gitCommit:0a0a0a0a",
	}
	for name := range got {
		if strings.HasSuffix(name, "-source") {
			want[name] = "narSha256:" + hash(nix.SHA256, "source")
		}
	}
	if diff := cmp.Diff(want, got); diff != "" || len(got) != 6 {
		t.Errorf("it depends on %d: %s", len(got), diff)
	}
	for _, want := range []string{
		`"derivation":"/nix/store/00000000000000000000000000000000-svc.drv"`, `"deviations":["web: npm clock: from a folder instead of version 1"]`,
		`"deviations":["another file"]`, `"downloadLocation":"https://registry.example/clock-1.tgz"`, `"components":["web"],"deviations"`, `"runtime":true`, `"buildType":"` + attest.BuildType,
	} {
		if !strings.Contains(string(data), want) {
			t.Errorf("it has no %s: %s", want, data)
		}
	}
}

func TestMaterialsAreOfAKnownKind(t *testing.T) {
	for text, want := range map[string]string{
		`{"bomFormat":"CycloneDX"}`: attest.CycloneDXType, `{"spdxVersion":"SPDX-2.3"}`: attest.SPDXType, `{}`: "", `<`: "",
	} {
		s, err := attest.Materials(attest.Resource{}, []byte(text))
		if (err == nil) != (want != "") || err == nil && s.PredicateType != want {
			t.Errorf("%s: %v, %v", text, s, err)
		}
	}
}

// Whatever others attach, reading it ends, and nothing of it is verified.
func FuzzList(f *testing.F) {
	digest := v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("ab", 32)}
	key := newKey(f)
	list, err := attest.Attachments(f.Context(), newKey(f), digest, "registry.example/svc")
	if err != nil {
		f.Fatal(err)
	}
	for _, a := range list {
		f.Add(a.MediaType, a.Content)
	}
	f.Add("application/vnd.dsse.envelope.v1+json", []byte(`{"payload":"e30","payloadType":"application/vnd.in-toto+json","signatures":[{"sig":"!"},{}]}`))
	f.Fuzz(func(t *testing.T, media string, data []byte) {
		got, err := attest.List(t.Context(), single{digest, media, data}, digest, key.Public())
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range got {
			if a.Verified() || a.Kind == "" {
				t.Errorf("%+v", a)
			}
		}
	})
}

// single is a source that has the same blob everywhere.
type single struct {
	image v1.Hash
	media string
	blob  []byte
}

func (s single) Manifest(context.Context, string) ([]byte, error) {
	return json.Marshal(map[string]any{
		"schemaVersion": 2, "subject": map[string]any{"digest": s.image, "size": 1, "mediaType": "x"}, "config": map[string]any{"digest": s.image, "size": 1, "mediaType": "x"},
		"layers": []any{map[string]any{"digest": s.image, "size": len(s.blob), "mediaType": s.media, "annotations": map[string]string{"dev.cosignproject.cosign/signature": "AAAA"}}},
	})
}

func (s single) Referrers(context.Context, v1.Hash) ([]v1.Descriptor, error) {
	return []v1.Descriptor{{Digest: s.image, ArtifactType: s.media}}, nil
}

func (s single) Blob(context.Context, v1.Hash) ([]byte, error) { return s.blob, nil }

// A statement that can be read is written and read again as the same.
func FuzzParseStatement(f *testing.F) {
	f.Add([]byte(`{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":"ab"}}],"predicateType":"x","predicate":{"a":[1, "<"]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := attest.ParseStatement(data)
		if err != nil {
			return
		}
		once, err := s.Encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := attest.ParseStatement(once)
		if err != nil {
			t.Fatalf("%s: %v", once, err)
		}
		if twice, err := again.Encode(); err != nil || !bytes.Equal(once, twice) {
			t.Errorf("%s, then %s, %v", once, twice, err)
		}
	})
}

// Whatever a key file says, reading it ends with a key or a KeyError.
func FuzzParseKey(f *testing.F) {
	f.Add(pemOf("PRIVATE KEY", pkcs8(f, ecKey(f, elliptic.P256()))))
	f.Add(newKey(f).Public().PEM())
	f.Add(pemOf("ENCRYPTED SIGSTORE PRIVATE KEY", []byte(`{"kdf":{"name":"scrypt","params":{"N":1,"r":1,"p":1}}}`)))
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := attest.ParseKey(data, ""); err != nil && !errors.As(err, new(*attest.KeyError)) {
			t.Error(err)
		}
		if _, err := attest.ParsePublicKey(data); err != nil && !errors.As(err, new(*attest.KeyError)) {
			t.Error(err)
		}
	})
}
