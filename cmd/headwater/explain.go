package main

import (
	"fmt"
	"io"
	"maps"
	"slices"

	"headwater/internal/plan"
)

// explain lists every fact with where it comes from, then what is open and what is worth a look.
func explain(w io.Writer, p *plan.Plan) {
	for _, key := range slices.Sorted(maps.Keys(p.Evidence)) {
		fmt.Fprintln(w, key)
		for _, e := range p.Evidence[key] {
			fmt.Fprintf(w, "    %s\n", e)
		}
	}
	for _, r := range p.Remarks {
		fmt.Fprintf(w, "note: %s\n", r.Text)
		for _, e := range r.Evidence {
			fmt.Fprintf(w, "    %s\n", e)
		}
	}
	openQuestions(w, p)
}
