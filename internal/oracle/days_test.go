package oracle_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write testdata/gatehouse.sums anew")

// sums is what gatehouse's derivations gave on other days, on other machines: an output's path, its NAR hash and the day, a line each.
const sums = "testdata/gatehouse.sums"

// sum is a line of it.
type sum struct{ hash, day string }

// Gatehouse is the same bytes today as on the days that are written in testdata: no clock, and nothing of the machine that built it
// then, is in it. Who changes a derivation writes the file anew (-update); a path that stays must have its hash even so.
func TestGatehouseOnAnotherDay(t *testing.T) {
	ours, pkg := buildGatehouse(t)
	known, now := readSums(t), map[string]sum{}
	today := time.Now().UTC().Format(time.DateOnly)
	same := map[string]int{}
	for _, n := range closure(pkg) {
		if n.Drv == nil || n.Drv.Builder == "builtin:fetchurl" {
			continue // a download's hash is its path
		}
		for _, p := range n.Outputs {
			info, err := ours.Query(t.Context(), p)
			if err != nil {
				t.Fatal(err)
			}
			old, isKnown := known[string(p)]
			switch {
			case !isKnown && !*update:
				t.Errorf("%s is not in %s: run this test with -update", p, sums)
			case !isKnown:
				old = sum{info.NARHash.SRI(), today}
			case old.hash != info.NARHash.SRI():
				t.Errorf("%s was %s on %s and is %s", p, old.hash, old.day, info.NARHash.SRI())
			default:
				same[old.day]++
			}
			now[string(p)] = old
		}
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
