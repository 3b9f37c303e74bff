package oracle_test

import (
	"flag"
	"fmt"
	"headwater/internal/dag"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write testdata/gatehouse.sums anew")

// sums is what gatehouse's derivations gave on other days, on other machines: an output's path, its NAR hash and the day, a line each; and the image's
// digest, by the release of Go that made it.
const sums = "testdata/gatehouse.sums"

// sum is a line of it.
type sum struct{ hash, day string }

// Gatehouse is the same bytes today as on the days that are written in testdata: no clock, and nothing of the machine that built it
// then, is in it. Who changes a derivation writes the file anew (-update); a path that stays must have its hash even so.
func TestGatehouseOnAnotherDay(t *testing.T) {
	p := compile(t)
	ours, pkg := p.buildGatehouse(t)
	known, now := readSums(t), map[string]sum{}
	today := time.Now().UTC().Format(time.DateOnly)
	same := map[string]int{}
	note := func(what, hash string) {
		old, isKnown := known[what]
		switch {
		case !isKnown && !*update:
			t.Errorf("%s is not in %s: run this test with -update", what, sums)
		case !isKnown:
			old = sum{hash, today}
		case old.hash != hash:
			t.Errorf("%s was %s on %s and is %s", what, old.hash, old.day, hash)
		default:
			same[old.day]++
		}
		now[what] = old
	}
	for _, n := range dag.Closure(pkg) {
		if n.Drv == nil || n.Drv.Builder == "builtin:fetchurl" {
			continue // a download's hash is its path
		}
		for _, out := range n.Outputs {
			info, err := ours.Query(t.Context(), out)
			if err != nil {
				t.Fatal(err)
			}
			note(string(out), info.NARHash.SRI())
		}
	}
	// Another release of Go may compress otherwise: where it is not written what it made, that is no fault.
	image := "image-by-" + runtime.Version() + "-of-" + pkg.Path().Base()
	if _, isKnown := known[image]; isKnown || *update {
		note(image, p.run(t, ours.Dir(), "image", gatehouse))
	}
	if *update && !t.Failed() {
		writeSums(t, now)
	}
	for _, day := range slices.Sorted(maps.Keys(same)) {
		t.Logf("%d of %d outputs are as on %s", same[day], len(now), day)
	}
}

func readSums(t *testing.T) map[string]sum {
	t.Helper()
	list := map[string]sum{}
	data, err := os.ReadFile(sums)
	if err != nil && !*update {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		words := strings.Fields(line)
		if len(words) != 3 {
			t.Fatalf("%s: bad line %q", sums, line)
		}
		list[words[0]] = sum{words[1], words[2]}
	}
	return list
}

func writeSums(t *testing.T, list map[string]sum) {
	t.Helper()
	var b strings.Builder
	for _, p := range slices.Sorted(maps.Keys(list)) {
		fmt.Fprintln(&b, p, list[p].hash, list[p].day)
	}
	if err := os.WriteFile(sums, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}
