package plan

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"text/template"

	"go.yaml.in/yaml/v3"
)

// releaser is what is used of a GoReleaser configuration: how programs are built before an image takes them over (GoReleaser, "Customization").
type releaser struct {
	name    string // of the file
	Project string `yaml:"project_name"`
	Env     texts  `yaml:"env"`
	Before  struct {
		Hooks []releaserHook `yaml:"hooks"`
	} `yaml:"before"`
	Builds    []releaserBuild `yaml:"builds"`
	Dockers   []releaserImage `yaml:"dockers"`
	DockersV2 []releaserImage `yaml:"dockers_v2"`
	Kos       []releaserKo    `yaml:"kos"`

	release string
}

// releaserHook is a command, alone or with where it is run.
type releaserHook struct {
	Cmd  string `yaml:"cmd"`
	Dir  string `yaml:"dir"`
	Env  texts  `yaml:"env"`
	line int
}

type releaserBuild struct {
	ID      string `yaml:"id"`
	Dir     string `yaml:"dir"`
	Main    string `yaml:"main"`
	Binary  string `yaml:"binary"`
	Builder string `yaml:"builder"`
	Env     texts  `yaml:"env"`
	Flags   texts  `yaml:"flags"`
	Tags    texts  `yaml:"tags"`
	LDFlags *texts `yaml:"ldflags"` // nil: GoReleaser's own
	OS      texts  `yaml:"goos"`
	Arch    texts  `yaml:"goarch"`
	Targets texts  `yaml:"targets"`
	Hooks   struct {
		Pre  texts `yaml:"pre"`
		Post texts `yaml:"post"`
	} `yaml:"hooks"`
	line int
}

type releaserImage struct {
	Dockerfile string            `yaml:"dockerfile"`
	IDs        texts             `yaml:"ids"`
	OS         string            `yaml:"goos"`
	Arch       string            `yaml:"goarch"`
	Templates  texts             `yaml:"image_templates"`
	Flags      texts             `yaml:"build_flag_templates"`
	Extra      texts             `yaml:"extra_files"`
	Images     texts             `yaml:"images"`
	Args       map[string]scalar `yaml:"build_args"`
	line       int
}

// releaserKo is an image that ko makes of one program, without a Dockerfile (GoReleaser, "Docker Images with Ko").
type releaserKo struct {
	Build string `yaml:"build"`
	Main  string `yaml:"main"`
	Base  string `yaml:"base_image"`
	line  int
}

// UnmarshalYAML is yaml.Unmarshaler's.
func (k *releaserKo) UnmarshalYAML(n *yaml.Node) error {
	type plain releaserKo
	k.line = n.Line
	return n.Decode((*plain)(k))
}

// texts are words of YAML, of which one may stand alone.
type texts []string

// UnmarshalYAML is yaml.Unmarshaler's.
func (t *texts) UnmarshalYAML(n *yaml.Node) error {
	*t = texts{}
	if n.Kind == yaml.ScalarNode {
		if n.Value != "" {
			*t = texts{n.Value}
		}
		return nil
	}
	for _, e := range n.Content {
		if n.Kind == yaml.SequenceNode && e.Kind == yaml.ScalarNode {
			*t = append(*t, e.Value)
		}
	}
	return nil
}

// UnmarshalYAML is yaml.Unmarshaler's.
func (h *releaserHook) UnmarshalYAML(n *yaml.Node) error {
	h.line = n.Line
	if n.Kind == yaml.ScalarNode {
		h.Cmd = n.Value
		return nil
	}
	type plain releaserHook
	return n.Decode((*plain)(h))
}

// UnmarshalYAML is yaml.Unmarshaler's.
func (b *releaserBuild) UnmarshalYAML(n *yaml.Node) error {
	type plain releaserBuild
	b.line = n.Line
	return n.Decode((*plain)(b))
}

// UnmarshalYAML is yaml.Unmarshaler's.
func (i *releaserImage) UnmarshalYAML(n *yaml.Node) error {
	type plain releaserImage
	i.line = n.Line
	return n.Decode((*plain)(i))
}

