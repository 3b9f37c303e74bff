package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"headwater/internal/change"
	"headwater/internal/plan"
)

func (a *app) diffCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "diff OLD NEW",
		Short: "Say what changed between two releases, with the evidence",
		Long: `Say what changed between two releases: the build's shape (components and what they use), toolchains, roots, what the service is given at
run time (paths, environment, ports, processes, volumes), migrations, dependencies and the roots' packages, each with the lines on
either side.

OLD and NEW are each a source, which is planned (see headwater plan), or a folder with a headwater.yaml. Dependencies come from both
folders' headwater.lock if there are two, else from the upstream's own lock files.

With --json a line is printed for each change: {"v": 1, "area", "key", "old", "new", "old-evidence", "new-evidence"}.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return &usageError{errors.New("diff takes two arguments: the old release and the new one")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return a.diff(cmd.Context(), args[0], args[1]) },
	}
}

func (a *app) diff(ctx context.Context, old, new string) error {
	var sides [2]change.Subject
	for i, src := range []string{old, new} {
		s, err := a.subject(ctx, src)
		if err != nil {
			return err
		}
		sides[i] = s
	}
	changes, err := change.Between(sides[0], sides[1])
	if err != nil {
		return &inputError{err, ""}
	}
	if a.json {
		enc := json.NewEncoder(a.stdout)
		for _, c := range changes {
			line := struct {
				V int `json:"v"`
				change.Change
			}{1, c}
			if err := enc.Encode(line); err != nil {
				return err
			}
		}
		return nil
	}
	return tellChanges(a.stdout, changes)
}

// subject reads a folder with a recipe, or plans a source.
func (a *app) subject(ctx context.Context, src string) (change.Subject, error) {
	if _, err := os.Stat(filepath.Join(src, recipeFile)); err == nil {
		return recipeSubject(src)
	} else if !errors.Is(err, fs.ErrNotExist) && !isNotDir(err) {
		return change.Subject{}, err
	}
	p, t, err := a.planSource(ctx, src, planOptions{})
	if err != nil {
		return change.Subject{}, err
	}
	if p.Recipe == nil {
		openQuestions(a.stderr, p)
		return change.Subject{}, &failedCheck{fmt.Errorf("%s cannot be planned: see the open questions", src)}
	}
	if p.Uncertain() {
		fmt.Fprintf(a.stderr, "note: the plan of %s is not sure what the main product is: see headwater plan\n", src)
	}
	return change.Subject{Recipe: p.Recipe, Tree: plan.NewTree(t.FS(), t.Paths()), Prove: p.EvidenceOf}, nil
}

// isNotDir tells that a part of a path is a file, as it is where the source is an archive.
func isNotDir(err error) bool {
	var p *fs.PathError
	return errors.As(err, &p) && strings.Contains(p.Err.Error(), "not a directory")
}

// recipeSubject is a folder with a recipe; the evidence for a key is its line there.
func recipeSubject(dir string) (change.Subject, error) {
	p, err := openProject([]string{dir})
	if err != nil {
		return change.Subject{}, err
	}
	name := filepath.Join(dir, recipeFile)
	data, err := os.ReadFile(name)
	if err != nil {
		return change.Subject{}, fmt.Errorf("read recipe: %w", err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return change.Subject{}, fmt.Errorf("%s: %w", name, err)
	}
	return change.Subject{
		Recipe: p.recipe, Tree: plan.NewTree(p.tree.FS(), p.tree.Paths()), Lock: p.lock, LockText: p.lockText,
		Prove: func(key string) []plan.Evidence {
			return []plan.Evidence{{File: recipeFile, Line: plan.LineOf(&doc, key)}}
		},
	}, nil
}

// tellChanges prints changes for people: how many there are of each area, then the changes by area.
func tellChanges(w io.Writer, changes []change.Change) error {
	if len(changes) == 0 {
		_, err := io.WriteString(w, "nothing that is built or run differs\n")
		return err
	}
	var b bytes.Buffer
	count := map[change.Area]int{}
	for _, c := range changes {
		count[c.Area]++
	}
	var words []string
	for _, area := range change.Areas() {
		if count[area] > 0 {
			words = append(words, fmt.Sprintf("%s %d", area, count[area]))
		}
	}
	fmt.Fprintf(&b, "%d changes: %s\n", len(changes), strings.Join(words, ", "))
	var area change.Area
	for _, c := range changes {
		if c.Area != area {
			area = c.Area
			fmt.Fprintf(&b, "\n%s\n", area)
		}
		switch {
		case c.Old == "":
			fmt.Fprintf(&b, "  + %s%s", c.Key, valueOf(c.New))
		case c.New == "":
			fmt.Fprintf(&b, "  - %s%s", c.Key, valueOf(c.Old))
		default:
			fmt.Fprintf(&b, "  ~ %s: %s → %s", c.Key, c.Old, c.New)
		}
		old, new := placesOf(c.OldEvidence), placesOf(c.NewEvidence)
		switch {
		case c.Area == change.Dependencies || c.Area == change.Packages: // there are hundreds of them
			if old != "" && new != "" {
				old += " → "
			}
			fmt.Fprintf(&b, "  (%s%s)\n", old, new)
		default:
			b.WriteByte('\n')
			if old != "" && old != c.Key { // a file proves itself
				fmt.Fprintf(&b, "      old: %s\n", old)
			}
			if new != "" && new != c.Key {
				fmt.Fprintf(&b, "      new: %s\n", new)
			}
		}
	}
	_, err := w.Write(b.Bytes())
	return err
}

// placesOf lists evidence, the lines of one file behind its name.
func placesOf(list []plan.Evidence) string {
	var words []string
	last := plan.Evidence{}
	for _, e := range list {
		if e.Rule == "" && last.Rule == "" && e.Line > 0 && last.Line > 0 && e.File == last.File {
			words[len(words)-1] += fmt.Sprintf(",%d", e.Line)
		} else {
			words = append(words, e.String())
		}
		last = e
	}
	return strings.Join(words, ", ")
}

func valueOf(s string) string {
	if s == "yes" {
		return ""
	}
	return ": " + s
}
