package plan

import (
	"path"
	"slices"
	"strings"
	"sync"

	"headwater/internal/recipe"
)

// Options of a plan.
type Options struct {
	Name, Release string            // "" means what the tree says
	URL, Revision string            // of the repository and the commit that the tree is of; "" if it is not known
	Dockerfile    string            // the one to follow; "" means the best
	Target        string            // its stage; "" means what the tree says, else the last
	Args          map[string]string // build arguments
	Recognisers   []Recogniser      // the ecosystems'
}

// Plan is what was inferred.
type Plan struct {
	Recipe   *recipe.Recipe
	Evidence map[string][]Evidence // by key of the recipe: "components.web.src"
	Notes
}

// Uncertain tells whether it is not sure what the main product is.
func (p *Plan) Uncertain() bool {
	return slices.ContainsFunc(p.Questions, func(q Question) bool { return q.Main })
}

// New plans a tree. The error says what cannot be read; what cannot be known is among the plan's questions.
func New(t *Tree, o Options) (*Plan, error) {
	p := &Plan{Evidence: map[string][]Evidence{}}
	var ahead sync.WaitGroup
	defer ahead.Wait()
	ahead.Go(func() { t.healthRoutes() }) // all sources are read for it, meanwhile
	best, err := chooseImage(t, o, &p.Notes)
	if err != nil {
		return nil, err
	}
	var u *unwritten
	if best == nil {
		if best, u, err = writeImage(t, o, &p.Notes); err != nil || best == nil {
			return p, err
		}
		defer func() { u.settle(p) }()
	}
	a := assemble(best, o, &p.Notes)
	a.submodules()
	if u != nil {
		u.complete(a)
	}
	p.Recipe, p.Evidence = a.recipe, a.evidence
	for _, r := range o.Recognisers {
		if reviewer, ok := r.(Reviewer); ok {
			reviewer.Review(t, p.Recipe, &p.Notes)
		}
	}
	if len(p.Recipe.Components) == 0 && !p.Uncertain() {
		p.Ask(Question{About: "components", Main: true, Looked: []Evidence{best.target.Evidence}, Ask: "nothing of the tree is in the image; what is the service built from?"})
	}
	for _, problem := range a.recipe.Check() {
		p.Ask(Question{About: "recipe", Ask: "the recipe is not whole: " + problem, Main: true, Looked: []Evidence{best.target.Evidence}})
	}
	return p, nil
}

// Dockerfiles lists what is named like a Dockerfile, shallow ones first.
func (t *Tree) Dockerfiles() []string {
	var out []string
	for _, f := range t.Files() {
		base := strings.ToLower(path.Base(f))
		if slices.Contains([]string{".dockerignore", ".go", ".html", ".js", ".md", ".py", ".rs", ".rst", ".ts", ".txt"}, path.Ext(base)) {
			continue // about one, or for one
		}
		if base == "dockerfile" || base == "containerfile" || strings.HasPrefix(base, "dockerfile.") || strings.HasPrefix(base, "dockerfile-") || strings.HasSuffix(base, ".dockerfile") {
			out = append(out, f)
		}
	}
	slices.SortStableFunc(out, func(a, b string) int { return strings.Count(a, "/") - strings.Count(b, "/") })
	return out
}
