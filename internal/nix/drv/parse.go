package drv

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"headwater/internal/nix"
)

// UnsupportedError says that a derivation uses a feature that Nix counts as experimental and that this package leaves out:
// outputs whose paths are not known before they are built, and newer forms of the file.
type UnsupportedError struct {
	Name string // of the derivation
	What string // "output dev: floating content-addressed outputs"
}

func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("parse derivation %s: %s: not supported", e.Name, e.What)
}

// Parse reads the .drv file called name, which is given without the digest and ".drv" (StorePath.Name less the suffix). It
// accepts only what Marshal writes, byte for byte, so that a derivation that was read has the path that it was read from.
// Paths of fixed outputs are checked; those of other outputs are for Hasher.Check, which needs the inputs.
func Parse(name string, data []byte) (*Derivation, error) {
	if err := nix.CheckName(name + ".drv"); err != nil {
		return nil, fmt.Errorf("parse derivation: %w", err)
	}
	d := &Derivation{Name: name}
	p := &parser{name: name, s: string(data)}
	if err := p.derivation(d); err != nil {
		var unsupported *UnsupportedError
		if errors.As(err, &unsupported) {
			return nil, err
		}
		return nil, fmt.Errorf("parse derivation %s: %w", name, err)
	}
	if again := d.Marshal(); !bytes.Equal(again, data) {
		return nil, fmt.Errorf("parse derivation %s: byte %d: not in canonical form (sorted, without duplicates, minimally escaped)",
			name, commonPrefix(again, data))
	}
	return d, nil
}

func commonPrefix(a, b []byte) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// parser reads the ATerm. Its methods return the zero value once err is set, so that the grammar reads as one.
type parser struct {
	name string
	s    string
	at   int
	err  error
}

func (p *parser) derivation(d *Derivation) error {
	if rest, ok := strings.CutPrefix(p.s, "DrvWithVersion("); ok {
		version, _, _ := strings.Cut(rest, ",")
		return p.unsupported("version %.40s of the file", version)
	}
	p.expect("Derive([")
	d.Outputs = map[string]Output{}
	p.items(func() { p.output(d) })
	p.expect(",[")
	d.InputDrvs = map[nix.StorePath][]string{}
	p.items(func() { p.inputDrv(d) })
	p.expect(",[")
	p.items(func() { d.InputSrcs = append(d.InputSrcs, p.storePath()) })
	p.expect(",")
	d.System = p.str()
	p.expect(",")
	d.Builder = p.str()
	p.expect(",[")
	p.items(func() { d.Args = append(d.Args, p.str()) })
	p.expect(",[")
	d.Env = map[string]string{}
	p.items(func() { p.variable(d) })
	p.expect(")")
	if p.err == nil && p.at != len(p.s) {
		p.fail("bytes follow its end")
	}
	if p.err == nil {
		p.err = d.check()
	}
	if p.err == nil {
		p.err = checkFixed(d)
	}
	return p.err
}

func (p *parser) output(d *Derivation) {
	f := p.tuple(4)
	if p.err != nil {
		return
	}
	name, path, algo, sum := f[0], f[1], f[2], f[3]
	if _, twice := d.Outputs[name]; twice || name == "" {
		p.fail("output %q: without a name or twice there", name)
		return
	}
	var o Output
	var err error
	switch {
	case algo == "" && sum != "":
		err = errors.New("has a hash but no algorithm")
	case sum == "impure":
		p.err = p.unsupported("output %s: impure outputs", name)
		return
	case algo != "" && sum == "":
		p.err = p.unsupported("output %s: floating content-addressed outputs", name)
		return
	case path == "":
		p.err = p.unsupported("output %s: outputs that depend on floating content-addressed ones", name)
		return
	case algo != "":
		o.CA, err = p.contentAddress(name, algo, sum)
	}
	if p.err != nil {
		return
	}
	if err == nil {
		o.Path, err = nix.ParseStorePath(path)
	}
	if err != nil {
		p.fail("output %s: %w", name, err)
		return
	}
	d.Outputs[name] = o
}

