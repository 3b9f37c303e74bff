package plan

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// workflow is what is used of a forge's workflow file.
type workflow struct {
	name     string
	Env      map[string]scalar `yaml:"env"`
	Defaults jobDefaults       `yaml:"defaults"`
	Jobs     map[string]job    `yaml:"jobs"`
}

type jobDefaults struct {
	Run struct {
		Dir string `yaml:"working-directory"`
	} `yaml:"run"`
}

type job struct {
	Env      map[string]scalar `yaml:"env"`
	Defaults jobDefaults       `yaml:"defaults"`
	Strategy struct {
		Matrix map[string]yaml.Node `yaml:"matrix"`
	} `yaml:"strategy"`
	Steps []step `yaml:"steps"`
}

// step is one step of a job, and where it is written.
type step struct {
	ID   string `yaml:"id"`
	Uses string `yaml:"uses"`
	Run  string `yaml:"run"`
	Dir  string `yaml:"working-directory"`
	// Shell is what runs Run, "" for a shell.
	Shell string            `yaml:"shell"`
	With  map[string]scalar `yaml:"with"`
	Env   map[string]scalar `yaml:"env"`
	line  int
	body  int // line of what Run begins with
}

// UnmarshalYAML is yaml.Unmarshaler's.
func (s *step) UnmarshalYAML(n *yaml.Node) error {
	type plain step
	if err := n.Decode((*plain)(s)); err != nil {
		return err
	}
	s.line, s.body = n.Line, n.Line
	for i := 0; i+1 < len(n.Content); i += 2 {
		if v := n.Content[i+1]; n.Content[i].Value == "run" {
			if s.body = v.Line; v.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
				s.body++
			}
		}
	}
	return nil
}

// scalar is any value of YAML that is written as one word or text; of others it is "".
type scalar string

// UnmarshalYAML is yaml.Unmarshaler's.
func (s *scalar) UnmarshalYAML(n *yaml.Node) error {
	*s = scalar(n.Value)
	return nil
}

// pipelines follows the jobs of workflows that build images, and those that make what they take over.
func (p *places) pipelines(notes *Notes) {
	for _, name := range p.tree.Files() {
		if dir := path.Dir(name); dir != ".github/workflows" && dir != ".gitea/workflows" && dir != ".forgejo/workflows" || path.Ext(name) != ".yml" && path.Ext(name) != ".yaml" {
			continue
		}
		data, err := p.tree.Read(name)
		if err == nil && !mentionsImages(string(data)) {
			continue
		}
		var w *workflow
		if err == nil {
			w, err = parseWorkflow(name, data)
		}
		if err != nil {
			notes.Remark(err.Error(), Evidence{File: name})
			continue
		}
		for _, id := range slices.Sorted(maps.Keys(w.Jobs)) {
			j := w.Jobs[id]
			if !slices.ContainsFunc(j.Steps, func(s step) bool {
				return mentionsImages(s.Uses) || mentionsImages(s.Run) || s.Run != "" && strings.Contains(s.Run, "make")
			}) {
				continue
			}
			for _, matrix := range j.matrices() {
				p.follow(func(p *places) {
					r := &jobRun{places: p, workflow: w, matrix: matrix, stage: p.machine("pipeline"), running: map[string]bool{id: true}}
					if err := r.run(j); err != nil {
						notes.Remark(fmt.Sprintf("job %s of %s was not followed to its end: %v", id, name, err), Evidence{File: name})
					}
				})
			}
		}
	}
}

func parseWorkflow(name string, data []byte) (*workflow, error) {
	if len(data) > maxYAML {
		return nil, fmt.Errorf("read %s: has more than %d bytes", name, maxYAML)
	}
	w := &workflow{name: name}
	if err := yaml.Unmarshal(data, w); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return w, nil
}

