package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"headwater/internal/ecosystem/all"
	"headwater/internal/plan"
	"headwater/internal/recipe/merge"
	"headwater/internal/source"
	"headwater/internal/source/obtain"
)

type planOptions struct {
	plan    plan.Options
	out     string
	explain bool
	args    []string
}

func (a *app) planCommand() *cobra.Command {
	var o planOptions
	cmd := &cobra.Command{
		Use:   "plan SOURCE",
		Short: "Infer a recipe from an upstream's tree, with the evidence for it",
		Long: `Infer a recipe from an upstream's tree: components, toolchains, roots, layout, processes. Each line says where it comes from.
What the tree does not tell is an open question. Nothing is run, and nothing but the tree is read.

SOURCE is the folder of the upstream's tree, an archive of it (.tar.gz, .tar.xz, .tar, .zip), a commit of a git repository on this
machine (DIR@REF) or of one elsewhere (URL or URL@REF, which this machine's own git fetches). What is not a folder is unpacked into
the user's cache.

With -o the recipe is written into a folder. Where that has one already, it is planned anew: what you edited stays, what upstream changed
moves, and where both changed one thing, your value is kept, the difference is shown and the exit code is 1. What plan wrote itself is
kept for that beside the recipe, in headwater.plan; keep both in version control.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return &usageError{errors.New("plan takes one argument: the upstream's tree")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return a.plan(cmd.Context(), args[0], o) },
	}
	f := cmd.Flags()
	f.StringVarP(&o.out, "out", "o", "", "write headwater.yaml into this folder, or merge it with the one there, instead of printing it")
	f.BoolVar(&o.explain, "explain", false, "print each fact with where it comes from, for people, instead of the recipe")
	f.StringVar(&o.plan.Name, "name", "", "name of the service (default: the source's folder)")
	f.StringVar(&o.plan.Release, "release", "", "the upstream's version (default: what the tree says)")
	f.StringVar(&o.plan.Dockerfile, "dockerfile", "", "Dockerfile to follow, in the tree (default: the one that ships)")
	f.StringVar(&o.plan.Target, "target", "", "stage of it that ships")
	f.StringArrayVar(&o.args, "build-arg", nil, "build argument, NAME=VALUE; may be repeated")
	return cmd
}

func (a *app) plan(ctx context.Context, src string, o planOptions) error {
	p, t, err := a.planSource(ctx, src, o)
	if err != nil {
		return err
	}
	conflicts, err := a.renderPlan(p, t.Dir(), o)
	if err != nil {
		return err
	}
	var problems []error
	if p.Uncertain() {
		problems = append(problems, &failedCheck{errors.New("the plan is not sure what the main product is: see the open questions")})
	}
	if len(conflicts) > 0 {
		problems = append(problems, &failedCheck{fmt.Errorf("%d edits of the recipe and the new plan differ: your values were kept, see above", len(conflicts))})
	}
	return errors.Join(problems...)
}

// sources is where trees are kept that come from elsewhere.
func (a *app) sources() obtain.Options {
	return obtain.Options{Cache: filepath.Join(a.xdg("XDG_CACHE_HOME", ".cache"), "sources")}
}

// planSource plans what src names, and opens it.
func (a *app) planSource(ctx context.Context, src string, o planOptions) (*plan.Plan, *source.Tree, error) {
	found, err := obtain.Find(ctx, src, a.sources())
	if err != nil {
		return nil, nil, err
	}
	t, err := source.Open(found.Dir)
	if err != nil {
		return nil, nil, &inputError{err, "give the folder of the upstream's tree"}
	}
	o.plan.Recognisers = all.Recognisers()
	o.plan.Args = map[string]string{}
	for _, arg := range o.args {
		k, v, ok := strings.Cut(arg, "=")
		if !ok {
			return nil, nil, &usageError{fmt.Errorf("--build-arg %s is not NAME=VALUE", arg)}
		}
		o.plan.Args[k] = v
	}
	if o.plan.Name == "" {
		if o.plan.Name, err = plannedName(o.out); err != nil {
			return nil, nil, err
		}
	}
	if o.plan.Name == "" {
		o.plan.Name = plan.ComponentName(found.Name + ".x")
	}
	o.plan.URL, o.plan.Revision = found.URL, found.Revision
	p, err := plan.New(plan.NewTree(t.FS(), t.Paths()), o.plan)
	if err != nil {
		return nil, nil, &inputError{err, ""}
	}
	return p, t, nil
}

// renderPlan writes the recipe where it is wanted, and tells what is open and where a person's edits and the plan differ.
func (a *app) renderPlan(p *plan.Plan, src string, o planOptions) ([]merge.Conflict, error) {
	if o.out != "" && p.Recipe != nil {
		rel, err := relativeFolder(o.out, src)
		if err != nil {
			return nil, err
		}
		p.Recipe.Source = rel
	}
	switch {
	case a.json:
		data, err := p.JSON()
		if err != nil {
			return nil, err
		}
		if _, err := a.stdout.Write(data); err != nil {
			return nil, err
		}
	case o.explain:
		if err := explain(a.stdout, p); err != nil {
			return nil, err
		}
	default:
		openQuestions(a.stderr, p)
	}
	if p.Recipe == nil {
		return nil, nil
	}
	if o.out != "" {
		return a.writePlan(o.out, p)
	}
	if a.json || o.explain {
		return nil, nil
	}
	data, err := p.YAML()
	if err != nil {
		return nil, err
	}
	_, err = a.stdout.Write(data)
	return nil, err
}

func relativeFolder(from, to string) (string, error) {
	a, err := filepath.Abs(from)
	if err != nil {
		return "", err
	}
	b, err := filepath.Abs(to)
	if err != nil {
		return "", err
	}
	rel, err := filepath.Rel(a, b)
	return filepath.ToSlash(rel), err
}
