// Package s3test gives tests a real S3 server: a gateway to a folder that others run in earnest. It is a Go program that the
// first test on a machine builds, which takes a few minutes; the go command keeps it. The module server pins it.
//
//	s := s3test.Start(t)
//	s.Bucket(t, "cache")
//	address := "s3://cache?" + s.Place() // and credentials s3test.ID, s3test.Secret
package s3test

import (
	"bytes"
	"fmt"
	"headwater/internal/gotool"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// The credentials of the server's one user.
const (
	ID     = "headwater-test"
	Secret = "a-secret-of-a-test"
)

// Region is the server's.
const Region = "us-east-1"

// Server is a running server.
type Server struct {
	Host   string // HOST:PORT
	client *s3.Client
	log    *bytes.Buffer // read after the server's end
}

// Start starts a server, which ends with the test.
func Start(t testing.TB) *Server {
	t.Helper()
	program := gotool.Build(t, "server", "versitygw")
	s := &Server{Host: freeAddress(t), log: new(bytes.Buffer)}
	data, side := filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "sidecar")
	for _, dir := range []string{data, side} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	// Not all file systems have the attributes that it would keep what it knows of objects in, so it has a folder for that.
	cmd := exec.Command(program, "--port", s.Host, "--region", Region, "--quiet", "posix", "--sidecar", side, data)
	cmd.Dir = t.TempDir()
	cmd.Env = []string{"ROOT_ACCESS_KEY_ID=" + ID, "ROOT_SECRET_ACCESS_KEY=" + Secret}
	cmd.Stdout, cmd.Stderr = s.log, s.log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cmd.Process.Kill(); err != nil {
			t.Error(err)
		}
		_ = cmd.Wait() // says that it was killed
		if t.Failed() {
			t.Logf("the server said:\n%s", s.log)
		}
	})
	s.client = s3.New(s3.Options{
		Region: Region, BaseEndpoint: aws.String("http://" + s.Host), UsePathStyle: true, Credentials: credentials.NewStaticCredentialsProvider(ID, Secret, ""),
	})
	s.wait(t)
	return s
}

func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// wait returns when the server answers.
func (s *Server) wait(t testing.TB) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		_, err := s.client.ListBuckets(t.Context(), &s3.ListBucketsInput{})
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the S3 server does not answer: %v", err)
		}
	}
}

// Place are the parameters of an address that say where the server is.
func (s *Server) Place() string {
	return fmt.Sprintf("endpoint=%s&scheme=http&region=%s", s.Host, Region)
}

// Bucket makes a bucket.
func (s *Server) Bucket(t testing.TB, name string) {
	t.Helper()
	if _, err := s.client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &name}); err != nil {
		t.Fatal(err)
	}
}

// Open lets everybody read, and write to, a bucket.
func (s *Server) Open(t testing.TB, name string) {
	t.Helper()
	policy := fmt.Sprintf(`{"Version": "2012-10-17", "Statement": [
		{"Effect": "Allow", "Principal": "*", "Action": ["s3:GetObject", "s3:PutObject"], "Resource": "arn:aws:s3:::%[1]s/*"},
		{"Effect": "Allow", "Principal": "*", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::%[1]s"}]}`, name)
	if _, err := s.client.PutBucketPolicy(t.Context(), &s3.PutBucketPolicyInput{Bucket: &name, Policy: &policy}); err != nil {
		t.Fatal(err)
	}
}

// Keys are what a bucket has.
func (s *Server) Keys(t testing.TB, bucket string) (keys []string) {
	t.Helper()
	pages := s3.NewListObjectsV2Paginator(s.client, &s3.ListObjectsV2Input{Bucket: &bucket})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range page.Contents {
			keys = append(keys, *o.Key)
		}
	}
	return keys
}

// Unfinished is how many uploads in parts a bucket has that were not ended.
func (s *Server) Unfinished(t testing.TB, bucket string) int {
	t.Helper()
	out, err := s.client.ListMultipartUploads(t.Context(), &s3.ListMultipartUploadsInput{Bucket: &bucket})
	if err != nil {
		t.Fatal(err)
	}
	return len(out.Uploads)
}
