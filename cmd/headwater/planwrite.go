package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"headwater/internal/atomicfile"
	"headwater/internal/event"
	"headwater/internal/plan"
	"headwater/internal/recipe"
	"headwater/internal/recipe/merge"
)

// planFile keeps, beside the recipe, what plan wrote last: of what differs between the two it is known then that a person wrote it.
const planFile = "headwater.plan"

// planHeader is the first line of a headwater.plan; its number is the version of the format.
const planHeader = "# headwater.plan 1: the recipe as \"headwater plan\" wrote it last, to merge the next one with your edits. Edit headwater.yaml instead.\n"

// writePlan writes the plan's recipe into a folder, merged with the one that is there.
func (a *app) writePlan(dir string, p *plan.Plan) ([]merge.Conflict, error) {
	data, err := p.YAML()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	name := filepath.Join(dir, recipeFile)
	mine, err := readIfThere(name)
	if err != nil {
		return nil, err
	}
	base, err := readPlanned(dir)
	if err != nil {
		return nil, err
	}
	result := &merge.Result{Text: data}
	switch {
	case mine == nil, string(mine) == string(data):
	case base == nil:
		return nil, &inputError{fmt.Errorf("%s exists already, and there is no %s that tells your edits from what was planned", name, planFile), "move it away, or plan into another folder"}
	default:
		if result, err = merge.Merge(base, mine, data); err != nil {
			return nil, &inputError{err, "mend it, or move it away to plan from the beginning"}
		}
	}
	// The recipe first: were it lost, the next merge would take upstream's changes for edits that undo them.
	if err := atomicfile.WriteSynced(name, result.Text, 0o644); err != nil {
		return nil, fmt.Errorf("write recipe: %w", err)
	}
	if err := atomicfile.WriteSynced(filepath.Join(dir, planFile), append([]byte(planHeader), data...), 0o644); err != nil {
		return nil, fmt.Errorf("write %s: %w", planFile, err)
	}
	if err := a.tellConflicts(p, result.Conflicts, name); err != nil {
		return nil, err
	}
	merged, err := recipe.Parse(result.Text)
	switch {
	case err == nil:
		a.tellReplacements(merged)
	case !p.Uncertain():
		return nil, fmt.Errorf("%s: what your edits and the new plan make together: %w", name, err)
	}
	return result.Conflicts, nil
}

// tellReplacements says what of upstream's a recipe has something else for: that is a person's, and stays until they take it out.
func (a *app) tellReplacements(r *recipe.Recipe) {
	if len(r.Replace) == 0 {
		return
	}
	to := a.renderer()
	defer to.Close()
	for _, key := range slices.Sorted(maps.Keys(r.Replace)) {
		to.Emit(event.Message{Level: event.Warning, Text: "replaced: " + key + ": " + r.Replace[key].String() + " (yours, kept)"})
	}
}

// tellConflicts says where the person's edits and the plan differ, with the evidence for the plan's.
func (a *app) tellConflicts(p *plan.Plan, conflicts []merge.Conflict, name string) error {
	if a.json {
		type line struct {
			Key      string          `json:"key"`
			Base     string          `json:"before"`
			Mine     string          `json:"yours"`
			Next     string          `json:"planned"`
			Evidence []plan.Evidence `json:"evidence"`
		}
		lines := make([]line, len(conflicts))
		for i, c := range conflicts {
			lines[i] = line{c.Key, c.Base, c.Mine, c.Next, p.EvidenceOf(c.Key)}
		}
		return json.NewEncoder(a.stdout).Encode(map[string]any{"v": 1, "recipe": name, "conflicts": lines})
	}
	for _, c := range conflicts {
		fmt.Fprintf(a.stderr, "conflict: %s\n      yours (kept): %s\n      planned now:  %s\n      planned last: %s\n", c.Key, orNothing(c.Mine), orNothing(c.Next), orNothing(c.Base))
		for _, e := range p.EvidenceOf(c.Key) {
			fmt.Fprintf(a.stderr, "      looked at %s\n", e)
		}
	}
	return a.result("recipe", name)
}

func orNothing(value string) string {
	if value == "" {
		return "(nothing)"
	}
	return value
}

// readPlanned reads what plan wrote last into a folder, nil if it wrote nothing.
func readPlanned(dir string) ([]byte, error) {
	name := filepath.Join(dir, planFile)
	data, err := readIfThere(name)
	if data == nil || err != nil {
		return nil, err
	}
	text, ok := strings.CutPrefix(string(data), planHeader)
	if !ok {
		return nil, &inputError{fmt.Errorf("%s does not begin as this program writes it", name), "take it from version control"}
	}
	return []byte(text), nil
}

// plannedName is the name that the service in a folder was planned with, "" if there is none.
func plannedName(dir string) (string, error) {
	if dir == "" {
		return "", nil
	}
	data, err := readPlanned(dir)
	if err != nil || data == nil {
		return "", err
	}
	var r struct {
		Name string `yaml:"name"`
	}
	if err := yaml.Unmarshal(data, &r); err != nil {
		return "", &inputError{fmt.Errorf("read %s: %w", filepath.Join(dir, planFile), err), "take it from version control"}
	}
	return r.Name, nil
}

// readIfThere reads a file, nil if there is none.
func readIfThere(name string) ([]byte, error) {
	data, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", filepath.Base(name), err)
	}
	return append([]byte{}, data...), nil
}