// matrices are the values that a job's matrix takes, one after the other: each value of a name that the image's build uses.
func (j job) matrices() []map[string]string {
	first, lists := map[string]string{}, map[string][]string{}
	for _, k := range slices.Sorted(maps.Keys(j.Strategy.Matrix)) {
		var list []scalar
		n := j.Strategy.Matrix[k]
		if k == "include" || n.Decode(&list) != nil || len(list) == 0 {
			continue
		}
		first[k] = string(list[0])
		for _, v := range list {
			lists[k] = append(lists[k], string(v))
		}
	}
	var include []map[string]scalar
	if n, ok := j.Strategy.Matrix["include"]; ok && n.Decode(&include) == nil && len(first) == 0 {
		var all []map[string]string
		for _, one := range include[:min(len(include), 16)] {
			m := map[string]string{}
			for k, v := range one {
				m[k] = string(v)
			}
			all = append(all, m)
		}
		return all
	}
	all := []map[string]string{first}
	for _, s := range j.Steps {
		for _, v := range []scalar{s.With["file"], s.With["target"]} {
			for _, k := range slices.Sorted(maps.Keys(lists)) {
				if len(all) > 1 || !strings.Contains(string(v), "matrix."+k) {
					continue
				}
				for _, value := range lists[k][1:min(len(lists[k]), 16)] {
					m := maps.Clone(first)
					m[k] = value
					all = append(all, m)
				}
			}
		}
	}
	return all
}

// jobRun is a job that is followed.
type jobRun struct {
	places   *places
	workflow *workflow
	matrix   map[string]string
	stage    *Stage
	job      job
	running  map[string]bool // jobs whose artifacts are being made
	depth    int             // of actions that use actions
	told     told
}

// told is what the steps of a job tell those after them.
type told struct {
	env     map[string]string // by "echo NAME=VALUE >>$GITHUB_ENV"
	outputs map[string]string // by step and name, "version.tag"
}

func (r *jobRun) run(j job) error {
	r.job = j
	for _, s := range j.Steps {
		if err := r.step(s); err != nil {
			return err
		}
	}
	return nil
}

func (r *jobRun) step(s step) error {
	action, _, _ := strings.Cut(s.Uses, "@")
	e := Evidence{File: r.workflow.name, Line: s.line}
	switch {
	case s.Run != "" && s.Shell != "" && !strings.HasPrefix(s.Shell, "bash") && !strings.HasPrefix(s.Shell, "sh"):
		// another language; what it makes shows by what is missing
	case s.Run != "":
		dir := s.Dir
		for _, d := range []string{r.job.Defaults.Run.Dir, r.workflow.Defaults.Run.Dir} {
			if dir == "" {
				dir = d
			}
		}
		env := map[string]string{}
		for _, layer := range []map[string]scalar{r.workflow.Env, r.job.Env, s.Env} {
			for k, v := range layer {
				env[k] = r.expand(string(v))
			}
		}
		maps.Copy(env, r.told.env)
		at := Evidence{File: r.workflow.name, Line: s.body}
		said := new(toldFile)
		defer r.listen(s, env, said)()
		if err := r.stage.run(r.expand(s.Run), at.File, Abs(checkoutDir, r.expand(dir)), env, at, said); err != nil {
			r.stage.Notes.Remark(fmt.Sprintf("a step before the image is built was not followed: %v", err), at)
		}
		return nil
	case path.Base(action) == "build-push-action": // others', on builders of their own, take the same words
		r.image(s, e)
	case action == "actions/download-artifact":
		return r.download(s, e)
	case strings.HasPrefix(s.Uses, "./"):
		return r.local(path.Clean(s.Uses))
	}
	return nil
}

// listen gives a step what a forge tells its steps of the release, and files to tell others by; what it returns reads these, and what the
// step said: "::set-output name=NAME::VALUE" is the old form.
func (r *jobRun) listen(s step, env map[string]string, said *toldFile) (done func()) {
	if release := r.places.release; release != "" {
		env["GITHUB_REF"], env["GITHUB_REF_NAME"], env["GITHUB_REF_TYPE"] = "refs/tags/"+release, release, "tag"
	}
	variables, outputs := new(toldFile), new(toldFile)
	env["GITHUB_ENV"], env["GITHUB_OUTPUT"] = "/github/env", "/github/output"
	r.stage.tells = map[string]*toldFile{env["GITHUB_ENV"]: variables, env["GITHUB_OUTPUT"]: outputs}
	return func() {
		r.stage.tells = nil
		if r.told.env == nil {
			r.told = told{map[string]string{}, map[string]string{}}
		}
		variables.settings(func(k, v string) { r.told.env[k] = v })
		outputs.settings(func(k, v string) { r.told.outputs[s.ID+"."+k] = v })
		for _, line := range strings.Split(string(said.text), "\n") {
			if line, ok := strings.CutPrefix(line, "::set-output name="); ok {
				if k, v, ok := strings.Cut(line, "::"); ok {
					r.told.outputs[s.ID+"."+k] = v
				}
			}
		}
	}
}

