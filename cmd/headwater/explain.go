package main

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"slices"

	"headwater/internal/plan"
)

// explain prints every fact with where it comes from, then what is worth a look and what is open.
func explain(w io.Writer, p *plan.Plan) error {
	var b bytes.Buffer
	for _, key := range slices.Sorted(maps.Keys(p.Evidence)) {
		if value := p.Value(key); value != "" {
			fmt.Fprintf(&b, "%s = %s\n", key, value)
		} else {
			fmt.Fprintln(&b, key)
		}
		for _, e := range p.Evidence[key] {
			fmt.Fprintf(&b, "    %s\n", e)
		}
	}
	for _, r := range p.Remarks {
		fmt.Fprintf(&b, "note: %s\n", r.Text)
		for _, e := range r.Evidence {
			fmt.Fprintf(&b, "    %s\n", e)
		}
	}
	openQuestions(&b, p)
	_, err := w.Write(b.Bytes())
	return err
}

// openQuestions prints what the tree does not tell, with what was looked at.
func openQuestions(w io.Writer, p *plan.Plan) {
	for _, q := range p.Questions {
		fmt.Fprintf(w, "open: %s: %s\n", q.About, q.Ask)
		for _, e := range q.Looked {
			fmt.Fprintf(w, "      looked at %s\n", e)
		}
	}
}