// contentAddress reads a fixed output's algorithm, with the prefix of its method, and base-16 digest.
func (p *parser) contentAddress(output, algo, sum string) (nix.ContentAddress, error) {
	ca := nix.ContentAddress{Method: nix.Flat}
	if method, rest, ok := strings.Cut(algo, ":"); ok {
		switch algo = rest; method {
		case "r":
			ca.Method = nix.NAR
		case "text":
			ca.Method = nix.Text
		default:
			p.err = p.unsupported("output %s: hash method %q", output, method)
			return nix.ContentAddress{}, nil
		}
	}
	a, err := nix.ParseAlgo(algo)
	if err != nil {
		p.err = p.unsupported("output %s: hash algorithm %q", output, algo)
		return nix.ContentAddress{}, nil
	}
	raw, err := hex.DecodeString(sum)
	if err != nil {
		return nix.ContentAddress{}, fmt.Errorf("hash %q: %w", sum, err)
	}
	ca.Hash, err = nix.NewHash(a, raw)
	return ca, err
}

func (p *parser) inputDrv(d *Derivation) {
	p.expect("(")
	path := p.storePath()
	var outputs []string
	p.expect(",[")
	p.items(func() { outputs = append(outputs, p.str()) })
	p.expect(")")
	if p.err != nil {
		return
	}
	if _, twice := d.InputDrvs[path]; twice || !path.IsDerivation() {
		p.fail("input %s: no derivation or twice there", path)
		return
	}
	d.InputDrvs[path] = outputs
}

func (p *parser) variable(d *Derivation) {
	f := p.tuple(2)
	if p.err != nil {
		return
	}
	if _, twice := d.Env[f[0]]; twice {
		p.fail("variable %q: twice there", f[0])
		return
	}
	d.Env[f[0]] = f[1]
}

// checkFixed makes sure that a fixed output has the path that its hash gives.
func checkFixed(d *Derivation) error {
	if !d.IsFixed() {
		return nil
	}
	o := d.Outputs["out"]
	want, err := nix.FixedPath(d.Name, o.CA, nil, false)
	if err == nil && o.Path != want {
		err = fmt.Errorf("path is %s, its hash gives %s", o.Path, want)
	}
	if err != nil {
		return fmt.Errorf("output out: %w", err)
	}
	return nil
}

func (p *parser) unsupported(format string, args ...any) error {
	return &UnsupportedError{Name: p.name, What: fmt.Sprintf(format, args...)}
}

func (p *parser) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf("byte %d: "+format, append([]any{p.at}, args...)...)
	}
}

func (p *parser) expect(want string) {
	if p.err != nil {
		return
	}
	if !strings.HasPrefix(p.s[p.at:], want) {
		p.fail("want %q, have %.20q", want, p.s[p.at:min(len(p.s), p.at+20)])
		return
	}
	p.at += len(want)
}

// items reads a list's items and its closing bracket.
func (p *parser) items(item func()) {
	if p.err == nil && strings.HasPrefix(p.s[p.at:], "]") {
		p.at++
		return
	}
	for p.err == nil {
		item()
		if p.err == nil && strings.HasPrefix(p.s[p.at:], ",") {
			p.at++
			continue
		}
		p.expect("]")
		return
	}
}

func (p *parser) tuple(n int) []string {
	fields := make([]string, n)
	for i := range fields {
		if i == 0 {
			p.expect("(")
		} else {
			p.expect(",")
		}
		fields[i] = p.str()
	}
	p.expect(")")
	return fields
}

// str reads a quoted string. A backslash stands before n, r and t for a control character, before others for themselves.
func (p *parser) str() string {
	p.expect(`"`)
	if p.err != nil {
		return ""
	}
	rest := p.s[p.at:]
	end := strings.IndexAny(rest, `"\`)
	if end >= 0 && rest[end] == '"' { // nothing escaped: by far the most
		p.at += end + 1
		return rest[:end]
	}
	var b strings.Builder
	for i := 0; i < len(rest); i++ {
		switch c := rest[i]; {
		case c == '"':
			p.at += i + 1
			return b.String()
		case c == '\\' && i+1 < len(rest):
			i++
			b.WriteByte(unescape(rest[i]))
		default:
			b.WriteByte(c)
		}
	}
	p.fail("string does not end")
	return ""
}

func unescape(c byte) byte {
	switch c {
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c
}

func (p *parser) storePath() nix.StorePath {
	s := p.str()
	if p.err != nil {
		return ""
	}
	path, err := nix.ParseStorePath(s)
	if err != nil {
		p.fail("%w", err)
	}
	return path
}
