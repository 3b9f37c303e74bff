package main

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"headwater/internal/artifact"
	"headwater/internal/recipe"
)

// goneError is what fetch.GoneError and artifact.AbsentError have in common.
type goneError interface {
	artifact.Gone
	Of() artifact.Artifact
	Line() string
}

// splitGone takes an error apart: the artifacts that are gone, each once, sorted; and what else went wrong.
func splitGone(err error) (gone []goneError, rest []string) {
	seen := map[string]bool{}
	var split func(err error, prefix string)
	split = func(err error, prefix string) {
		if g, ok := err.(goneError); ok {
			if line := g.Line(); !seen[line] {
				seen[line] = true
				gone = append(gone, g)
			}
			return
		}
		if list, ok := joined(err); ok {
			for _, e := range list {
				split(e, prefix)
			}
			return
		}
		if inner := errors.Unwrap(err); inner != nil && errors.As(inner, new(goneError)) {
			split(inner, prefix+strings.TrimSuffix(err.Error(), inner.Error()))
			return
		}
		rest = append(rest, prefix+err.Error())
	}
	split(err, "")
	slices.SortFunc(gone, func(a, b goneError) int { return strings.Compare(a.Line(), b.Line()) })
	return gone, rest
}

// joined lists what errors.Join made one. An error that has several causes and something of its own to say is not taken apart.
func joined(err error) ([]error, bool) {
	j, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return nil, false
	}
	texts := make([]string, len(j.Unwrap()))
	for i, e := range j.Unwrap() {
		texts[i] = e.Error()
	}
	return j.Unwrap(), strings.Join(texts, "\n") == err.Error()
}

// goneText tells of all artifacts that are gone, one a line, after all else.
func goneText(gone []goneError, rest []string) string {
	var b strings.Builder
	for _, r := range rest {
		fmt.Fprintln(&b, r)
	}
	if len(gone) == 1 {
		b.WriteString("an artifact is gone:")
	} else {
		fmt.Fprintf(&b, "%d artifacts are gone:", len(gone))
	}
	for _, g := range gone {
		b.WriteString("\n  " + g.Line())
	}
	return b.String()
}

// goneKeys are the artifacts as a recipe's "replace" names them, each once; those of one version are one. What has no file is a registry's
// index, for which nothing can stand in.
func goneKeys(gone []goneError) []string {
	keys := []string{}
	for _, g := range gone {
		if g.Of().File != "" {
			keys = append(keys, recipe.ReplacedOf(g.Of()).String())
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// goneHint says what to write into the recipe, with an example of each of what there is.
func goneHint(gone []goneError) string {
	keys := goneKeys(gone)
	if len(keys) == 0 {
		return hintOf(gone[0])
	}
	var b strings.Builder
	b.WriteString("where you have another place for these, name it in headwater.yaml: an address, a file beside the recipe, or another version (of npm and\nPython packages and Go modules), then run headwater lock; a mirror that still has them can be named in registries.yaml\n\n  replace:")
	for _, key := range keys {
		files := map[string]bool{}
		var one artifact.Artifact
		for _, g := range gone {
			if recipe.ReplacedOf(g.Of()).String() == key {
				one = g.Of()
				files[g.Of().File] = true
			}
		}
		file := path.Base(one.File)
		if len(files) > 1 {
			file = "{file}"
		}
		fmt.Fprintf(&b, "\n    %s: {file: \"gone/%s\"}", yamlKey(key), file)
		switch one.Ecosystem {
		case artifact.NPM, artifact.PyPI, artifact.Go:
			b.WriteString("  # or {version: …}, {url: …}")
		default:
			b.WriteString("  # or {url: …}")
		}
	}
	return b.String()
}

// yamlKey quotes a key where YAML would not read it as it is.
func yamlKey(key string) string {
	if strings.ContainsAny(key, "#\"' {}[],&*!|>%`") || strings.HasSuffix(key, ":") {
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(key) + `"`
	}
	return key
}
