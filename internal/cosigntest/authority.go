package cosigntest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"headwater/internal/flock"
	"headwater/internal/freeport"
	"headwater/internal/gotool"
)

// Authority is what one signs with who has no key: the real Fulcio and the real timestamp authority of sigstore, each with keys of its own that
// end with it, and an issuer of identity tokens that Fulcio trusts.
type Authority struct {
	*Issuer
	Fulcio    string // address, without a path
	Timestamp string // address that takes requests

	// Files with certificates in PEM.
	Root           string // Fulcio's, alone
	Chain          string // the one between Fulcio and its root, then that
	TimestampChain string // the timestamp authority's, its own first
}

// NewAuthority starts all of it; it ends with the test. There is one at a time on a machine: the timestamp authority wants a certain port for
// its measurements.
func NewAuthority(t testing.TB) *Authority {
	t.Helper()
	lock, err := os.OpenFile(filepath.Join(os.TempDir(), fmt.Sprintf("headwater-authority-%d.lock", os.Getuid())), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { lock.Close() }) // and with it the lock, after the servers have ended
	if err := flock.Lock(t.Context(), lock, unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	a, dir := &Authority{Issuer: NewIssuer(t)}, t.TempDir()
	a.Root, a.Chain, a.TimestampChain = filepath.Join(dir, "root.pem"), filepath.Join(dir, "chain.pem"), filepath.Join(dir, "timestamp.pem")
	a.fulcio(t, dir)
	a.timestamps(t, dir)
	return a
}

func (a *Authority) fulcio(t testing.TB, dir string) {
	program := gotool.Build(t, "cosign", "fulcio")
	config := filepath.Join(dir, "fulcio.yaml")
	write(t, config, fmt.Appendf(nil, "oidc-issuers:\n  %[1]s:\n    issuer-url: %[1]s\n    client-id: %s\n    type: email\n", a.URL, Audience))
	socket, err := os.MkdirTemp("", "fulcio") // a test's own folder may be too deep for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(socket) })
	key := a.keys(t, dir)
	port, grpc := freePort(t), freePort(t)
	a.Fulcio = "http://127.0.0.1:" + port
	serve(t, dir, program, "serve", "--ca", "fileca", "--fileca-cert", a.Chain, "--fileca-key", key, "--fileca-key-passwd", Password, "--fileca-watch=false", "--ct-log-url", "", "--config-path", config, "--host", "127.0.0.1", "--port", port,
		"--grpc-host", "127.0.0.1", "--grpc-port", grpc, "--metrics-port", "0", "--legacy-unix-domain-socket", filepath.Join(socket, "s"), "--log_type", "prod")
	get(t, a.Fulcio+"/api/v2/trustBundle")
}

// keys makes Fulcio's keys and certificates, and returns the file with the key that it signs with.
func (a *Authority) keys(t testing.TB, dir string) string {
	t.Helper()
	var keys [2]*ecdsa.PrivateKey
	for i := range keys {
		var err error
		if keys[i], err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			t.Fatal(err)
		}
	}
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root of a test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, SubjectKeyId: []byte{1},
	}
	between := *root
	between.SerialNumber, between.Subject, between.SubjectKeyId, between.ExtKeyUsage = big.NewInt(2), pkix.Name{CommonName: "Fulcio of a test"}, []byte{2}, []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}
	var list [2][]byte
	for i, c := range []*x509.Certificate{root, &between} {
		der, err := x509.CreateCertificate(rand.Reader, c, root, &keys[i].PublicKey, keys[0])
		if err != nil {
			t.Fatal(err)
		}
		list[i] = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	}
	write(t, a.Root, list[0])
	write(t, a.Chain, slices.Concat(list[1], list[0]))
	der, err := x509.MarshalPKCS8PrivateKey(keys[1])
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "fulcio.key")
	write(t, file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	return file
}

func (a *Authority) timestamps(t testing.TB, dir string) {
	program := gotool.Build(t, "cosign", "timestamp-server")
	port := freePort(t)
	base := "http://127.0.0.1:" + port + "/api/v1/timestamp"
	serve(t, dir, program, "serve", "--timestamp-signer", "memory", "--disable-ntp-monitoring", "--host", "127.0.0.1", "--port", port)
	a.Timestamp = base
	write(t, a.TimestampChain, get(t, base+"/certchain"))
}

func write(t testing.TB, file string, data []byte) {
	t.Helper()
	if err := os.WriteFile(file, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func freePort(t testing.TB) string {
	t.Helper()
	port, err := freeport.Get()
	if err != nil {
		t.Fatal(err)
	}
	return strconv.Itoa(port)
}

// serve starts a server with nothing of the user's, which ends with the test; a test that failed shows what it said.
func serve(t testing.TB, dir, program string, args ...string) {
	t.Helper()
	var said bytes.Buffer
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, []string{"HOME=" + dir, "PATH=" + os.Getenv("PATH")}, &said, &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // or a test that is killed would leave the port taken
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended by itself
		_ = cmd.Wait()         // says that it was killed
		if t.Failed() {
			t.Logf("%s said:\n%s", filepath.Base(program), &said)
		}
	})
}

// get reads a document of certificates as soon as its server answers.
func get(t testing.TB, address string) []byte {
	t.Helper()
	read := func() ([]byte, error) {
		resp, err := http.Get(address)
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		data, err := io.ReadAll(resp.Body)
		if err == nil && (resp.StatusCode != http.StatusOK || !bytes.Contains(data, []byte("BEGIN CERTIFICATE"))) {
			err = errors.New(resp.Status)
		}
		return data, err
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		data, err := read()
		if err == nil {
			return data
		}
		if time.Now().After(end) {
			t.Fatalf("%s does not answer: %v", address, err)
		}
	}
}
