package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"

	"headwater/internal/dag"
	"headwater/internal/difference"
	"headwater/internal/nix"
)

// checkReport is what check found, as --json has it.
type checkReport struct {
	V         int           `json:"v"`
	Package   nix.StorePath `json:"package"`
	Checked   int           `json:"checked"` // derivations
	Same      int           `json:"same"`
	Different []*differing  `json:"different"` // by output
	Failed    []failedAgain `json:"failed"`
	Image     *imageAgain   `json:"image,omitempty"` // nil: none was made of this package, or it was not asked for
}

// failedAgain is what was built once and cannot be built again.
type failedAgain struct {
	Drv   nix.StorePath `json:"drv"`
	Name  string        `json:"name"`
	Error string        `json:"error"`
	Log   string        `json:"log"`
}

// third is what a third build was.
type third string

// The third build was as the first, as the second, or as neither.
const (
	thirdFirst  third = "as the first"
	thirdSecond third = "as the second"
	thirdOther  third = "another"
)

// differing is an output that was another one when it was built again.
type differing struct {
	node *dag.Node
	is   nix.Hash

	Drv       nix.StorePath    `json:"drv"`
	Kind      dag.Kind         `json:"kind"`
	Name      string           `json:"name"`
	Component string           `json:"component,omitempty"`
	Output    string           `json:"output"`
	Path      nix.StorePath    `json:"path"`
	Was       string           `json:"was"`   // NAR hash
	Is        string           `json:"is"`    // NAR hash
	Built     bool             `json:"built"` // what the store has was built on this machine
	Third     third            `json:"third,omitempty"`
	Cause     difference.Cause `json:"cause"`
	Why       string           `json:"why"`
	Do        string           `json:"do"`
	Files     int              `json:"files"`
	Differ    int              `json:"differ"`
	Shown     []shownFile      `json:"shown"`
	Logs      []string         `json:"logs"` // of the first build, if it was here, and of the second
}

// shownFile is a file that differs, as --json has it.
type shownFile struct {
	Path  string            `json:"path"`
	What  difference.What   `json:"what"`
	Spots []difference.Spot `json:"spots"`
	Cause difference.Cause  `json:"cause"`
	Why   string            `json:"why"`
}

// result notes how the trees differ. The cause is that of most files, of those that is known.
func (d *differing) result(r difference.Result) {
	d.Files, d.Differ = r.Files, r.Differ
	d.Cause, d.Why = difference.Foremost(r.Different)
	for _, f := range r.Different {
		d.Shown = append(d.Shown, shownFile{f.Path, f.What, append([]difference.Spot{}, f.Spots...), f.Cause, f.Why})
	}
}

// processors notes that a third build, told as many processors as the first, was the first's. Another known cause may have been lucky.
func (d *differing) processors(usual, told int) {
	switch d.Cause {
	case difference.Unknown, difference.Number, difference.Order, difference.Follows:
		d.Cause = difference.Cores
		d.Why = fmt.Sprintf("told %d processors it is what the store has, told %d it is not", usual, told)
	}
}

// finish fills in what follows from the rest.
func (d *differing) finish() {
	d.Drv, d.Kind, d.Name, d.Component = d.node.DrvPath, d.node.Kind, d.node.Name, d.node.Component
	d.Do = remedies[d.Cause]
	if d.Shown == nil {
		d.Shown = []shownFile{}
	}
	if d.Logs == nil {
		d.Logs = []string{}
	}
}

// remedies say what to do about a cause.
var remedies = map[difference.Cause]string{
	difference.Time:      "take the date from SOURCE_DATE_EPOCH, which every build has, or leave it out",
	difference.BuildPath: "give the file a fixed name, or keep paths out (-trimpath, -ffile-prefix-map, relative source maps)",
	difference.Order:     "sort what is listed: folders, sets and maps, and what is done at the same time, come in any order",
	difference.RandomID:  "take the id or the seed from the content or the version, not from a random number",
	difference.HostName:  "keep the host's name out; what the store has was built where the host's name can be seen",
	difference.User:      "keep the user out, in archives too (tar --owner=0 --group=0 --numeric-owner)",
	difference.Cores:     "have the step use a fixed number where it is part of the result: $CORES, nproc and the like differ between machines",
	difference.Locale:    "set LC_ALL=C in the step",
	difference.Address:   "keep addresses of objects out of what is written: give them names or numbers",
	difference.Kernel:    "keep the kernel's release out: uname tells of the machine that builds",
	difference.Number:    "find out what is counted: a process id, a duration and a number of tries differ each time",
	difference.Follows:   "it goes with what it is a hash of",
	difference.Unknown:   "compare the logs of both builds, and look at the step that writes the file",
}

