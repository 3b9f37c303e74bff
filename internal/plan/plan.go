// Package plan reads an upstream's tree and infers how it is built and run: it writes a recipe, with the evidence for each line.
//
// The strongest statement of how a service is put together is its own Dockerfile. It is evidence, not a recipe: nothing of it is
// run. A plan follows it line by line over a file system that knows of each path only where it came from (Files): out of the
// source, made by a build, out of another image, from the network. Shell text is interpreted with every program replaced by what
// is known of it. Ecosystems (Recogniser) say what their tools' commands make. What then stands in the last stage is the layout,
// and what had to be built for it are the components.
//
// What is not known is an open question with what was looked at, never a guess. The same tree gives the same plan, and nothing but
// the tree is read.
package plan

import (
	"fmt"
	"slices"
	"strings"

	"headwater/internal/recipe"
)

// Evidence is where a fact comes from.
type Evidence struct {
	File string // in the tree; "" if a rule says it
	Line int    // 1 is the first; 0 means the whole file
	Rule string // in a few words, what was concluded from it, or the convention
}

func (e Evidence) String() string {
	at := e.File
	if e.Line > 0 {
		at += fmt.Sprint(":", e.Line)
	}
	switch {
	case at == "":
		return e.Rule
	case e.Rule == "":
		return at
	}
	return at + ": " + e.Rule
}

// Question is something that the tree does not tell.
type Question struct {
	About  string     // key of the recipe it leaves open, such as "components.web.build"
	Ask    string     // for people
	Looked []Evidence // what was looked at
	// Main says that without an answer it is not sure what the main product is: the plan is then no success.
	Main bool
}

// Notes gathers questions and remarks, each once, in a fixed order.
type Notes struct {
	Questions []Question
	Remarks   []Remark
}

// Remark is something that a person should see: a network access that the upstream's build makes, a client out of step with its
// schema, a step that was left out.
type Remark struct {
	Text     string
	Evidence []Evidence
}

// Ask adds a question, once.
func (n *Notes) Ask(q Question) {
	q.Looked = slices.DeleteFunc(slices.Clone(q.Looked), func(e Evidence) bool { return e == Evidence{} }) // of a checkout, say
	if !slices.ContainsFunc(n.Questions, func(o Question) bool { return o.About == q.About && o.Ask == q.Ask }) {
		n.Questions = append(n.Questions, q)
	}
}

// Remark adds a remark, once.
func (n *Notes) Remark(text string, evidence ...Evidence) {
	if !slices.ContainsFunc(n.Remarks, func(o Remark) bool { return o.Text == text }) {
		n.Remarks = append(n.Remarks, Remark{text, evidence})
	}
}

// Command is one program that a shell text calls, with everything expanded that is known.
type Command struct {
	Args     []string          // the first is the program, as written
	Env      map[string]string // what is exported to it
	Dir      string            // absolute
	Script   string            // shell text that stands for it, "" if Args do
	Evidence Evidence
	stdout   func(string)
	taken    bool          // what it prints is
	stdin    func() string // what a here-document gives it; nil if nothing that is known does
	fail     func()
}

// Text is the command for people and for recipes, quoted for a shell.
func (c Command) Text() string {
	if c.Script != "" {
		return c.Script
	}
	words := make([]string, len(c.Args))
	for i, a := range c.Args {
		words[i] = quote(a)
	}
	return strings.Join(words, " ")
}

// Print makes the command's output known to the shell that called it: for substitutions of what a rule knows ("git describe").
func (c Command) Print(text string) {
	if c.stdout != nil {
		c.stdout(text)
	}
}

// Fail makes the command one that fails, for the conditions of the shell that called it.
func (c Command) Fail() {
	if c.fail != nil {
		c.fail()
	}
}

// Recogniser knows programs.
type Recogniser interface {
	// Recognise says what a command does by changing s, and reports whether it knows it.
	Recognise(c Command, s *Stage) (bool, error)
}

// Shipper is a Recogniser that knows what the image that is shipped has from its base image.
type Shipper interface {
	// Ship adds to the last stage what its base image brings and what it is run with.
	Ship(*Stage)
}

// Reviewer is a Recogniser that reads the tree for what a person should know of a plan beyond its commands.
type Reviewer interface {
	// Review adds remarks on the recipe that was planned of the tree.
	Review(*Tree, *recipe.Recipe, *Notes)
}

// quote makes s one word of a shell, left bare where that is safe.
func quote(s string) string {
	const bare = "%+,-./:=@_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	if s != "" && strings.Trim(s, bare) == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
