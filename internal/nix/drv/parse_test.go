package drv_test

import (
	"os"
	"testing"

	"headwater/internal/nix/drv"
)

func TestParseRoundTrip(t *testing.T) {
	want, err := os.ReadFile("testdata/multi.drv")
	if err != nil {
		t.Fatal(err)
	}
	d, err := drv.Parse("m", want)
	if err != nil {
		t.Fatal(err)
	}
	if got := d.Marshal(); string(got) != string(want) {
		t.Errorf("got %s\nwant %s", got, want)
	}
}
