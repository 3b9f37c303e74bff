package plan_test

import (
	"strings"
	"testing"
)

// A submodule that the tree has nothing of is asked for, one that is there or aside of the service is not.
func TestMissingSubmodules(t *testing.T) {
	t.Parallel()
	p := planned(t, "Dockerfile", main("x"), "lib/there/a.c", "",
		".gitmodules", "[submodule \"t\"]\n\tpath = texts/all\n\turl = ../t\n[submodule \"l\"]\n\tpath = lib/there\n[submodule \"d\"]\n\tpath = docs/theme\n")
	var asked []string
	for _, q := range p.Questions {
		if strings.Contains(q.Ask, "submodule") {
			asked = append(asked, q.Looked[0].String()+" "+strings.Fields(q.Ask)[2])
		}
	}
	if len(asked) != 1 || asked[0] != ".gitmodules:2 texts/all" {
		t.Errorf("%q", asked)
	}
}
