package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	ocilayout "github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"

	"headwater/internal/attest"
	"headwater/internal/cosigntest"
	"headwater/internal/dag"
	"headwater/internal/image"
	"headwater/internal/image/imagetest"
	"headwater/internal/proof"
	"headwater/internal/verify"
)

// offline are the options by which cosign asks no log of others.
var offline = []string{"--insecure-ignore-tlog=true", "--private-infrastructure=true"}

// plainKey makes a key as PKCS #8, as openssl does.
func plainKey(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// provenOf writes the proof of a package, as headwater verify does where all is well.
func provenOf(t *testing.T, file, pkg string) {
	t.Helper()
	r := &proof.Record{Format: proof.Format, Service: "hello", Release: "1", Package: pkg, Checks: []proof.Check{{Stage: proof.Checks, Name: "it greets", Kind: "request", OK: true}}, Passed: true}
	if err := writeProof(file, r, nil, filepath.Join(t.TempDir(), verify.ShotDir)); err != nil {
		t.Fatal(err)
	}
}

// What headwater image signs and attests, both releases of cosign accept by the key's public half, and nothing else: in a real registry, with
// a key of cosign's and one of openssl's.
func TestImageIsSigned(t *testing.T) {
	cosigns := cosigntest.New(t)
	tools := imagetest.New(t)
	host, dir := registryServer(t, tools, ""), t.TempDir()
	private, public := cosigns[0].GenerateKey(t, dir, "ann")
	_, other := cosigns[0].GenerateKey(t, dir, "bob")
	plain := plainKey(t)
	carl, err := attest.ParseKey(plain, "")
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, dir, "carl.pub", string(carl.Public().PEM()))
	pkg, _ := output(t, "build", "--store", sharedStore(t), "../../examples/hello")
	proven := filepath.Join(dir, "proof.json")
	provenOf(t, proven, pkg)
	repository := host + "/team/hello"
	sign := func(key string, more ...string) (digest, said string) {
		t.Helper()
		args := append([]string{"image", "-v", "--json", "--store", sharedStore(t), "../../examples/hello", "--push", repository, "--push", repository + ":latest", "--sign", key}, more...)
		cmd := headwater(t.Context(), t, args...)
		cmd.Env = append(os.Environ(), "COSIGN_PASSWORD="+cosigntest.Password, "KEY="+string(plain))
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		if err := cmd.Run(); err != nil {
			t.Fatalf("%v\n%s", err, &errs)
		}
		var result struct{ Digest, SignedBy string }
		if err := json.Unmarshal(out.Bytes(), &result); err != nil || (result.SignedBy == carl.Public().ID()) != (key == "env://KEY") {
			t.Fatalf("signed by %q, %v", result.SignedBy, err)
		}
		return result.Digest, out.String() + errs.String()
	}
	everything := []string{
		"--sbom", filepath.Join(dir, "hello.cdx.json"), "--sbom", filepath.Join(dir, "hello.spdx.json"), "--proof", proven, "--provenance", filepath.Join(dir, "provenance.json"),
		"--source-url", "https://forge.example/hello", "--revision", strings.Repeat("0a", 20),
	}
	digest, said := sign(private, everything...)
	for _, word := range []string{cosigntest.Password, string(plain), "PRIVATE KEY"} {
		if strings.Contains(said, word) {
			t.Errorf("it tells a secret: %s", said)
		}
	}
	accepts := func(c *cosigntest.Cosign, command, key string, more ...string) error {
		args := append(append([]string{command, "--key", key}, offline...), more...)
		_, err := c.Try(t, dir, args...)
		return err
	}
	layouts := func(c *cosigntest.Cosign) []string {
		if c == cosigns[0] { // which for bundles wants to ask a service of others, even where a key is given
			return []string{"--new-bundle-format=false"}
		}
		return []string{"--new-bundle-format=false", "--new-bundle-format=true"}
	}
	for _, c := range cosigns {
		for _, layout := range layouts(c) {
			if err := accepts(c, "verify", public, layout, repository+"@"+digest); err != nil {
				t.Error(err)
			}
			if err := accepts(c, "verify", other, layout, repository+"@"+digest); err == nil {
				t.Errorf("%s %s: another key is accepted", c.Name, layout)
			}
			for _, kind := range []string{"slsaprovenance1", "cyclonedx", "spdxjson", attest.ProofType} {
				if err := accepts(c, "verify-attestation", public, layout, "--type", kind, repository+":latest"); err != nil {
					t.Error(err)
				}
			}
			if err := accepts(c, "verify-attestation", other, layout, "--type", "slsaprovenance1", repository+":1"); err == nil {
				t.Errorf("%s %s: another key's attestation is accepted", c.Name, layout)
			}
			if err := accepts(c, "verify-attestation", public, layout, "--type", "vuln", repository+":1"); err == nil {
				t.Errorf("%s %s: an attestation of another type is accepted", c.Name, layout)
			}
		}
	}

	// The same again changes nothing; another key's signature stands beside the first one's.
	before := besides(t, repository, digest)
	if again, _ := sign(private, everything...); again != digest || besides(t, repository, digest) != before {
		t.Errorf("signed again %s has %s, before %s", again, besides(t, repository, digest), before)
	}
	if again, _ := sign("env://KEY", everything...); again != digest {
		t.Errorf("signed by another key it is %s", again)
	}
	for _, c := range cosigns {
		for _, key := range []string{public, filepath.Join(dir, "carl.pub")} {
			if err := accepts(c, "verify", key, repository+":1"); err != nil {
				t.Error(err)
			}
			if err := accepts(c, "verify-attestation", key, "--type", "slsaprovenance1", repository+":1"); err != nil {
				t.Error(err)
			}
		}
	}
	key, err := os.ReadFile(public)
	if err != nil {
		t.Fatal(err)
	}
	ann, err := attest.ParsePublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	source := repositoryOf(t, repository)
	list, err := attest.List(t.Context(), source, hashOf(t, digest), ann, carl.Public())
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[attest.Kind]int{}
	for _, a := range list {
		kinds[a.Kind]++
		if a.Verified() == (a.Kind == attest.Other) || a.Fault != nil {
			t.Errorf("%s %s by %s: %v", a.Kind, a.Type, a.Way, a.Fault)
		}
	}
	if kinds[attest.Signature] != 4 || kinds[attest.Attestation] != 16 || kinds[attest.Other] != 2 {
		t.Errorf("beside the image are %v", kinds)
	}

	// An image that was changed has no signature, nor does that of another fit it; and of what was altered nothing is accepted.
	digest2 := changed(t, repository)
	for _, c := range cosigns {
		if err := accepts(c, "verify", public, repository+"@"+digest2); err == nil {
			t.Errorf("%s: a changed image is accepted", c.Name)
		}
	}
	steal(t, repository, digest, digest2, func(data []byte) []byte { return data })
	for _, c := range cosigns {
		for _, layout := range layouts(c) {
			if err := accepts(c, "verify", public, layout, repository+"@"+digest2); err == nil {
				t.Errorf("%s %s: another image's signature is accepted", c.Name, layout)
			}
			if err := accepts(c, "verify-attestation", public, layout, "--type", "slsaprovenance1", repository+"@"+digest2); err == nil {
				t.Errorf("%s %s: another image's attestation is accepted", c.Name, layout)
			}
		}
	}
	digest3 := changed(t, repository)
	steal(t, repository, digest, digest3, forged(digest, digest3))
	for _, c := range cosigns {
		for _, layout := range layouts(c) {
			if err := accepts(c, "verify", public, layout, repository+"@"+digest3); err == nil {
				t.Errorf("%s %s: an altered signature is accepted", c.Name, layout)
			}
			if err := accepts(c, "verify-attestation", public, layout, "--type", "slsaprovenance1", repository+"@"+digest3); err == nil {
				t.Errorf("%s %s: an altered attestation is accepted", c.Name, layout)
			}
		}
	}
	for _, d := range []string{digest2, digest3} {
		list, err := attest.List(t.Context(), source, hashOf(t, d), ann, carl.Public())
		if err != nil || len(list) == 0 {
			t.Fatalf("%s has %d things beside it, %v", d, len(list), err)
		}
		for _, a := range list {
			if a.Verified() {
				t.Errorf("%s: %s %s by %s is verified", d, a.Kind, a.Type, a.Way)
			}
		}
	}
}

