package proof_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"

	"headwater/internal/proof"
)

func TestPage(t *testing.T) {
	r := record()
	r.Checks[1].Failure.Log = []string{"</pre><script>alert(1)</script>"}
	r.Notes = []string{"a <note>"}
	old := record()
	old.Release, old.Checks = "0.9", old.Checks[:1]
	page, err := proof.Page(r, old, nil, func(sha string) ([]byte, error) { return []byte("png of " + sha), nil })
	if err != nil {
		t.Fatal(err)
	}
	text := string(page)
	for _, want := range []string{
		"hello 1 is not proven", "<b>1 of 2</b> checks passed", "headwater.yaml:3 package.layout", "Since the proof of 0.9", "data:image/png;base64,", "a &lt;note&gt;", "1 MiB",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page has no %q", want)
		}
	}
	if strings.Contains(text, "<script") || strings.Contains(text, "ZgotmplZ") {
		t.Error("the page has a script, or something that the template refused")
	}
	// It loads nothing.
	z := html.NewTokenizer(bytes.NewReader(page))
	for z.Next() != html.ErrorToken {
		for _, a := range z.Token().Attr {
			if (a.Key == "src" || a.Key == "href") && !strings.HasPrefix(a.Val, "data:") {
				t.Errorf("the page loads %s", a.Val)
			}
		}
	}
	if _, err := proof.Page(r, nil, nil, func(string) ([]byte, error) { return nil, errors.New("no file") }); err == nil {
		t.Error("a screenshot that is not there is passed over")
	}
}

func TestSince(t *testing.T) {
	old, r := record(), record()
	if got := r.Since(old); len(got) != 0 {
		t.Errorf("of itself: %+v", got)
	}
	r.Release = "2"
	r.Checks[0].Took *= 20
	r.Checks[1].OK, r.Checks[1].Failure, r.Passed = true, nil, true
	r.Checks = append(r.Checks, proof.Check{Stage: proof.Audit, Name: "new", OK: true})
	old.Checks = append(old.Checks, proof.Check{Stage: proof.Audit, Name: "gone", OK: true})
	r.Processes[0].PeakMemory = 200 << 20
	r.Checks[0].Findings, old.Checks[0].Findings = []proof.Finding{{Name: "state"}, {Name: "nonce", OK: true}}, []proof.Finding{{Name: "state", OK: true}, {Name: "nonce", OK: true}}
	want := []proof.Change{
		{Name: "release", Old: "1", New: "2"}, {Name: "verdict", Old: "failed", New: "passed"},
		{Name: "start: server is healthy", Old: "1.0 s", New: "20.0 s"}, {Name: "start: server is healthy: state", Old: "passed", New: "failed"},
		{Name: "checks: page", Old: "failed", New: "passed"},
		{Name: "audit: new", New: "passed"}, {Name: "audit: gone", Old: "passed"}, {Name: "memory of server", Old: "1 MiB", New: "200 MiB"},
	}
	if diff := cmp.Diff(want, r.Since(old)); diff != "" {
		t.Error(diff)
	}
}
