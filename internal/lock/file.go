// Package lock reads and writes headwater.lock: every input of a build by name, version and hash.
//
// The file is canonical: the same content always gives the same bytes, one artifact a line, so that a review shows what
// changed. It names no registry; addresses are settings (package registry).
package lock

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"headwater/internal/artifact"
	"headwater/internal/nix"
	"headwater/internal/recipe"
)

// Format is the version of headwater.lock that this package reads and writes.
const Format = 1

// File is a whole headwater.lock.
type File struct {
	Format     int                   `json:"headwater-lock"`
	Date       time.Time             `json:"date"`   // UTC, whole seconds: what the registries offered then was taken; the snapshot service is asked for this date
	Recipe     nix.Hash              `json:"recipe"` // of the parts of the recipe that the lock depends on
	Roots      map[string]Root       `json:"roots"`
	Toolchains map[string][]Artifact `json:"toolchains"`
	Components map[string]Component  `json:"components"`
}

// Component pins what one component needs.
type Component struct {
	Inputs    map[string]nix.Hash `json:"inputs"`              // the upstream's files that were read: path in the source → hash of the bytes, empty if it was looked for and not there
	Artifacts []Artifact          `json:"artifacts"`           // sorted by ecosystem, name, version, file
	Downloads []Artifact          `json:"downloads,omitempty"` // what the recipe downloads for it; each is named COMPONENT/PATH, by the place that it has in the component's folder; sorted by it
	Folders   []Folder            `json:"folders,omitempty"`   // of the source, that stand in for packages; sorted by name
	Data      json.RawMessage     `json:"data,omitempty"`
}

// Artifact is an artifact.Artifact as the lock spells it.
type Artifact struct {
	Ecosystem artifact.Ecosystem `json:"ecosystem"`
	Name      string             `json:"name"`
	Version   string             `json:"version"`
	File      string             `json:"file"`
	Hash      nix.Hash           `json:"hash"`
	Size      int64              `json:"size,omitempty"` // bytes
	Hint      string             `json:"hint,omitempty"` // address that upstream's own lock names
	Role      string             `json:"role,omitempty"` // "build" for a build requirement; the ecosystem's word otherwise

	By      recipe.Replacement `json:"by,omitzero"`      // what the recipe has in its place, zero if nothing
	Instead Instead            `json:"instead,omitzero"` // what the upstream's lock has, zero if the same bytes
}

// Instead is what an upstream's lock has where the recipe has something else.
type Instead struct {
	Version string   `json:"version,omitempty"` // "" if the artifact's own
	Hash    nix.Hash `json:"hash,omitzero"`     // zero if the upstream's lock has none, or of other files
	Sum     string   `json:"sum,omitempty"`     // what go.sum has of it
	From    string   `json:"from,omitempty"`    // where the upstream's lock has it from, if no registry
}

// Folder is a package of the upstream's lock for which the recipe has a folder of the source.
type Folder struct {
	Ecosystem artifact.Ecosystem `json:"ecosystem"`
	Name      string             `json:"name"`
	By        recipe.Replacement `json:"by"`
	Instead   Instead            `json:"instead"`
}

// Upstream is the artifact as the upstream's lock names it: its version is not that of what stands in for it.
func (a Artifact) Upstream() artifact.Artifact {
	up := a.Artifact()
	up.Version = cmp.Or(a.Instead.Version, a.Version)
	if a.Instead != (Instead{}) {
		up.Hash = a.Instead.Hash
	}
	return up
}

