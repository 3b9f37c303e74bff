package proof_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/proof"
)

func record() *proof.Record {
	status := 0
	return &proof.Record{
		Format: proof.Format, Service: "hello", Release: "1", Package: "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-hello-1",
		Lock: "sha256:00", Recipe: "sha256:01", Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Took: proof.Millis(12 * time.Second),
		Checks: []proof.Check{
			{Stage: proof.Start, Name: "server is healthy", Kind: "health", OK: true, Took: proof.Millis(time.Second)},
			{Stage: proof.Checks, Name: "page", Kind: "request", Shots: []proof.Shot{{Title: "a <b>", SHA256: "ff"}}, Failure: &proof.Failure{
				Expected: "200", Seen: "500", Process: "server", Log: []string{"x"},
				Causes: []proof.Cause{{Class: "missing file", Text: "no /x", Change: "package.layout", Line: 3}},
			}},
		},
		Processes: []proof.Process{{Name: "server", Starts: 2, Ready: proof.Millis(time.Second), PeakMemory: 1 << 20, StopStatus: &status}},
	}
}

func TestRoundTrip(t *testing.T) {
	want := record()
	data, err := want.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := proof.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if again, err := got.Encode(); err != nil || string(again) != string(data) {
		t.Errorf("the second encoding differs: %v\n%s", err, cmp.Diff(string(data), string(again)))
	}
}

func TestDecodeRefuses(t *testing.T) {
	data, err := record().Encode()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ old, new string }{
		"another format":        {`"proof": 1`, `"proof": 2`},
		"an unknown key":        {`"service"`, `"servise"`},
		"a verdict of its own":  {`"passed": false`, `"passed": true`},
		"another record behind": {"\n}\n", "\n}\n{}\n"},
		"a success that failed": {`"ok": false`, `"ok": true`},
	} {
		s := strings.Replace(string(data), c.old, c.new, 1)
		if s == string(data) {
			t.Errorf("%s: nothing was changed", name)
		}
		if _, err := proof.Decode([]byte(s)); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

func FuzzDecode(f *testing.F) {
	data, err := record().Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := proof.Decode(data)
		if err != nil {
			return
		}
		again, err := r.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := proof.Decode(again); err != nil {
			t.Error(err)
		}
	})
}