// readReleaser reads the configuration at the top of a tree, nil if there is none.
func readReleaser(t *Tree, release string) (*releaser, error) {
	for _, name := range []string{".goreleaser.yaml", ".goreleaser.yml", "goreleaser.yaml", "goreleaser.yml", ".config/goreleaser.yaml", ".config/goreleaser.yml"} {
		if !t.Has(name) {
			continue
		}
		data, err := t.Read(name)
		switch {
		case err != nil:
			return nil, err
		case len(data) > maxYAML:
			return nil, fmt.Errorf("read %s: has more than %d bytes", name, maxYAML)
		}
		r := &releaser{name: name, release: release}
		if err := yaml.Unmarshal(data, r); err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		if r.Project == "" { // GoReleaser asks git where it was cloned from
			if data, err := t.Read("go.mod"); err == nil {
				r.Project = path.Base(moduleName(data))
			}
		}
		return r, nil
	}
	return nil, nil
}

// releaserDir is the folder that GoReleaser puts together for an image: programs and extra files.
const releaserDir = "/goreleaser"

// releasers follows what a GoReleaser configuration does before it builds images.
func (p *places) releasers(notes *Notes) {
	r, err := readReleaser(p.tree, p.release)
	if err != nil {
		notes.Remark(err.Error(), Evidence{File: ".goreleaser"})
	}
	if r == nil {
		return
	}
	if len(r.Dockers)+len(r.DockersV2) == 0 {
		p.follow(func(p *places) {
			if err := r.distribution(p, p.machine("pipeline"), notes); err != nil {
				notes.Remark(fmt.Sprintf("%s was not followed to its end: %v", r.name, err), Evidence{File: r.name})
			}
		})
	}
	for n, images := range [][]releaserImage{r.Dockers, r.DockersV2} {
		for _, i := range images {
			if i.OS != "" && i.OS != "linux" || i.Arch != "" && i.Arch != "amd64" {
				continue
			}
			p.follow(func(p *places) {
				if err := r.image(p, p.machine("pipeline"), i, n == 1, notes); err != nil {
					notes.Remark(fmt.Sprintf("%s was not followed to its end: %v", r.name, err), Evidence{File: r.name, Line: i.line})
				}
			})
		}
	}
}

// before follows what is done before all builds.
func (r *releaser) before(s *Stage) error {
	for _, h := range r.Before.Hooks {
		if err := s.Run(r.expand(h.Cmd), Abs(checkoutDir, r.expand(h.Dir)), r.environment(h.Env), Evidence{File: r.name, Line: h.line}); err != nil {
			return err
		}
	}
	return nil
}

// build builds a program to a place, with what is done before and after.
func (r *releaser) build(s *Stage, b releaserBuild, to string, notes *Notes) error {
	e, dir := Evidence{File: r.name, Line: b.line}, Abs(checkoutDir, b.Dir)
	env, command := r.command(b, to)
	for _, pre := range b.Hooks.Pre {
		if err := s.Run(r.expand(pre), dir, env, e); err != nil {
			return err
		}
	}
	if err := s.Run(command, dir, env, e); err != nil {
		return err
	}
	for _, post := range b.Hooks.Post {
		known := len(s.Unrecognised)
		if err := s.Run(r.expand(strings.NewReplacer("{{ .Path }}", to, "{{.Path}}", to).Replace(post)), dir, env, e); err != nil {
			return err
		}
		for _, c := range s.Unrecognised[known:] {
			switch takes := slices.ContainsFunc(c.Args[1:], func(arg string) bool { return Abs(c.Dir, arg) == to }); {
			case slices.Contains([]string{"codesign", "cosign", "gpg", "minisign", "quill", "rcodesign", "syft"}, path.Base(c.Args[0])):
			case takes:
				s.Notes.Ask(Question{
					About: "components", Main: true, Looked: []Evidence{e, c.Evidence},
					Ask: fmt.Sprintf("after it is built, %s is changed by %q, which is not followed; is it whole without?", b.Binary, short(c.Text())),
				})
			default:
				notes.Remark(fmt.Sprintf("after %s is built, %q is run, which is not followed", b.Binary, short(c.Text())), c.Evidence)
			}
		}
	}
	return nil
}

// distributions are where builds leave programs in the checkout: GoReleaser's own folders, named with the level of the processor's features or, as
// pipelines rename them, without.
func distributions(b releaserBuild) []string {
	name := b.ID + "_linux_amd64"
	return []string{path.Join(checkoutDir, "dist", name+"_v1", b.Binary), path.Join(checkoutDir, "dist", name, b.Binary)}
}

