package main

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/artifact"
)

// What is gone is told apart from all else that went wrong, however deep it is, and each thing once.
func TestSplitGone(t *testing.T) {
	gone := func(name string) error {
		return &artifact.AbsentError{Artifact: artifact.Artifact{Ecosystem: artifact.NPM, Name: name, Version: "1", File: name + ".tgz"}, Why: "is lost"}
	}
	a, b, full := gone("a"), gone("@x/b"), errors.New("disk full")
	for name, c := range map[string]struct {
		err        error
		gone, rest []string
	}{
		"nothing":        {full, nil, []string{"disk full"}},
		"one":            {fmt.Errorf("fetch: %w", a), []string{"npm:a@1"}, nil},
		"the same twice": {errors.Join(fmt.Errorf("lock x: %w", a), fmt.Errorf("lock y: %w", a)), []string{"npm:a@1"}, nil},
		"among others":   {errors.Join(fmt.Errorf("lock x: %w", errors.Join(b, full, a)), full), []string{"npm:@x/b@1", "npm:a@1"}, []string{"lock x: disk full", "disk full"}},
		"with a story":   {fmt.Errorf("%w, since %w", full, a), nil, []string{"disk full, since npm a 1 (a.tgz): is lost"}},
		"an index":       {&artifact.AbsentError{Artifact: artifact.Artifact{Ecosystem: artifact.NPM, Name: "c"}, Why: "is lost"}, []string{}, nil},
	} {
		found, rest := splitGone(c.err)
		var keys []string
		if len(found) > 0 {
			keys = goneKeys(found)
		}
		if diff := cmp.Diff(c.gone, keys) + cmp.Diff(c.rest, rest); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	if got, want := goneText([]goneError{a.(goneError)}, []string{"disk full"}), "disk full\nan artifact is gone:\n  npm a 1 (a.tgz): is lost"; got != want {
		t.Errorf("told as %q, want %q", got, want)
	}
	if got, want := yamlKey("npm:a#b@1"), `"npm:a#b@1"`; got != want || yamlKey("npm:@x/b@1") != "npm:@x/b@1" {
		t.Errorf("a key is written %s, want %s", got, want)
	}
}
