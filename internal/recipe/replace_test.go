package recipe_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/artifact"
	"headwater/internal/recipe"
)

func TestParseReplaced(t *testing.T) {
	for key, want := range map[string]recipe.Replaced{
		"npm:left-pad@1.3.0":                  {Ecosystem: "npm", Name: "left-pad", Version: "1.3.0"},
		"npm:@acme/pad@1.3.0":                 {Ecosystem: "npm", Name: "@acme/pad", Version: "1.3.0"},
		"npm:@acme/pad":                       {Ecosystem: "npm", Name: "@acme/pad"},
		"go:a.example/m/v2@v2.1.0/v2.1.0.mod": {Ecosystem: "go", Name: "a.example/m/v2", Version: "v2.1.0", File: "v2.1.0.mod"},
		"pypi:Left_Pad.x@1!2.0+local":         {Ecosystem: "pypi", Name: "left-pad-x", Version: "1!2.0+local"},
		"maven:org.example:tool@1.0":          {Ecosystem: "maven", Name: "org.example:tool", Version: "1.0"},
	} {
		got, err := recipe.ParseReplaced(key)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v %s", key, err, diff)
		}
	}
	for _, key := range []string{"", "npm", "npm:", "left-pad@1.3.0", "gem:a@1", "npm:a@", "npm:a@1/"} {
		if got, err := recipe.ParseReplaced(key); err == nil {
			t.Errorf("%q: got %v, want an error", key, got)
		}
	}
}

func FuzzParseReplaced(f *testing.F) {
	f.Add("npm:@acme/pad@1.3.0/pad-1.3.0.tgz")
	f.Fuzz(func(t *testing.T, key string) {
		r, err := recipe.ParseReplaced(key)
		if err != nil {
			return
		}
		if again, err := recipe.ParseReplaced(r.String()); err != nil || again != r {
			t.Errorf("%q is %#v, which is written %q and read as %#v (%v)", key, r, r, again, err)
		}
	})
}

func TestReplacing(t *testing.T) {
	r := recipe.Recipe{Replace: map[string]recipe.Replacement{
		"npm:pad":                          {URL: "https://old.example/{file}"},
		"npm:pad@2.0.0":                    {Version: "2.0.1"},
		"go:a.example/m@v1.0.0":            {File: "gone/m.zip"},
		"go:a.example/n@v1.0.0":            {File: "gone/{file}"},
		"go:a.example/o@v1.0.0/v1.0.0.mod": {URL: "https://old.example/o"},
	}}
	for name, c := range map[string]struct {
		of   artifact.Artifact
		want string // "" for none
	}{
		"any version":       {artifact.Artifact{Ecosystem: artifact.NPM, Name: "pad", Version: "1.0.0", File: "pad 1.tgz"}, "url https://old.example/pad%201.tgz"},
		"this version":      {artifact.Artifact{Ecosystem: artifact.NPM, Name: "pad", Version: "2.0.0", File: "pad-2.0.0.tgz"}, "version 2.0.1"},
		"another package":   {artifact.Artifact{Ecosystem: artifact.NPM, Name: "pads", Version: "2.0.0", File: "pads-2.0.0.tgz"}, ""},
		"another ecosystem": {artifact.Artifact{Ecosystem: artifact.PyPI, Name: "pad", Version: "2.0.0", File: "pad-2.0.0.tar.gz"}, ""},
		"a zip":             {artifact.Artifact{Ecosystem: artifact.Go, Name: "a.example/m", Version: "v1.0.0", File: "v1.0.0.zip"}, "file gone/m.zip"},
		"the zip's mod":     {artifact.Artifact{Ecosystem: artifact.Go, Name: "a.example/m", Version: "v1.0.0", File: "v1.0.0.mod"}, ""},
		"both":              {artifact.Artifact{Ecosystem: artifact.Go, Name: "a.example/n", Version: "v1.0.0", File: "v1.0.0.mod"}, "file gone/v1.0.0.mod"},
		"one file":          {artifact.Artifact{Ecosystem: artifact.Go, Name: "a.example/o", Version: "v1.0.0", File: "v1.0.0.mod"}, "url https://old.example/o"},
		"its other file":    {artifact.Artifact{Ecosystem: artifact.Go, Name: "a.example/o", Version: "v1.0.0", File: "v1.0.0.zip"}, ""},
	} {
		got := ""
		if _, by, ok := r.Replacing(c.of); ok {
			got = by.String()
		}
		if got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

func TestReplacementsAreChecked(t *testing.T) {
	for name, c := range map[string]struct{ entry, want string }{
		"a url":               {`"npm:a@1": {url: "https://old.example/{file}"}`, ""},
		"a file":              {`"cargo:a@1": {file: gone/a.crate}`, ""},
		"a version":           {`"pypi:a@1": {version: "1"}`, ""},
		"a module's version":  {`"go:a.example/m@v1.0.0": {version: v1.0.1}`, ""},
		"a file's version":    {`"go:a.example/m@v1.0.0/v1.0.0.mod": {version: v1.0.1}`, "leave /v1.0.0.mod away"},
		"the same module":     {`"go:a.example/m@v1.0.0": {version: v1.0.0}`, "is the same version"},
		"a folder":            {`"pypi:a": {source: packages/a}`, ""},
		"an odd key":          {`"a@1": {version: "2"}`, "replace.a@1: "},
		"two":                 {`"npm:a@1": {version: "2", file: a.tgz}`, "wants one of"},
		"nothing":             {`"npm:a@1": {}`, "wants one of"},
		"a word too many":     {`"npm:a@1": {place: x}`, "place"},
		"the same version":    {`"npm:a@1": {version: "1"}`, "is the same version"},
		"another crate":       {`"cargo:a@1": {version: "2"}`, "npm and Python"},
		"a folder for npm":    {`"npm:a@1": {source: x}`, "Python projects"},
		"a file elsewhere":    {`"npm:a@1": {file: ../a.tgz}`, "clean relative path"},
		"credentials":         {`"npm:a@1": {url: "https://me:secret@old.example/a.tgz"}`, "without credentials"},
		"no address":          {`"npm:a@1": {url: "old.example/a.tgz"}`, "http"},
		"a path as a url":     {`"npm:a@1": {url: "file:///a.tgz"}`, "http"},
		"the same name twice": {"\"npm:a@1\": {version: \"2\"}\n  \"npm:a@1\": {version: \"3\"}", "already defined"},
	} {
		_, err := recipe.Parse([]byte(small + "\nreplace:\n  " + c.entry + "\n"))
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want an error that says %q", name, err, c.want)
		}
	}
}

// The replacements of a recipe decide what its lock holds; a recipe without any has the hash that it had before there were any.
func TestPinnedHasReplacements(t *testing.T) {
	var hashes []string
	for _, replace := range []map[string]recipe.Replacement{nil, {}, {"npm:a@1": {Version: "2"}}, {"npm:a@1": {File: "2"}}} {
		h, err := (&recipe.Recipe{Name: "a", Replace: replace}).Pinned()
		if err != nil {
			t.Fatal(err)
		}
		hashes = append(hashes, h.String())
	}
	if hashes[0] != hashes[1] || hashes[1] == hashes[2] || hashes[2] == hashes[3] {
		t.Errorf("got %q", hashes)
	}
}
