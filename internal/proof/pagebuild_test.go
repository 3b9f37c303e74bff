package proof_test

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/event"
	"headwater/internal/proof"
)

func nodes() []proof.Node {
	return []proof.Node{
		{ID: "f1", Kind: "fetch", Name: "left-pad"}, {ID: "f2", Kind: "fetch", Name: "zlib"}, {ID: "r", Kind: "root", Name: "root go"},
		{ID: "t", Kind: "toolchain", Name: "Go 1.25.14", Needs: []string{"f1", "r"}},
		{ID: "std", Kind: "deps", Name: "standard library of Go 1.25.14", Needs: []string{"t", "r"}},
		{ID: "s", Kind: "src", Name: "source of server"}, {ID: "w", Kind: "build", Name: "web <ui>", Needs: []string{"r", "f2"}},
		{ID: "b", Kind: "build", Name: "server", Needs: []string{"t", "std", "s", "r"}},
		{ID: "p", Kind: "package", Name: "hello 1", Needs: []string{"b", "w", "r"}},
	}
}

// build is a build of which the root was there already.
func build() *proof.Build {
	at := func(s int) time.Time { return time.Date(2026, 11, 27, 1, 0, s, 0, time.UTC) }
	now := at(0)
	var timeline proof.Timeline
	sink := timeline.Sink(func() time.Time { return now }, event.Discard)
	byID := map[string]proof.Node{}
	for _, n := range nodes() {
		byID[n.ID] = n
	}
	for _, f := range []struct {
		id          string
		begin, took int
	}{{"f1", 0, 4}, {"f2", 1, 2}, {"s", 0, 1}, {"t", 4, 6}, {"w", 3, 20}, {"std", 10, 40}, {"b", 50, 30}, {"p", 80, 2}} {
		now = at(f.begin + f.took)
		n := byID[f.id]
		sink(event.Finished{Node: event.Node{ID: n.ID, Kind: n.Kind, Name: n.Name}, Duration: time.Duration(f.took) * time.Second})
	}
	sink(event.Finished{Node: event.Node{ID: "r"}, Err: errors.New("failed")})
	return timeline.Build(nodes())
}

func TestTimeline(t *testing.T) {
	want := nodes()
	second := func(n int) proof.Millis { return proof.Millis(time.Duration(n) * time.Second) }
	for i, s := range []struct{ start, took int }{{0, 4}, {1, 2}, {}, {4, 6}, {10, 40}, {0, 1}, {3, 20}, {50, 30}, {80, 2}} {
		want[i].Start, want[i].Took, want[i].Made = second(s.start), second(s.took), s.took > 0
	}
	if diff := cmp.Diff(&proof.Build{Nodes: want}, build()); diff != "" {
		t.Error(diff)
	}
}

// The page has the build's timeline with its critical path, and the graph; the same input gives the same bytes.
func TestPageOfABuild(t *testing.T) {
	shot := func(string) ([]byte, error) { return []byte("a picture"), nil }
	page, err := proof.Page(record(), record(), build(), shot)
	if err != nil {
		t.Fatal(err)
	}
	again, err := proof.Page(record(), record(), build(), shot)
	if err != nil || !bytes.Equal(page, again) {
		t.Errorf("the second page is another: %v", err)
	}
	text := string(page)
	for _, want := range []string{
		"8 of 9 parts", "The critical path has 1 min 22 s of work", "2 artifacts", "2 fetched artifacts are not drawn", "web &lt;ui&gt;", "Nothing differs",
		`class="k-root was"`, `class="k-deps hot"`, `class="k-build"`, "75 s",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page has no %q", want)
		}
	}
	if strings.Contains(text, "ZgotmplZ") {
		t.Error("the template refused something")
	}
	if file := os.Getenv("HEADWATER_KEEP_PAGE"); file != "" {
		if err := os.WriteFile(file, page, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// Nothing was made, and there is nothing.
	for _, b := range []*proof.Build{{Nodes: nodes()}, {}} {
		if page, err := proof.Page(record(), nil, b, shot); err != nil || !bytes.Contains(page, []byte("there already")) {
			t.Error(err)
		}
	}
}
