package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"headwater/internal/attest"
	"headwater/internal/image/imagetest"
	"headwater/internal/overview"
)

// inspect runs inspect and returns what it says to people, the same as values, and the exit code.
func inspect(t *testing.T, args ...string) (string, overview.Image, int) {
	t.Helper()
	run := func(args ...string) ([]byte, int) {
		t.Helper()
		var out, errs bytes.Buffer
		cmd := headwater(t.Context(), t, append([]string{"inspect", "--store", t.TempDir()}, args...)...)
		cmd.Stdout, cmd.Stderr = &out, &errs
		err := cmd.Run()
		var exit *exec.ExitError
		if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != exitFailed) {
			t.Fatalf("%v\n%s", err, errs.String())
		}
		return out.Bytes(), cmd.ProcessState.ExitCode()
	}
	text, exit := run(args...)
	data, _ := run(append(args, "--json")...)
	var o overview.Image
	if err := json.Unmarshal(data, &o); err != nil {
		t.Fatalf("%v in %s", err, data)
	}
	return string(text), o, exit
}

// Of an image in a real registry it is told what stands beside it and by which key, and nothing is believed without one.
func TestImageInARegistryIsInspected(t *testing.T) {
	host, dir := registryServer(t, imagetest.New(t), ""), t.TempDir()
	repository := host + "/team/hello"
	keyOf := func(who string) (private, public string) {
		pem := plainKey(t)
		key, err := attest.ParseKey(pem, "")
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, dir, who+".key", string(pem))
		writeFile(t, dir, who+".pub", string(key.Public().PEM()))
		return filepath.Join(dir, who+".key"), filepath.Join(dir, who+".pub")
	}
	private, ann := keyOf("ann")
	_, bob := keyOf("bob")
	proof := filepath.Join(dir, "proof.json")
	pkg, _ := output(t, "build", "--store", sharedStore(t), "../../examples/hello")
	provenOf(t, proof, pkg)
	drv, _ := output(t, "build", "--drv", "--store", sharedStore(t), "../../examples/hello")
	digest, _ := output(t, "image", "--store", sharedStore(t), "../../examples/hello", "--push", repository, "--sign", private, "--sbom", filepath.Join(dir, "hello.cdx.json"), "--proof", proof)

	text, o, exit := inspect(t, repository+":1", "--key", bob, "--key", ann)
	if exit != 0 || o.Digest == nil || o.Digest.String() != digest || o.Package != pkg || o.Derivation != drv || o.ToldBy != "provenance" {
		t.Errorf("exit %d, %+v", exit, o)
	}
	if p := o.Provenance; p == nil || p.Signed != ann || p.Service != "hello" || p.Dependencies < 10 {
		t.Errorf("provenance %+v", p)
	}
	if m := o.Materials; m == nil || m.Signed != ann || m.Format != "CycloneDX 1.6" || m.Shipped == 0 || m.Kinds[0].Name != "deb" || len(m.Licences) == 0 {
		t.Errorf("materials %+v", m)
	}
	if p := o.Proof; p == nil || p.Signed != ann || !p.Passed || p.Checks != 1 {
		t.Errorf("proof %+v", p)
	}
	kinds := map[attest.Kind]int{}
	for _, x := range o.Attached {
		kinds[x.Kind]++
		if x.Fault != "" || (x.Signed == ann) != (x.Kind != attest.Other) {
			t.Errorf("attached %+v", x)
		}
	}
	if kinds[attest.Signature] == 0 || kinds[attest.Attestation] < 3 || kinds[attest.Other] == 0 {
		t.Errorf("attached are %v", kinds)
	}
	for _, want := range []string{"derivation   " + drv, "signature, by tag: signed by " + ann, "proof        passed, 1 checks", "things that are pinned by hash; signed by " + ann} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	// By its digest it is the same image; without a key, and by another, nobody vouches.
	if _, o, exit = inspect(t, repository+"@"+digest); exit != 0 || o.Provenance == nil || o.Provenance.Signed != "" || o.Digest.String() != digest {
		t.Errorf("without a key: exit %d, %+v", exit, o.Provenance)
	}
	if text, _, exit = inspect(t, repository+":1", "--key", bob); exit != exitFailed || strings.Contains(text, "signed by") || !strings.Contains(text, "nobody whose key was given vouches for it") {
		t.Errorf("by another key: exit %d\n%s", exit, text)
	}
	// A signature that was put beside another image is none.
	other, _ := output(t, "image", "--store", sharedStore(t), "../../examples/hello", "--label", "a=b", "--push", repository+":other")
	if err := move(repository, signatureTag(digest), signatureTag(other)); err != nil {
		t.Fatal(err)
	}
	if text, _, exit = inspect(t, repository+":other", "--key", ann); exit != exitFailed || !strings.Contains(text, "DAMAGED OR FALSE: what is signed is") {
		t.Errorf("another image's signature: exit %d\n%s", exit, text)
	}
}

// signatureTag is the tag of an image's signature in cosign's older layout.
func signatureTag(digest string) string { return strings.Replace(digest, ":", "-", 1) + ".sig" }

// move puts what has one tag under another as well.
func move(repository, from, to string) error {
	r, err := name.NewRepository(repository, name.Insecure)
	if err != nil {
		return err
	}
	img, err := remote.Image(r.Tag(from))
	if err != nil {
		return err
	}
	return remote.Write(r.Tag(to), img)
}