// settings are the lines NAME=VALUE, and NAME<<END with lines up to END.
func (f *toldFile) settings(set func(name, value string)) {
	lines := strings.Split(string(f.text), "\n")
	for i := 0; i < len(lines); i++ {
		name, end, several := strings.Cut(lines[i], "<<")
		if k, v, ok := strings.Cut(lines[i], "="); ok && (!several || len(k) < len(name)) {
			set(k, v)
			continue
		}
		if !several {
			continue
		}
		var value []string
		for i++; i < len(lines) && lines[i] != end; i++ {
			value = append(value, lines[i])
		}
		set(name, strings.Join(value, "\n"))
	}
}

// image notes what a build-push-action builds.
func (r *jobRun) image(s step, e Evidence) {
	with := func(k string) string { return strings.TrimSpace(r.expand(string(s.With[k]))) }
	n := &place{kind: "pipeline", target: with("target"), args: map[string]string{}, context: r.stage, dir: checkoutDir, evidence: e}
	if c := with("context"); c != "" && c != "." {
		if strings.Contains(c, "://") {
			return
		}
		n.dir = Abs(checkoutDir, c)
	}
	n.dockerfile = path.Join(n.dir, "Dockerfile")
	if f := with("file"); f != "" {
		n.dockerfile = Abs(checkoutDir, f)
	}
	for _, line := range strings.Split(with("build-args"), "\n") {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), "="); ok && v != "" {
			n.args[k] = strings.Trim(v, `"`)
		}
	}
	n.pushes = !slices.Contains([]string{"", "false"}, with("push")) || strings.Contains(with("outputs"), "push=true")
	n.tags = strings.FieldsFunc(with("tags"), func(c rune) bool { return c == '\n' || c == ',' || c == ' ' })
	r.places.add(n)
}

// download lays what another job of the workflow uploads under the same name.
func (r *jobRun) download(s step, e Evidence) error {
	name, to := r.expand(string(s.With["name"])), Abs(checkoutDir, r.expand(string(s.With["path"])))
	for _, id := range slices.Sorted(maps.Keys(r.workflow.Jobs)) {
		j := r.workflow.Jobs[id]
		if r.running[id] {
			continue
		}
		for _, up := range j.Steps {
			if action, _, _ := strings.Cut(up.Uses, "@"); action != "actions/upload-artifact" || name != "" && r.expand(string(up.With["name"])) != name {
				continue
			}
			other := &jobRun{places: &places{tree: r.places.tree, release: r.places.release, recognisers: r.places.recognisers}, workflow: r.workflow, matrix: j.matrices()[0], running: maps.Clone(r.running)}
			other.running[id] = true
			other.stage = checkout(r.stage.shared)
			if err := other.run(j); err != nil {
				return err
			}
			r.stage.Unrecognised = append(r.stage.Unrecognised, other.stage.Unrecognised...) // they prepare this one, too
			r.take(other, up, to, e)
			break
		}
	}
	return nil
}

// take lays the files of an upload where they are downloaded to. Of one folder or file, what is in it; of several, below the folder
// that they have in common.
func (r *jobRun) take(from *jobRun, up step, to string, e Evidence) {
	var paths []string
	for _, p := range strings.Split(from.expand(string(up.With["path"])), "\n") {
		if p = strings.TrimSpace(p); p != "" && !strings.HasPrefix(p, "!") {
			p = strings.TrimSuffix(strings.TrimSuffix(p, "/**"), "/*")
			paths = append(paths, Abs(checkoutDir, p))
		}
	}
	top := ""
	for i, p := range paths {
		if i == 0 {
			top = p
		}
		for len(paths) > 1 && !within(top, path.Dir(p)) {
			top = path.Dir(top)
		}
	}
	for _, p := range paths {
		at := path.Join(to, relative(top, p))
		if o, _ := from.stage.Lookup(p); p == top && (o.Kind == Source && r.stage.Tree.Has(o.Path) || from.stage.isFile(o)) {
			at = path.Join(to, path.Base(p))
		}
		r.stage.Copy(from.stage, p, at, e)
	}
}