// Replaced lists what the recipe has something else for, each once, one a line: "npm left-pad 1.3.0: version 1.3.1, with
// the hash sha512-…, instead of sha512-…".
func (f *File) Replaced() []string {
	var list []string
	for _, artifacts := range f.lists() {
		for _, a := range artifacts {
			if a.By != (recipe.Replacement{}) {
				list = append(list, a.replaced())
			}
		}
	}
	for _, c := range f.Components {
		for _, d := range c.Folders {
			list = append(list, fmt.Sprintf("%s %s: %s%s", d.Ecosystem, d.Name, d.By, d.Instead))
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// replaced is a line of File.Replaced.
func (a Artifact) replaced() string {
	up := a.Upstream()
	text := strings.TrimSpace(fmt.Sprint(up.Ecosystem, " ", up.Name, " ", up.Version)) + ": " + a.By.String()
	if a.Instead == (Instead{}) {
		return text + ", the same bytes (" + a.File + ")"
	}
	return text + " (" + a.File + " " + a.Hash.SRI() + ")" + a.Instead.String()
}

// String is how people are told: " instead of version 1.2 sha256-…", "" for the zero value.
func (i Instead) String() string {
	var words []string
	if i.Version != "" {
		words = append(words, "version "+i.Version)
	}
	if !i.Hash.IsZero() {
		words = append(words, i.Hash.SRI())
	}
	if i.Sum != "" {
		words = append(words, i.Sum)
	}
	if i.From != "" {
		words = append(words, "from "+i.From)
	}
	if len(words) == 0 {
		return ""
	}
	return " instead of " + strings.Join(words, " ")
}

// Artifact drops the lock's own fields.
func (a Artifact) Artifact() artifact.Artifact {
	return artifact.Artifact{Ecosystem: a.Ecosystem, Name: a.Name, Version: a.Version, File: a.File, Hash: a.Hash, Size: a.Size, Hint: a.Hint}
}

// FormatError says that a lock is of a format that this program does not read.
type FormatError struct{ Got int }

func (e *FormatError) Error() string {
	return fmt.Sprintf("headwater.lock has format %d, this program reads %d: run headwater lock again", e.Got, Format)
}

// SyntaxError says that a file is no lock.
type SyntaxError struct{ Cause error }

func (e *SyntaxError) Error() string { return "parse headwater.lock: " + e.Cause.Error() }

// Unwrap gives the cause.
func (e *SyntaxError) Unwrap() error { return e.Cause }

// Hint says what to do.
func (e *SyntaxError) Hint() string {
	return "take the file from version control, or remove it and run headwater lock"
}

// Parse reads a headwater.lock. The error is a *SyntaxError or a *FormatError. Unknown keys, trailing data and artifacts without a hash are errors.
func Parse(data []byte) (*File, error) {
	var version struct {
		Format int `json:"headwater-lock"`
	}
	// Unmarshal also sees to it that nothing follows the lock's end, which a Decoder would leave unread.
	if err := json.Unmarshal(data, &version); err != nil {
		return nil, &SyntaxError{err}
	}
	if version.Format != Format {
		return nil, &FormatError{Got: version.Format}
	}
	f := new(File)
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(f); err != nil {
		return nil, &SyntaxError{err}
	}
	if err := errors.Join(f.check(), f.compact()); err != nil {
		return nil, &SyntaxError{err}
	}
	return f, nil
}

func (f *File) check() error {
	for where, list := range f.lists() {
		for _, a := range list {
			if a.Hash.IsZero() || a.Name == "" || a.File == "" || a.Ecosystem == "" {
				return fmt.Errorf("%s: artifact %q: name, file, ecosystem and hash are needed", where, a.Name)
			}
			if a.Size < 0 {
				return fmt.Errorf("%s: artifact %q: negative size", where, a.Name)
			}
		}
	}
	for name, r := range f.Roots {
		if err := r.check(); err != nil {
			return fmt.Errorf("roots.%s: %w", name, err)
		}
	}
	return nil
}

// compact takes the layout out of Data, so that equal data are equal bytes.
func (f *File) compact() error {
	for name, c := range f.Components {
		if c.Data == nil {
			continue
		}
		var b bytes.Buffer
		if err := json.Compact(&b, c.Data); err != nil {
			return fmt.Errorf("components.%s.data: %w", name, err)
		}
		c.Data = b.Bytes()
		f.Components[name] = c
	}
	return nil
}

// lists yields every list of artifacts with where it stands.
func (f *File) lists() func(func(string, []Artifact) bool) {
	return func(yield func(string, []Artifact) bool) {
		for _, n := range slices.Sorted(maps.Keys(f.Roots)) {
			if !yield("roots."+n, f.Roots[n].Packages) {
				return
			}
		}
		for _, n := range slices.Sorted(maps.Keys(f.Toolchains)) {
			if !yield("toolchains."+n, f.Toolchains[n]) {
				return
			}
		}
		for _, n := range slices.Sorted(maps.Keys(f.Components)) {
			if !yield("components."+n, f.Components[n].Artifacts) || !yield("components."+n, f.Components[n].Downloads) {
				return
			}
		}
	}
}

// Artifacts lists all artifacts: of roots, of toolchains, of components.
func (f *File) Artifacts() []Artifact {
	var all []Artifact
	for _, list := range f.lists() {
		all = append(all, list...)
	}
	return all
}

// Marshal gives the canonical bytes: keys sorted, two spaces of indentation, an artifact a line.
func (f *File) Marshal() ([]byte, error) {
	out := *f
	out.Format = Format
	out.Date = f.Date.UTC().Truncate(time.Second)
	out.Components = maps.Clone(f.Components)
	for name, c := range out.Components {
		c.Artifacts = append([]Artifact{}, c.Artifacts...) // never nil, which JSON has no list for
		slices.SortFunc(c.Artifacts, func(a, b Artifact) int {
			return strings.Compare(a.sortKey(), b.sortKey())
		})
		out.Components[name] = c
	}
	plain, err := json.Marshal(out)
	if err != nil {
		return nil, fmt.Errorf("write headwater.lock: %w", err)
	}
	var doc any
	dec := json.NewDecoder(bytes.NewReader(plain))
	dec.UseNumber()
	if err := dec.Decode(&doc); err != nil {
		return nil, fmt.Errorf("write headwater.lock: %w", err)
	}
	var b bytes.Buffer
	if err := write(&b, doc, ""); err != nil {
		return nil, fmt.Errorf("write headwater.lock: %w", err)
	}
	b.WriteByte('\n')
	return b.Bytes(), nil
}

func (a Artifact) sortKey() string {
	return strings.Join([]string{string(a.Ecosystem), a.Name, a.Version, a.File, a.Role}, "\x00")
}

// write prints v with sorted keys; a list's elements take one line each.
func write(b *bytes.Buffer, v any, indent string) error {
	switch v := v.(type) {
	case map[string]any:
		if len(v) == 0 {
			b.WriteString("{}")
			return nil
		}
		for i, k := range slices.Sorted(maps.Keys(v)) {
			open(b, "{", i, indent)
			if err := line(b, k); err != nil {
				return err
			}
			b.WriteString(": ")
			if err := write(b, v[k], indent+"  "); err != nil {
				return err
			}
		}
		b.WriteString("\n" + indent + "}")
		return nil
	case []any:
		if len(v) == 0 {
			b.WriteString("[]")
			return nil
		}
		for i, e := range v {
			open(b, "[", i, indent)
			if err := line(b, e); err != nil {
				return err
			}
		}
		b.WriteString("\n" + indent + "]")
		return nil
	default:
		return line(b, v)
	}
}

func open(b *bytes.Buffer, bracket string, i int, indent string) {
	if i == 0 {
		b.WriteString(bracket)
	} else {
		b.WriteByte(',')
	}
	b.WriteString("\n" + indent + "  ")
}

// line prints v on one line, "<" and the like as they are.
func line(b *bytes.Buffer, v any) error {
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	b.Truncate(b.Len() - 1) // Encode's line end
	return nil
}
