package proof_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"image"
	"image/color"
	"image/png"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"

	"headwater/internal/event"
	"headwater/internal/proof"
)

func millis(s float64) proof.Millis { return proof.Millis(time.Duration(s * float64(time.Second))) }

// picture is a PNG and its digest.
func picture(t *testing.T) ([]byte, string) {
	t.Helper()
	m := image.NewRGBA(image.Rect(0, 0, 320, 200))
	for x := range 320 {
		for y := range 200 {
			m.Set(x, y, color.RGBA{uint8(x / 2), uint8(y), 180, 255})
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b.Bytes())
	return b.Bytes(), hex.EncodeToString(sum[:])
}

func sample(digest string) *proof.Record {
	status := 0
	return &proof.Record{
		Format: proof.Format, Service: "gatehouse", Release: "1.4.0", Package: "/nix/store/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-gatehouse-1.4.0",
		Lock: "sha256:" + strings.Repeat("ab", 32), Recipe: "sha256:" + strings.Repeat("cd", 32), Started: time.Date(2026, 11, 27, 2, 0, 0, 0, time.UTC),
		Took: millis(74), Notes: []string{"no older release was given, so no upgrade was tried"},
		Checks: []proof.Check{
			{Stage: proof.Start, Name: "postgres", Kind: "start", OK: true, Took: millis(1.2)},
			{Stage: proof.Start, Name: "migrate an empty database", Kind: "migrate", OK: true, Took: millis(4.5)},
			{Stage: proof.Checks, Name: "sign in", Kind: "browser", OK: true, Took: millis(3.1), Shots: []proof.Shot{{Title: "sign in", SHA256: digest}}},
			{Stage: proof.Checks, Name: "an application", Kind: "oauth2", OK: true, Took: millis(22), Findings: []proof.Finding{
				{Name: "discovery: issuer", OK: true, Expected: "http://127.0.0.1:9000", Seen: "http://127.0.0.1:9000", Took: millis(0.002)},
				{Name: "refused: reused code", OK: true, Expected: "a refusal with invalid_grant", Seen: "400 invalid_grant", Took: millis(2)}}},
			{Stage: proof.Audit, Name: "logs", Kind: "audit", Took: millis(0.1), Failure: &proof.Failure{
				Expected: "no errors in the log", Seen: "1 error", Process: "worker", Log: []string{"INFO ready", "ERROR <script>alert(1)</script>", "  at line 7"},
				Causes: []proof.Cause{{Class: "unset variable", Text: "GATEHOUSE_DATA_DIR is not set", Change: "package.env.GATEHOUSE_DATA_DIR", Line: 110}}}},
		},
		Processes: []proof.Process{{Name: "server", Starts: 2, Ready: millis(2.4), PeakMemory: 180 << 20, StopStatus: &status}, {Name: "worker", Starts: 2, PeakMemory: 90 << 20}},
	}
}

func nodes() []proof.Node {
	return []proof.Node{
		{ID: "f1", Kind: "fetch", Name: "left-pad"}, {ID: "f2", Kind: "fetch", Name: "zlib"}, {ID: "r", Kind: "root", Name: "root go"},
		{ID: "t", Kind: "toolchain", Name: "Go 1.25.14", Needs: []string{"f1", "r"}},
		{ID: "std", Kind: "deps", Name: "standard library of Go 1.25.14", Needs: []string{"t", "r"}},
		{ID: "s", Kind: "src", Name: "source of gatehouse-server"}, {ID: "w", Kind: "build", Name: "web", Needs: []string{"r", "f2"}},
		{ID: "b", Kind: "build", Name: "gatehouse-server", Needs: []string{"t", "std", "s", "r"}},
		{ID: "p", Kind: "package", Name: "gatehouse 1.4.0", Needs: []string{"b", "w", "r"}},
	}
}

// build is a build of which the root was there already.
func build(t *testing.T) *proof.Build {
	t.Helper()
	now := time.Date(2026, 11, 27, 1, 0, 0, 0, time.UTC)
	var timeline proof.Timeline
	sink := timeline.Sink(func() time.Time { return now }, event.Discard)
	kinds := map[string]proof.Node{}
	for _, n := range nodes() {
		kinds[n.ID] = n
	}
	for _, f := range []struct {
		id          string
		begin, took int
	}{{"f1", 0, 4}, {"f2", 1, 2}, {"s", 0, 1}, {"t", 4, 6}, {"w", 3, 20}, {"std", 10, 40}, {"b", 50, 30}, {"p", 80, 2}} {
		now = time.Date(2026, 11, 27, 1, 0, f.begin+f.took, 0, time.UTC)
		n := kinds[f.id]
		sink(event.Finished{Node: event.Node{ID: n.ID, Kind: n.Kind, Name: n.Name}, Duration: time.Duration(f.took) * time.Second})
	}
	sink(event.Finished{Node: event.Node{ID: "r"}, Err: errors.New("failed at first")})
	return timeline.Build(nodes())
}

// The page is one file that loads nothing, with what the record has in it, and what the record has of other people's words is only text.
func TestPage(t *testing.T) {
	shot, digest := picture(t)
	before := sample(digest)
	before.Release, before.Checks[0].Took, before.Processes[1].PeakMemory = "1.3.2", millis(9), 40<<20
	before.Checks[4].OK, before.Checks[4].Failure, before.Passed = true, nil, true
	p := proof.Page{Record: sample(digest), Shots: map[string][]byte{digest: shot}, Build: build(t), Before: before}
	first, err := p.HTML()
	if err != nil {
		t.Fatal(err)
	}
	second, err := p.HTML()
	if err != nil || !bytes.Equal(first, second) {
		t.Errorf("the second page is another: %v", err)
	}
	for _, want := range []string{"gatehouse 1.4.0 is not proven", "4 of 5", "refused: reused code", "400 invalid_grant", "Likely: unset variable.", "line 110 of the recipe",
		"&lt;script&gt;alert(1)", "no older release was given", "critical path", "2 artifacts", "180 MiB", "1.3.2"} {
		if !bytes.Contains(first, []byte(want)) {
			t.Errorf("%q is not on the page", want)
		}
	}
	tree, err := html.Parse(bytes.NewReader(first))
	if err != nil {
		t.Fatal(err)
	}
	pictures := 0
	for n := range tree.Descendants() {
		if n.Data == "script" || n.Data == "link" || n.Data == "iframe" {
			t.Errorf("the page has a %s", n.Data)
		}
		for _, a := range n.Attr {
			if a.Key == "src" {
				pictures++
				if !strings.HasPrefix(a.Val, "data:image/png;base64,") {
					t.Errorf("the page loads %s", a.Val)
				}
			}
			if a.Key == "href" || strings.HasPrefix(a.Key, "on") {
				t.Errorf("%s=%q", a.Key, a.Val)
			}
			if strings.Contains(a.Val, "ZgotmplZ") {
				t.Errorf("%s of %s was refused by the template", a.Key, n.Data)
			}
		}
	}
	if pictures != 1 {
		t.Errorf("%d pictures, want 1", pictures)
	}
	if file := os.Getenv("HEADWATER_KEEP_PAGE"); file != "" {
		if err := os.WriteFile(file, first, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// A page without a build, an earlier record or pictures is a page too; one with another picture than the record's is not.
func TestPageOfLittle(t *testing.T) {
	shot, digest := picture(t)
	r := sample(digest)
	if page, err := (proof.Page{Record: r}).HTML(); err != nil || bytes.Contains(page, []byte("<img")) || bytes.Contains(page, []byte("<svg")) {
		t.Errorf("%v\n%s", err, page)
	}
	if _, err := (proof.Page{Record: r, Build: &proof.Build{}}).HTML(); err != nil {
		t.Error(err)
	}
	if _, err := (proof.Page{Record: r, Shots: map[string][]byte{digest: shot[1:]}}).HTML(); err == nil || !strings.Contains(err.Error(), "is another than that of the record") {
		t.Error(err)
	}
}

func TestTimeline(t *testing.T) {
	want := nodes()
	for i, s := range []struct{ start, took float64 }{{0, 4}, {1, 2}, {}, {4, 6}, {10, 40}, {0, 1}, {3, 20}, {50, 30}, {80, 2}} {
		want[i].Start, want[i].Took, want[i].Made = millis(s.start), millis(s.took), s.took > 0
	}
	if diff := cmp.Diff(&proof.Build{Nodes: want}, build(t)); diff != "" {
		t.Error(diff)
	}
}

func TestChanges(t *testing.T) {
	before, after := sample("1"), sample("1")
	if got := proof.Changes(before, after); got != nil {
		t.Errorf("of the same: %v", got)
	}
	after.Release, after.Lock = "1.5.0", "sha256:"+strings.Repeat("ef", 32)
	after.Checks[2].Took = millis(9)
	after.Checks[0].Took = millis(1.9) // too little to tell of
	after.Checks[3].OK, after.Checks[3].Failure = false, &proof.Failure{Expected: "x", Seen: "y"}
	after.Checks[3].Findings = []proof.Finding{{Name: "refused: reused code"}}
	after.Checks[1].Name = "migrate"
	after.Processes[0].PeakMemory, after.Processes[0].Ready = 100<<20, millis(6)
	after.Processes[1].Name = "jobs"
	want := []proof.Change{
		{What: "release", Before: "1.4.0", After: "1.5.0"},
		{What: "lock", Before: "abababababab…", After: "efefefefefef…"},
		{What: "start: migrate", Before: "not checked", After: "passed"},
		{What: "time of checks: sign in", Before: "3.1 s", After: "9.0 s", Worse: true},
		{What: "checks: an application", Before: "passed", After: "failed", Worse: true},
		{What: "checks: an application: refused: reused code", Before: "passed", After: "failed", Worse: true},
		{What: "start: migrate an empty database", Before: "passed", After: "not checked", Worse: true},
		{What: "memory of server", Before: "180 MiB", After: "100 MiB"},
		{What: "start of server", Before: "2.4 s", After: "6.0 s", Worse: true},
		{What: "process jobs", Before: "none", After: "new"},
		{What: "process worker", Before: "there", After: "gone"},
	}
	if diff := cmp.Diff(want, proof.Changes(before, after)); diff != "" {
		t.Error(diff)
	}
}
