package cosigntest_test

import (
	"context"
	"flag"
	"os"
	"strings"
	"testing"

	"headwater/internal/cosigntest"
	"headwater/internal/roottest"
)

var relock = flag.Bool("lock", false, "pin Debian's cosign anew")

func TestMain(m *testing.M) {
	flag.Parse()
	if *relock {
		if err := roottest.Pin(context.Background(), "testdata/headwater.lock", cosigntest.Packages, cosigntest.Suite); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

func TestTools(t *testing.T) {
	for _, c := range cosigntest.New(t) {
		if out := c.Run(t, t.TempDir(), "version"); !strings.Contains(out, "GitVersion") {
			t.Errorf("%s says %s", c.Name, out)
		}
	}
}

// Each authority has certificates of its own.
func TestAuthority(t *testing.T) {
	a := cosigntest.NewAuthority(t)
	for _, file := range []string{a.Root, a.Chain, a.TimestampChain} {
		if data, err := os.ReadFile(file); err != nil || !strings.HasPrefix(string(data), "-----BEGIN CERTIFICATE-----") {
			t.Errorf("%s has %s, %v", file, data, err)
		}
	}
}