// What is signed in a layout is still signed in the registry that others bring it to.
func TestLayoutIsSigned(t *testing.T) {
	cosigns := cosigntest.New(t)
	tools := imagetest.New(t)
	host, dir := registryServer(t, tools, ""), t.TempDir()
	private, public := cosigns[0].GenerateKey(t, dir, "ann")
	_, other := cosigns[0].GenerateKey(t, dir, "bob")
	oci := filepath.Join(dir, "oci")
	write := func(more ...string) string {
		t.Helper()
		cmd := headwater(t.Context(), t, append([]string{"image", "--store", sharedStore(t), "../../examples/hello", "--oci", oci, "--sbom", filepath.Join(dir, "hello.cdx.json")}, more...)...)
		cmd.Env = append(os.Environ(), "COSIGN_PASSWORD="+cosigntest.Password)
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err, string(err.(*exec.ExitError).Stderr))
		}
		return strings.TrimSpace(string(out))
	}
	digest := write() // the bill of materials alone
	if code, text := failure(t, "inspect", oci, "--key", public); code == 0 || !strings.Contains(text, "nothing beside the image is signed") {
		t.Errorf("unsigned: exit code %d\n%s", code, text)
	}
	if again := write("--sign", private); again != digest {
		t.Errorf("signed it is %s, was %s", again, digest)
	}
	first, err1 := os.ReadFile(filepath.Join(oci, "index.json"))
	write("--sign", private)
	if again, err2 := os.ReadFile(filepath.Join(oci, "index.json")); string(first) != string(again) || errors.Join(err1, err2) != nil {
		t.Errorf("signed again it has %s, before %s, %v", again, first, errors.Join(err1, err2))
	}
	told, _ := output(t, "inspect", oci, "--key", public)
	for _, want := range []string{digest, "slsa.dev/provenance/v1"} {
		if !strings.Contains(told, want) {
			t.Errorf("inspect does not tell of %s:\n%s", want, told)
		}
	}
	if code, _ := failure(t, "inspect", oci+":1", "--key", other); code == 0 {
		t.Error("another key's signature is seen")
	}

	repository := host + "/team/hello"
	beside := strings.Replace(digest, ":", "-", 1)
	for _, tag := range []string{"1", beside + ".sig", beside + ".att"} {
		tools.Run(t, "skopeo", "copy", "--insecure-policy", "--preserve-digests", "--dest-tls-verify=false", "oci:"+oci+":"+tag, "docker://"+repository+":"+tag)
	}
	// skopeo does not bring what refers to an image.
	path, err := ocilayout.FromPath(oci)
	if err != nil {
		t.Fatal(err)
	}
	index, err := path.ImageIndex()
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range manifest.Manifests {
		one, err := path.Image(d.Digest)
		if err == nil {
			err = remote.Write(named(t, repository).Digest(d.Digest.String()), one)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for i, c := range cosigns {
		for _, layout := range []string{"--new-bundle-format=false", "--new-bundle-format=true"} {
			if i == 0 && layout == "--new-bundle-format=true" {
				continue // see TestImageIsSigned
			}
			for _, args := range [][]string{{"verify"}, {"verify-attestation", "--type", "slsaprovenance1"}, {"verify-attestation", "--type", "cyclonedx"}} {
				verify := func(key string) error {
					_, err := c.Try(t, dir, slices.Concat(args, offline, []string{layout, "--key", key, repository + ":1"})...)
					return err
				}
				if err := verify(public); err != nil {
					t.Error(err)
				}
				if err := verify(other); err == nil {
					t.Errorf("%s %s %v: another key is accepted", c.Name, layout, args)
				}
			}
		}
	}
}

func hashOf(t *testing.T, digest string) v1.Hash {
	t.Helper()
	h, err := v1.NewHash(digest)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func repositoryOf(t *testing.T, repository string) *image.Repository {
	t.Helper()
	ref, err := image.ParseRef(repository, "1", false)
	if err != nil {
		t.Fatal(err)
	}
	return image.OpenRepository(ref, image.PushOptions{})
}

func named(t *testing.T, text string) name.Repository {
	t.Helper()
	r, err := name.NewRepository(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// besides are the digests of what stands beside an image.
func besides(t *testing.T, repository, digest string) string {
	t.Helper()
	var list []string
	for _, suffix := range []string{".sig", ".att", ""} {
		d, err := remote.Head(named(t, repository).Tag(strings.Replace(digest, ":", "-", 1) + suffix))
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, d.Digest.String())
	}
	return strings.Join(list, " ")
}

// changed puts an image there that differs from tag 1, and returns its digest.
func changed(t *testing.T, repository string) string {
	t.Helper()
	img, err := remote.Image(named(t, repository).Tag("1"))
	if err != nil {
		t.Fatal(err)
	}
	if img, err = mutate.AppendLayers(img, static.NewLayer([]byte(rand.Text()), "application/vnd.oci.image.layer.v1.tar")); err != nil {
		t.Fatal(err)
	}
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(named(t, repository).Digest(digest.String()), img); err != nil {
		t.Fatal(err)
	}
	return digest.String()
}

// steal puts what stands beside one image beside another one, altered.
func steal(t *testing.T, repository, from, to string, alter func([]byte) []byte) {
	t.Helper()
	source := repositoryOf(t, repository)
	subject, err := remote.Image(named(t, repository).Digest(to))
	if err != nil {
		t.Fatal(err)
	}
	var list []image.Attachment
	take := func(tag string, raw []byte) {
		m, err := v1.ParseManifest(bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range m.Layers {
			data, err := source.Blob(t.Context(), l.Digest)
			if err != nil {
				t.Fatal(err)
			}
			a := image.Attachment{Tag: tag, MediaType: string(l.MediaType), Content: alter(data), Annotations: l.Annotations}
			if tag == "" {
				a.Annotations = m.Annotations
			}
			list = append(list, a)
		}
	}
	for _, suffix := range []string{".sig", ".att"} {
		raw, err := source.Manifest(t.Context(), strings.Replace(from, ":", "-", 1)+suffix)
		if err != nil {
			t.Fatal(err)
		}
		take(strings.Replace(to, ":", "-", 1)+suffix, raw)
	}
	refers, err := source.Referrers(t.Context(), hashOf(t, from))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range refers {
		raw, err := source.Manifest(t.Context(), d.Digest.String())
		if err != nil {
			t.Fatal(err)
		}
		take("", raw)
	}
	ref, err := image.ParseRef(repository, "1", false)
	if err != nil {
		t.Fatal(err)
	}
	if err := image.Attach(t.Context(), subject, ref, list, image.PushOptions{}); err != nil {
		t.Fatal(err)
	}
}

// forged has one digest in place of another, in payloads and in statements.
func forged(from, to string) func([]byte) []byte {
	from, to = strings.TrimPrefix(from, "sha256:"), strings.TrimPrefix(to, "sha256:")
	return func(data []byte) []byte {
		var b struct {
			Payload  string
			Envelope struct{ Payload string } `json:"dsseEnvelope"`
		}
		if err := json.Unmarshal(data, &b); err == nil {
			for _, text := range []string{b.Payload, b.Envelope.Payload} {
				if body, err := base64.StdEncoding.DecodeString(text); err == nil && text != "" {
					body = bytes.ReplaceAll(body, []byte(from), []byte(to))
					data = bytes.Replace(data, []byte(text), []byte(base64.StdEncoding.EncodeToString(body)), 1)
				}
			}
		}
		return bytes.ReplaceAll(data, []byte(from), []byte(to))
	}
}

// The provenance of gatehouse names every file that some step to the package fetches, and the derivation.
func TestProvenanceOfGatehouse(t *testing.T) {
	m := materialsOfGatehouse(t)
	p := m.project
	s, err := attest.NewProvenance(attest.Subject("gatehouse", v1.Hash{}), attest.Build{Package: m.graph.Package, Parts: m.doc, Lock: p.lock, RecipeText: p.recipeText, LockText: p.lockText})
	if err != nil {
		t.Fatal(err)
	}
	var predicate struct {
		BuildDefinition struct {
			InternalParameters   struct{ Derivation string }
			ResolvedDependencies []attest.Resource
		}
	}
	if err := json.Unmarshal(s.Predicate, &predicate); err != nil {
		t.Fatal(err)
	}
	if got, _ := output(t, "build", "--drv", m.dir); predicate.BuildDefinition.InternalParameters.Derivation != got {
		t.Errorf("its derivation is %s, the build's %s", predicate.BuildDefinition.InternalParameters.Derivation, got)
	}
	known := map[string]bool{}
	for _, r := range predicate.BuildDefinition.ResolvedDependencies {
		for algorithm, sum := range r.Digest {
			known[algorithm+":"+sum] = true
		}
		if len(r.Digest) == 0 {
			t.Errorf("%s %s has no digest", r.Name, r.URI)
		}
	}
	fetches, sources := 0, 0
	for _, n := range dag.Closure(m.graph.Package) {
		switch n.Kind {
		case dag.Fetch:
			fetches++
			out := n.Drv.Outputs["out"]
			if !known[string(out.CA.Hash.Algo())+":"+out.CA.Hash.Base16()] {
				t.Errorf("it does not name %s", n.Name)
			}
		case dag.Src:
			sources++
			if !known["narSha256:"+n.Content.ContentAddress().Hash.Base16()] {
				t.Errorf("it does not name %s", n.Name)
			}
		}
	}
	if fetches < 250 || sources < 4 {
		t.Errorf("the package is made of %d downloads and %d sources", fetches, sources)
	}
}