// local follows the commands of an action of the tree.
func (r *jobRun) local(dir string) error {
	for _, base := range []string{"action.yml", "action.yaml"} {
		data, err := r.places.tree.Read(path.Join(dir, base))
		if err != nil || len(data) > maxYAML || r.depth > 3 {
			continue
		}
		var action struct {
			Runs struct {
				Steps []step `yaml:"steps"`
			} `yaml:"runs"`
		}
		if err := yaml.Unmarshal(data, &action); err != nil {
			return fmt.Errorf("read %s: %w", path.Join(dir, base), err)
		}
		inner := *r
		inner.depth++
		inner.workflow = &workflow{name: path.Join(dir, base), Env: r.workflow.Env}
		inner.job = job{}
		for _, s := range action.Runs.Steps {
			if err := inner.step(s); err != nil {
				return err
			}
		}
		return nil
	}
	return nil
}

// expand replaces ${{ … }} by what is known of it: the matrix, variables of the environment, the tags that docker/metadata-action
// makes; else by nothing.
func (r *jobRun) expand(text string) string {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(text, "${{")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		expr, after, closed := strings.Cut(rest, "}}")
		if !closed {
			return b.String()
		}
		b.WriteString(r.value(strings.TrimSpace(expr)))
		text = after
	}
}

func (r *jobRun) value(expr string) string {
	if m := metadataLabel.FindStringSubmatch(expr); m != nil {
		expr = "steps." + m[1] + ".outputs.version"
	}
	kind, name, _ := strings.Cut(expr, ".")
	switch kind {
	case "matrix":
		return r.matrix[name]
	case "env":
		if v, ok := r.told.env[name]; ok {
			return v
		}
		for _, layer := range []map[string]scalar{r.job.Env, r.workflow.Env} {
			if v, ok := layer[name]; ok && !strings.Contains(string(v), "${{") {
				return string(v)
			}
		}
	case "github":
		switch name {
		case "workspace":
			return checkoutDir
		case "ref_name":
			return r.places.release
		case "ref":
			if r.places.release != "" {
				return "refs/tags/" + r.places.release
			}
		}
	case "steps":
		id, output, _ := strings.Cut(name, ".")
		if v, ok := r.told.outputs[id+"."+strings.TrimPrefix(output, "outputs.")]; ok {
			return v
		}
		switch output {
		case "outputs.tags":
			return r.metadataTags(id)
		case "outputs.version":
			if r.metadata(id) {
				return strings.TrimPrefix(r.places.release, "v")
			}
		}
	}
	return ""
}

// metadataLabel is how the version is asked for among the labels that a step of docker/metadata-action makes.
var metadataLabel = regexp.MustCompile(`^fromJSON\(\s*steps\.([A-Za-z0-9_-]+)\.outputs\.json\s*\)\.labels\[\s*'org\.opencontainers\.image\.version'\s*\]$`)

// metadata tells whether a step is one of docker/metadata-action.
func (r *jobRun) metadata(id string) bool {
	return slices.ContainsFunc(r.job.Steps, func(s step) bool { return s.ID == id && strings.HasPrefix(s.Uses, "docker/metadata-action") })
}

// metadataTags are the tags that a step of docker/metadata-action makes, as far as they tell a variant from the main image.
func (r *jobRun) metadataTags(id string) string {
	for _, s := range r.job.Steps {
		if s.ID != id || !strings.HasPrefix(s.Uses, "docker/metadata-action") {
			continue
		}
		suffix := ""
		for _, line := range strings.FieldsFunc(r.expand(string(s.With["flavor"]))+"\n"+r.expand(string(s.With["tags"])), func(c rune) bool { return c == '\n' || c == ',' }) {
			if v, ok := strings.CutPrefix(strings.TrimSpace(line), "suffix="); ok {
				suffix = v
			}
		}
		var tags []string
		for _, image := range strings.Fields(r.expand(string(s.With["images"]))) {
			tags = append(tags, image+":latest"+suffix)
		}
		return strings.Join(tags, "\n")
	}
	return ""
}