// distribution builds all programs, and notes the Dockerfiles that take them out of the folder that they are left in.
func (r *releaser) distribution(p *places, s *Stage, notes *Notes) error {
	if err := r.before(s); err != nil {
		return err
	}
	for _, b := range r.builds() {
		at := distributions(b)
		if err := r.build(s, b, at[0], notes); err != nil {
			return err
		}
		s.Copy(s, at[0], at[1], Evidence{File: r.name, Line: b.line})
	}
	for _, name := range p.tree.Dockerfiles() {
		if data, err := p.tree.Read(name); err == nil && Aside(name) == "" && strings.Contains(string(data), "dist/") {
			p.add(&place{kind: "script", args: map[string]string{}, context: s, dir: checkoutDir, dockerfile: path.Join(checkoutDir, name), evidence: Evidence{File: r.name, Line: 1}})
		}
	}
	return nil
}

// image builds the programs that go into an image, and notes the image. byPlatform tells that each platform's stand in a folder of their own.
func (r *releaser) image(p *places, s *Stage, i releaserImage, byPlatform bool, notes *Notes) error {
	if err := r.before(s); err != nil {
		return err
	}
	to := releaserDir
	if byPlatform {
		to = path.Join(releaserDir, "linux/amd64")
	}
	for _, b := range r.builds() {
		if len(i.IDs) > 0 && !slices.Contains(i.IDs, b.ID) && len(r.Builds) > 1 {
			continue
		}
		if err := r.build(s, b, path.Join(to, b.Binary), notes); err != nil {
			return err
		}
	}
	e := Evidence{File: r.name, Line: i.line}
	for _, extra := range i.Extra {
		if extra = r.expand(extra); extra == "" {
			continue
		}
		s.Copy(s, Abs(checkoutDir, extra), Abs(releaserDir, extra), e)
	}
	file := r.expand(i.Dockerfile)
	if file == "" {
		file = "Dockerfile"
	}
	n := &place{kind: "pipeline", args: map[string]string{}, context: s, dir: releaserDir, dockerfile: Abs(checkoutDir, file), evidence: e}
	for k, v := range i.Args {
		if v := r.expand(string(v)); v != "" {
			n.args[k] = v
		}
	}
	for _, flag := range i.Flags {
		flag = r.expand(flag)
		if target, ok := strings.CutPrefix(flag, "--target="); ok {
			n.target = target
		}
		if k, v, ok := strings.Cut(strings.TrimPrefix(flag, "--build-arg="), "="); ok && strings.HasPrefix(flag, "--build-arg=") && v != "" {
			n.args[k] = v
		}
	}
	for _, name := range slices.Concat(i.Templates, i.Images) {
		n.tags = append(n.tags, r.expand(name))
	}
	p.add(n)
	return nil
}

// builds are the programs of Go for this platform, with the defaults filled in.
func (r *releaser) builds() []releaserBuild {
	all := r.Builds
	if len(all) == 0 {
		all = []releaserBuild{{}}
	}
	var out []releaserBuild
	for _, b := range all {
		if b.Builder != "" && b.Builder != "go" || !b.forThisPlatform() {
			continue
		}
		if b.ID == "" {
			b.ID = r.Project
		}
		if b.Main = r.expand(b.Main); b.Main == "" {
			b.Main = "."
		}
		if b.Binary = path.Base(r.expand(b.Binary)); b.Binary == "." {
			b.Binary = r.project()
		}
		b.Dir = r.expand(b.Dir)
		out = append(out, b)
	}
	return out
}

// forThisPlatform tells whether a program is built for the platform that Headwater builds for; targets are stronger than the two lists.
func (b releaserBuild) forThisPlatform() bool {
	if len(b.Targets) > 0 {
		return slices.ContainsFunc(b.Targets, func(t string) bool { return strings.HasPrefix(t, "linux_amd64") || strings.HasPrefix(t, "go_") })
	}
	return (len(b.OS) == 0 || slices.Contains(b.OS, "linux")) && (len(b.Arch) == 0 || slices.Contains(b.Arch, "amd64"))
}

