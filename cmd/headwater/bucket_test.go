package main

import (
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"headwater/internal/s3test"
)

// Scripts that have an S3 server, with an empty bucket called cache.
func TestBucketScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/bucket",
		Setup: func(e *testscript.Env) error {
			server := s3test.Start(t)
			server.Bucket(t, "cache")
			examples, err := filepath.Abs("../../examples")
			for name, value := range map[string]string{
				"HOME": e.WorkDir, "STORE": sharedStore(t), "EXAMPLES": examples, "PLACE": server.Place(), "ID": s3test.ID, "SECRET": s3test.Secret,
			} {
				e.Setenv(name, value)
			}
			return err
		},
	})
}
