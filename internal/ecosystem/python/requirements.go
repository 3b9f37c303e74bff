package python

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"headwater/internal/nix"
)

// RequirementsFile is what pip's requirements files say, those that they include among them.
type RequirementsFile struct {
	Lines       []RequirementLine
	Constraints []Requirement // of "-c" files: bounds that choose nothing
	NoBinary    []string      // packages to compile; ":all:" is all
	Indexes     []string      // further places to look for packages, which the operator's settings stand in for
	Files       []string      // every file that was read, in order
}

// RequirementLine is one thing to install: a package or a folder.
type RequirementLine struct {
	Requirement          // of a package; zero for a folder
	Path        string   // of a folder or archive, seen from the top of what is read; "" for a package
	Extras      []string // of a folder's package
	Editable    bool
	NoDeps      bool // what it requires is not installed for it
	Hashes      []nix.Hash
	File        string // where it stands
	Line        int
}

const (
	maxRequirements = 20_000 // lines, over all files
	maxIncludes     = 50     // files
)

// ReadRequirements reads a requirements file and what it includes ("-r", "-c"). read gives a file's content by its path.
func ReadRequirements(name string, read func(string) ([]byte, error)) (*RequirementsFile, error) {
	f := &RequirementsFile{}
	r := requirementsReader{out: f, read: read}
	return f, r.file(path.Clean(name), false)
}

type requirementsReader struct {
	out   *RequirementsFile
	read  func(string) ([]byte, error)
	lines int
}

// file reads one file. Of one that bounds only, its requirements are constraints.
func (r *requirementsReader) file(name string, bounds bool) error {
	if slices.Contains(r.out.Files, name) {
		return nil // included twice, or by itself
	}
	if len(r.out.Files) >= maxIncludes {
		return fmt.Errorf("read %s: more than %d files are included", name, maxIncludes)
	}
	r.out.Files = append(r.out.Files, name)
	data, err := r.read(name)
	if err != nil {
		return err
	}
	if path.Base(name) == pipfileName {
		return r.pipfile(name, data, bounds)
	}
	text := strings.TrimPrefix(string(data), "\ufeff")
	number, start, joined := 0, 0, ""
	for line := range strings.SplitSeq(text, "\n") {
		number++
		if r.lines++; r.lines > maxRequirements {
			return fmt.Errorf("read %s: more than %d lines", name, maxRequirements)
		}
		line = strings.TrimRight(line, "\r")
		if joined == "" {
			start = number
		}
		if before, more := strings.CutSuffix(line, "\\"); more && !strings.HasPrefix(strings.TrimSpace(line), "#") {
			if joined += before + " "; len(joined) > maxLine {
				return fmt.Errorf("read %s:%d: a line has more than %d bytes", name, start, maxLine)
			}
			continue
		}
		if err := r.line(name, start, joined+line, bounds); err != nil {
			return fmt.Errorf("read %s:%d: %w", name, start, err)
		}
		joined = ""
	}
	if joined != "" {
		if err := r.line(name, start, joined, bounds); err != nil {
			return fmt.Errorf("read %s:%d: %w", name, start, err)
		}
	}
	return nil
}

var (
	lineComment = regexp.MustCompile(`(^|\s)#.*$`)
	hashOption  = regexp.MustCompile(`\s--hash[= ]\s*(\S+)`)
	lineOption  = regexp.MustCompile(`\s--(?:config-settings?|global-option|install-option)(?:=|\s).*$`)
)

// maxLine is the longest line, its continuations joined, in bytes: a few hundred hashes have some ten thousand.
const maxLine = 256 << 10

// line reads one line, its continuations joined.
func (r *requirementsReader) line(name string, number int, text string, bounds bool) error {
	if len(text) > maxLine {
		return fmt.Errorf("a line has more than %d bytes", maxLine)
	}
	text = strings.TrimSpace(lineComment.ReplaceAllString(text, ""))
	if text == "" {
		return nil
	}
	if strings.Contains(text, "${") {
		return errors.New("a line takes a part from the environment, which is not known")
	}
	if strings.HasPrefix(text, "-") && !strings.HasPrefix(text, "-e") && !strings.HasPrefix(text, "--editable") && !strings.HasPrefix(text, "--no-deps") {
		return r.option(name, text, bounds)
	}
	l, err := ParseRequirementLine(text)
	if err != nil {
		return err
	}
	l.File, l.Line = name, number
	if l.Path != "" {
		l.Path = path.Join(path.Dir(name), l.Path) // pip sees it from its working directory; a file's own folder is where projects mean it
	}
	if bounds {
		if l.Path == "" {
			r.out.Constraints = append(r.out.Constraints, l.Requirement)
		}
		return nil
	}
	r.out.Lines = append(r.out.Lines, l)
	return nil
}

