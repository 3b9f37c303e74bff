package imagetest_test

import (
	"context"
	"flag"
	"os"
	"testing"

	"headwater/internal/image/imagetest"
	"headwater/internal/roottest"
)

var relock = flag.Bool("lock", false, "pin the tools anew")

func TestMain(m *testing.M) {
	flag.Parse()
	if *relock {
		if err := roottest.Pin(context.Background(), "testdata/headwater.lock", imagetest.Packages, imagetest.Suite); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

func TestTools(t *testing.T) {
	tools := imagetest.New(t)
	for _, command := range [][]string{
		{"docker-registry", "--version"}, {"skopeo", "--version"}, {"umoci", "--version"}, {"runc", "--version"}, {"crun", "--version"},
	} {
		t.Log(tools.Run(t, command[0], command[1:]...))
	}
}