// err is what is wrong, if anything is.
func (r *checkReport) err() error {
	var wrong []string
	for _, w := range []struct {
		n    int
		what string
	}{{r.Checked - r.Same - len(r.Failed), "differ"}, {len(r.Failed), "cannot be built again"}} {
		if w.n > 0 {
			wrong = append(wrong, fmt.Sprintf("%d of %d derivations %s", w.n, r.Checked, w.what))
		}
	}
	if r.Image != nil && !r.Image.Same {
		wrong = append(wrong, "the image is another one")
	}
	if len(wrong) == 0 {
		return nil
	}
	return &failedCheck{fmt.Errorf("check: %s", strings.Join(wrong, ", "))}
}

func (a *app) showCheck(r *checkReport) error {
	r.V = 1
	if a.json {
		if r.Different == nil {
			r.Different = []*differing{}
		}
		return json.NewEncoder(a.stdout).Encode(r)
	}
	var b strings.Builder
	for _, d := range r.Different {
		d.show(&b)
	}
	for _, f := range r.Failed {
		fmt.Fprintf(&b, "%s cannot be built again: %s\n  made by %s\n  log: %s\n\n", f.Name, f.Error, f.Drv, f.Log)
	}
	if r.Image != nil {
		r.Image.show(&b)
	}
	fmt.Fprintf(&b, "checked %d derivations of %s: %d the same, %d different", r.Checked, r.Package, r.Same, r.Checked-r.Same-len(r.Failed))
	if len(r.Failed) > 0 {
		fmt.Fprintf(&b, ", %d failed", len(r.Failed))
	}
	_, err := fmt.Fprintln(a.stdout, b.String())
	return err
}

func (d *differing) show(b *strings.Builder) {
	fmt.Fprintf(b, "%s %s differs: %s\n", d.Kind, d.Name, d.Cause)
	for _, line := range []string{d.Why, d.Do} {
		if line != "" {
			fmt.Fprintf(b, "  %s\n", line)
		}
	}
	switch d.Third {
	case thirdFirst:
		fmt.Fprintln(b, "  built a third time it was as the first")
	case thirdSecond:
		text := "the first was made under other conditions"
		if !d.Built {
			text = "the first was built elsewhere and taken from a cache or an engine"
		}
		fmt.Fprintln(b, "  built a third time it was as the second: "+text)
	case thirdOther:
		fmt.Fprintln(b, "  built a third time it was yet another: it changes with every build")
	}
	if d.Files > 0 {
		fmt.Fprintf(b, "  %d of %d files differ in %s\n", d.Differ, d.Files, d.Path)
	}
	showFiles(b, "    ", d.Shown)
	if more := d.Differ - len(d.Shown); more > 0 {
		fmt.Fprintf(b, "    and %d more\n", more)
	}
	fmt.Fprintf(b, "  made by %s\n", d.Drv)
	for i, log := range d.Logs {
		which := "second"
		if i == 0 && len(d.Logs) > 1 {
			which = "first"
		}
		fmt.Fprintf(b, "  log of the %s build: %s\n", which, log)
	}
	fmt.Fprintln(b)
}

func showFiles(b *strings.Builder, indent string, files []shownFile) {
	for _, f := range files {
		where := cmp.Or(f.Path, "the path itself")
		if f.What != difference.Content {
			where += " (" + string(f.What) + ")"
		}
		fmt.Fprintf(b, "%s%s: %s", indent, where, f.Cause)
		if f.Why != "" {
			fmt.Fprintf(b, ": %s", f.Why)
		}
		fmt.Fprintln(b)
		for _, s := range f.Spots {
			switch {
			case s.Line > 0:
				fmt.Fprintf(b, "%s  line %d, byte %d\n", indent, s.Line, s.Offset)
			case f.What == difference.Content:
				fmt.Fprintf(b, "%s  byte %d\n", indent, s.Offset)
			}
			fmt.Fprintf(b, "%s    was %s\n%s    is  %s\n", indent, s.Here, indent, s.There)
		}
	}
}
