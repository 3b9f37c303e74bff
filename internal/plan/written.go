package plan

import (
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"headwater/internal/recipe"
)

// writtenFile is a file that a command of the image writes. What is written is kept once it is closed, up to the length of a text.
type writtenFile struct {
	stage *Stage
	run   *shellRun
	at    string
	text  []byte
	vague bool // what stood there before is not known
}

// write opens a file for a command's output, behind what was written there before if that is to stay. What the source has at that place
// is not changed by it: whoever reads that file there knows more of it than of what is written.
func (s *Stage) write(abs string, behind bool, by *shellRun) io.ReadWriteCloser {
	f := &writtenFile{stage: s, run: by, at: abs}
	o, _ := s.Files.Lookup(abs)
	if behind {
		f.text, f.vague = []byte(o.Text), o.Vague || o.Kind == Unknown
	}
	if o.Kind == Source && s.Tree.Has(o.Path) {
		s.Notes.Remark(fmt.Sprintf("the upstream's image writes to %s, which is not done here", o.Path), by.at)
	}
	if o.Kind == Unknown || o.Kind == Empty && !behind {
		s.Files.Write(abs, Origin{Kind: Empty, Exec: o.Exec}, by.at)
	}
	return f
}

func (*writtenFile) Read([]byte) (int, error) { return 0, io.EOF }

func (f *writtenFile) Write(p []byte) (int, error) {
	kept := min(len(p), maxText-len(f.text))
	f.text, f.vague = append(f.text, p[:kept]...), f.vague || kept < len(p)
	return len(p), nil
}

// Close keeps what was written.
func (f *writtenFile) Close() error {
	if o, e := f.stage.Files.Lookup(f.at); o.Kind == Empty && o.Text != string(f.text) {
		o.Text, o.Vague = string(f.text), f.vague || f.run.vague
		f.stage.Files.Write(f.at, o, e)
	}
	return nil
}

// Written is the text that commands of the image wrote into a file, as far as it is known; ok is false where none did.
func (s *Stage) Written(abs string) (text string, ok bool) {
	o, _ := s.Files.Lookup(abs)
	return o.Text, o.Kind == Empty && o.Text != ""
}

// concatenate prints files, or what a here-document gives.
func concatenate(c Command, s *Stage) {
	files := operands(c, "")
	if len(files) == 0 && c.stdin != nil {
		c.Print(c.stdin())
	}
	for _, a := range files {
		abs := Abs(c.Dir, a)
		if text, ok := s.Written(abs); ok {
			c.Print(text)
		} else if data, _, err := s.ReadFile(abs); err == nil {
			c.Print(string(data))
		}
	}
}

// tee writes what a here-document gives into files.
func tee(c Command, s *Stage) {
	text := ""
	if c.stdin != nil {
		text = c.stdin()
	}
	for _, a := range operands(c, "") {
		f := s.write(Abs(c.Dir, a), strings.Contains(strings.Join(c.Args[1:], " "), "-a"), &shellRun{at: c.Evidence, vague: c.stdin == nil})
		_, _ = io.WriteString(f, text) // into memory
		_ = f.Close()
	}
	c.Print(text)
}

// written is the component that writes a text where a command of the image did, and where it is in that component's output: all of a plan's
// texts are one component's, each below its own place. It is not ok where not all of the text is known; that is then a question.
func (a *assembly) written(p Placement) (component, part string, ok bool) {
	part = strings.TrimPrefix(p.At, "/")
	if p.Origin.Vague {
		a.Notes.Ask(Question{
			About: "components", Looked: []Evidence{p.Evidence},
			Ask: fmt.Sprintf("a command writes %s while the image is made, and what it writes is not all known; which component has it?", p.At),
		})
		return "", "", false
	}
	command := fmt.Sprintf("mkdir -p %s && printf %%s %s >%s", quote(path.Dir(part)), quote(p.Origin.Text), quote(part))
	if p.Origin.Exec {
		command += " && chmod +x " + quote(part)
	}
	name := "written"
	for i := 2; a.taken(name) && !a.writes[name]; i++ {
		name = fmt.Sprint("written-", i)
	}
	for i := 2; a.writes[name] && !slices.Contains(a.recipe.Components[name].Build, command) && a.recipe.Components[name].Output[part] != ""; i++ {
		name = fmt.Sprint("written-", i) // another text at the same place
	}
	c, ok := a.recipe.Components[name]
	if !ok {
		c = recipe.Component{Ecosystem: "plain", Root: "runtime", Output: map[string]string{}}
		a.writes[name] = true
	}
	if c.Output[part] == "" {
		c.Output[part], c.Build = part, append(c.Build, command)
	}
	a.recipe.Components[name] = c
	a.prove("components."+name, p.Evidence)
	return name, part, true
}