// option reads a line that sets something for the whole file.
func (r *requirementsReader) option(name, text string, bounds bool) error {
	words := strings.Fields(text)
	key, value, assigned := strings.Cut(words[0], "=")
	if !assigned && len(words) > 1 {
		value = words[1]
	}
	if !strings.HasPrefix(key, "--") && len(key) > 2 {
		key, value = key[:2], key[2:]
	}
	switch key {
	case "-r", "--requirement":
		return r.file(path.Join(path.Dir(name), value), bounds)
	case "-c", "--constraint":
		return r.file(path.Join(path.Dir(name), value), true)
	case "--no-binary":
		r.out.NoBinary = append(r.out.NoBinary, strings.Split(value, ",")...)
	case "-i", "--index-url", "--extra-index-url", "-f", "--find-links":
		r.out.Indexes = append(r.out.Indexes, value)
	case "--only-binary", "--prefer-binary", "--pre", "--require-hashes", "--no-index", "--trusted-host", "--use-feature":
	default:
		return fmt.Errorf("option %q is not known", key)
	}
	return nil
}

// ParseRequirementLine reads one thing to install, as pip's command line and its files write it: "-e ./a[x]", "b==1 --hash=…".
func ParseRequirementLine(text string) (RequirementLine, error) {
	var l RequirementLine
	text = strings.TrimSpace(lineOption.ReplaceAllString(" "+text, ""))
	for _, m := range hashOption.FindAllStringSubmatch(text, -1) {
		a, err := pypi("x", "0", "x", m[1])
		if err != nil {
			return l, err
		}
		l.Hashes = append(l.Hashes, a.Hash)
	}
	text = strings.TrimSpace(hashOption.ReplaceAllString(text, ""))
	for {
		rest := text
		for _, word := range []string{"--no-deps", "--editable", "-e"} {
			after, ok := strings.CutPrefix(rest, word)
			if ok && after != "" && strings.ContainsAny(after[:1], " =\t") {
				l.NoDeps, l.Editable = l.NoDeps || word == "--no-deps", l.Editable || word != "--no-deps"
				rest = strings.TrimSpace(strings.TrimPrefix(after, "="))
				break
			}
		}
		if rest == text {
			break
		}
		text = rest
	}
	if isPath(text) || l.Editable && !strings.Contains(text, "://") {
		return l, l.folder(text)
	}
	if strings.Contains(text, "://") && !strings.Contains(text, "@ ") && !strings.Contains(strings.SplitN(text, "://", 2)[0], "@") {
		_, egg, ok := strings.Cut(text, "#egg=")
		if !ok {
			return l, fmt.Errorf("%.200q names an address without the package's name: write NAME @ ADDRESS", text)
		}
		egg, _, _ = strings.Cut(egg, "&")
		text = egg + " @ " + text
	}
	var err error
	l.Requirement, err = ParseRequirement(text)
	return l, err
}

// folder reads "./a[x]".
func (l *RequirementLine) folder(text string) error {
	if text = strings.TrimPrefix(text, "file:"); strings.ContainsAny(text, "\x00\n\\;") {
		return fmt.Errorf("%.200q is not a folder", text)
	}
	if before, extras, ok := strings.Cut(text, "["); ok {
		text = before
		for e := range strings.SplitSeq(strings.TrimSuffix(extras, "]"), ",") {
			if e = strings.TrimSpace(e); !namePattern.MatchString(e) {
				return fmt.Errorf("%q is not the name of an extra", e)
			}
			l.Extras = append(l.Extras, NormalizeName(e))
		}
	}
	if text == "" || path.IsAbs(text) {
		return fmt.Errorf("%.200q is not a folder, relative to the project", text)
	}
	l.Path = path.Clean(text)
	return nil
}

// String is the line as the lock notes it, so that a change of it is noticed.
func (l RequirementLine) String() string {
	var s strings.Builder
	if l.NoDeps {
		s.WriteString("--no-deps ")
	}
	if l.Editable {
		s.WriteString("-e ")
	}
	if l.Path != "" {
		s.WriteString("./" + l.Path)
		if len(l.Extras) > 0 {
			s.WriteString("[" + strings.Join(l.Extras, ",") + "]")
		}
	}
	s.WriteString(l.text)
	for _, h := range l.Hashes {
		s.WriteString(" --hash=" + string(h.Algo()) + ":" + h.Base16())
	}
	return s.String()
}