// ko is the image that ko makes, the first of those with the same program, and the program's folder in the tree. It is not ok where there is none, or
// where several programs have one.
func (r *releaser) ko() (image releaserKo, folder string, ok bool) {
	for _, k := range r.Kos {
		dir := ""
		for _, b := range r.builds() {
			if b.ID == k.Build || k.Build == "" && len(r.Builds) < 2 {
				if k.Main = r.expand(k.Main); k.Main != "" {
					b.Main = k.Main
				}
				dir = path.Join(b.Dir, b.folder())
			}
		}
		if dir == "" || ok && dir != folder {
			return releaserKo{}, "", false
		}
		if !ok {
			image, folder, ok = k, dir, true
		}
	}
	return image, folder, ok
}

// folder is that of the package that is built, seen from the build's own.
func (b releaserBuild) folder() string {
	if path.Ext(b.Main) == ".go" {
		return path.Dir(b.Main)
	}
	return b.Main
}

// project is the name that programs have where they have none of their own.
func (r *releaser) project() string {
	if r.Project != "" {
		return r.Project
	}
	return "app"
}

// command is the environment and the line by which a program is built.
func (r *releaser) command(b releaserBuild, to string) (env map[string]string, line string) {
	words := []string{"go", "build"}
	for _, f := range b.Flags {
		if f = r.expand(f); f != "" {
			words = append(words, f)
		}
	}
	var tags []string
	for _, t := range b.Tags {
		if t = r.expand(t); t != "" {
			tags = append(tags, t)
		}
	}
	if len(tags) > 0 {
		words = append(words, "-tags="+strings.Join(tags, ","))
	}
	ldflags := texts{"-s -w -X main.version={{.Version}} -X main.commit={{.Commit}} -X main.date={{.Date}}"} // and who built, which here is not it
	if b.LDFlags != nil {
		ldflags = *b.LDFlags
	}
	var flags []string
	for _, f := range ldflags {
		flags = append(flags, r.expand(f))
	}
	if text := strings.TrimSpace(strings.Join(flags, " ")); text != "" {
		words = append(words, "-ldflags="+text)
	}
	words = append(words, "-o", to, b.Main)
	for i, w := range words {
		words[i] = quote(strings.ReplaceAll(w, "\n", " "))
	}
	return r.environment(b.Env), strings.Join(words, " ")
}

// environment is the configuration's, with more.
func (r *releaser) environment(more texts) map[string]string {
	env := map[string]string{}
	for _, kv := range slices.Concat(r.Env, more) {
		if k, v, ok := strings.Cut(kv, "="); ok {
			env[k] = strings.ReplaceAll(r.expand(v), "\n", " ")
		}
	}
	return env
}

// longestTemplate is the longest text that is expanded, in bytes.
const longestTemplate = 1 << 14

// endless are words of a template that may make much of little.
var endless = regexp.MustCompile(`\b(range|template|block|define|printf|print|println|js|html|urlquery)\b`)

// expand replaces what is known in a template: the release and names. All else is "", and so is a template that cannot be followed.
func (r *releaser) expand(text string) string {
	if !strings.Contains(text, "{{") {
		return text
	}
	same := func(s string) string { return s }
	version := strings.TrimPrefix(r.release, "v")
	env := map[string]string{}
	for _, kv := range r.Env {
		if k, v, ok := strings.Cut(kv, "="); ok && !strings.Contains(v, "{{") {
			env[k] = v
		}
	}
	out, err := expandTemplate(text, map[string]any{
		"Version": version, "RawVersion": version, "Tag": r.release, "ProjectName": r.project(), "Os": "linux", "Arch": "amd64", "Env": env,
		"Runtime": map[string]string{"Goos": "linux", "Goarch": "amd64"},
	}, template.FuncMap{
		"tolower": strings.ToLower, "toupper": strings.ToUpper, "trim": strings.TrimSpace, "title": same, "abs": same, "mdv2escape": same,
		"trimprefix": strings.TrimPrefix, "trimsuffix": strings.TrimSuffix, "dir": path.Dir, "base": path.Base,
		"replace":      func(s, old, by string) string { return strings.Replace(s, old, by, len(s)) },
		"time":         func(string) string { return "" },
		"isEnvSet":     func(string) bool { return false },
		"envOrDefault": func(_, otherwise string) string { return otherwise },
	})
	if err != nil {
		return ""
	}
	return out
}

// boundedText is a text that does not grow without end.
type boundedText struct{ strings.Builder }

func (b *boundedText) Write(p []byte) (int, error) {
	if b.Len()+len(p) > 4*longestTemplate {
		return 0, errors.New("too long")
	}
	return b.Builder.Write(p)
}
