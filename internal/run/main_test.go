package run_test

import (
	"os"
	"testing"

	"headwater/internal/run"
	"headwater/internal/sandbox"
)

func TestMain(m *testing.M) {
	sandbox.RunInit()
	run.RunInit()
	os.Exit(m.Run())
}
