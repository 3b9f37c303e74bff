package plan

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"headwater/internal/recipe"
)

// Options of a plan.
type Options struct {
	Name, Release string            // "" means what the tree says
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
	best, err := chooseImage(t, o, &p.Notes)
	if err != nil {
		return nil, err
	}
	if best == nil {
		p.Ask(Question{About: "package", Ask: "no Dockerfile says how the service is put together", Main: true})
		return p, nil
	}
	a := assemble(best.target, best.image.shared)
	p.Recipe, p.Evidence = a.recipe, a.evidence
	return p, nil
}

// candidate is a Dockerfile that was followed, and the stage that would be shipped.
type candidate struct {
	image  *image
	target *Stage
}

// chooseImage follows every Dockerfile and takes the one that makes most of the tree with least left open.
func chooseImage(t *Tree, o Options, notes *Notes) (*candidate, error) {
	var best *candidate
	var bestScore int
	for _, name := range dockerfiles(t) {
		if o.Dockerfile != "" && name != path.Clean(o.Dockerfile) {
			continue
		}
		data, err := t.Read(name)
		if err != nil {
			return nil, err
		}
		own := &Notes{}
		f, err := follow(name, data, o.Args, &shared{Tree: t, Notes: own, Release: o.Release, recognisers: append([]Recogniser{system{}}, o.Recognisers...)})
		if err != nil {
			notes.Remark(fmt.Sprintf("%s was left aside: %v", name, err), Evidence{File: name})
			continue
		}
		if len(f.stages) == 0 {
			continue
		}
		c := &candidate{f, f.stages[len(f.stages)-1]}
		if o.Target != "" {
			if c.target = f.find(o.Target); c.target == nil {
				continue
			}
		}
		if s := score(c); best == nil || s > bestScore {
			best, bestScore = c, s
		}
	}
	return best, nil
}

// score says how much a Dockerfile tells of how the tree is built.
func score(c *candidate) int {
	made := map[*Build]bool{}
	for _, p := range c.target.Files.Placements() {
		if p.Origin.Kind == Product {
			made[p.Origin.Build] = true
		}
	}
	s := 100 * len(made)
	for _, st := range c.image.stages {
		s -= 30 * len(st.Missing)
	}
	return s - 5*strings.Count(c.image.name, "/") - len(c.image.name)/8
}

// dockerfiles lists what is named like a Dockerfile, shallow ones first.
func dockerfiles(t *Tree) []string {
	var out []string
	for _, f := range t.Files() {
		base := strings.ToLower(path.Base(f))
		if base == "dockerfile" || base == "containerfile" || strings.HasPrefix(base, "dockerfile.") || strings.HasPrefix(base, "dockerfile-") || strings.HasSuffix(base, ".dockerfile") {
			out = append(out, f)
		}
	}
	slices.SortStableFunc(out, func(a, b string) int { return strings.Count(a, "/") - strings.Count(b, "/") })
	return out
}
