package main

import (
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

	"headwater/internal/ecosystem/golang"
	"headwater/internal/ecosystem/node"
	"headwater/internal/ecosystem/openapi"
	"headwater/internal/ecosystem/python"
	"headwater/internal/plan"
	"headwater/internal/source"
)

// recognisers lists who knows the commands that upstreams build with.
func recognisers() []plan.Recogniser {
	return []plan.Recogniser{golang.Recogniser{}, node.NewRecogniser(), openapi.Recogniser{}, python.Recogniser{}}
}

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
What the tree does not tell is an open question. Nothing is run, and nothing but the tree is read.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return &usageError{errors.New("plan takes one argument: the folder of the upstream's tree")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return a.plan(cmd.Context(), args[0], o) },
	}
	f := cmd.Flags()
	f.StringVarP(&o.out, "out", "o", "", "write headwater.yaml into this folder instead of printing it")
	f.BoolVar(&o.explain, "explain", false, "say of each fact where it comes from")
	f.StringVar(&o.plan.Name, "name", "", "name of the service (default: the source's folder)")
	f.StringVar(&o.plan.Release, "release", "", "the upstream's version (default: what the tree says)")
	f.StringVar(&o.plan.Dockerfile, "dockerfile", "", "Dockerfile to follow, in the tree (default: the one that ships)")
	f.StringVar(&o.plan.Target, "target", "", "stage of it that ships")
	f.StringArrayVar(&o.args, "build-arg", nil, "build argument, NAME=VALUE; may be repeated")
	return cmd
}

func (a *app) plan(_ context.Context, src string, o planOptions) error {
	t, err := source.Open(src)
	if err != nil {
		return &inputError{err, "give the folder of the upstream's tree"}
	}
	o.plan.Recognisers = recognisers()
	o.plan.Args = map[string]string{}
	for _, arg := range o.args {
		k, v, ok := strings.Cut(arg, "=")
		if !ok {
			return &usageError{fmt.Errorf("--build-arg %s is not NAME=VALUE", arg)}
		}
		o.plan.Args[k] = v
	}
	if o.plan.Name == "" {
		abs, err := filepath.Abs(src)
		if err != nil {
			return err
		}
		o.plan.Name = plan.ComponentName(filepath.Base(abs) + ".x")
	}
	p, err := plan.New(plan.NewTree(t.FS(), t.Paths()), o.plan)
	if err != nil {
		return &inputError{err, ""}
	}
	if err := a.renderPlan(p, src, o); err != nil {
		return err
	}
	if p.Uncertain() {
		return &failedCheck{errors.New("the plan is not sure what the main product is: see the open questions")}
	}
	return nil
}

// renderPlan writes the recipe where it is wanted, and tells what is open.
func (a *app) renderPlan(p *plan.Plan, src string, o planOptions) error {
	if a.json {
		return json.NewEncoder(a.stdout).Encode(map[string]any{
			"v": 1, "recipe": p.Recipe, "evidence": p.Evidence, "questions": p.Questions, "remarks": p.Remarks,
		})
	}
	if o.explain {
		explain(a.stderr, p)
	} else {
		openQuestions(a.stderr, p)
	}
	if p.Recipe == nil {
		return nil
	}
	if o.out != "" {
		rel, err := relativeFolder(o.out, src)
		if err != nil {
			return err
		}
		p.Recipe.Source = rel
	}
	data, err := p.YAML()
	if err != nil {
		return err
	}
	if o.out == "" {
		_, err := a.stdout.Write(data)
		return err
	}
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return err
	}
	name := filepath.Join(o.out, recipeFile)
	if _, err := os.Stat(name); err == nil {
		return &inputError{fmt.Errorf("%s exists already", name), "move it away, or plan into another folder"}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := replaceFile(name, data); err != nil {
		return fmt.Errorf("write recipe: %w", err)
	}
	return a.result("recipe", name)
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

func openQuestions(w io.Writer, p *plan.Plan) {
	for _, q := range p.Questions {
		fmt.Fprintf(w, "open: %s: %s\n", q.About, q.Ask)
		for _, e := range q.Looked {
			fmt.Fprintf(w, "      looked at %s\n", e)
		}
	}
}
