package local

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"headwater/internal/engine"
	"headwater/internal/nix"
	"headwater/internal/nix/drv"
	"headwater/internal/sandbox"
)

// workplace is what a builder is given besides its inputs: variables, arguments and files in the build folder.
type workplace struct {
	env   map[string]string
	args  []string
	files map[string]string // by name
}

// workplace works out what Nix would give to the builder. (Manual, "Derivations: builder execution", "Advanced attributes".)
func (j *job) workplace(ctx context.Context, closure []nix.StorePath) (*workplace, error) {
	d := j.node.Drv
	attrs, err := d.Attrs()
	if err != nil {
		return nil, j.failed(engine.BadRecipe, err)
	}
	w := &workplace{files: map[string]string{}, args: slices.Clone(d.Args)}
	w.env = map[string]string{ // a derivation may override these
		"PATH": "/path-not-set", "HOME": "/homeless-shelter", "NIX_STORE": nix.StoreDir,
		"NIX_BUILD_CORES": strconv.Itoa(j.opts.Cores),
	}
	graph := referenceGraphs{store: j.Store, closure: closure}
	if structured := attrs.Structured(); structured != nil {
		err = w.structured(ctx, d, structured, graph)
	} else {
		err = errors.Join(w.plain(d.Env), w.graphFiles(ctx, d.Env["exportReferencesGraph"], graph))
	}
	if err != nil {
		var fault *graphFault
		if errors.As(err, &fault) {
			return nil, fmt.Errorf("build %s: %w", j.node.Name, fault.err)
		}
		return nil, j.failed(engine.BadRecipe, err)
	}
	maps.Copy(w.env, map[string]string{ // but not these
		"NIX_BUILD_TOP": sandbox.BuildDir, "TMPDIR": sandbox.BuildDir, "TEMPDIR": sandbox.BuildDir, "TMP": sandbox.BuildDir,
		"TEMP": sandbox.BuildDir, "PWD": sandbox.BuildDir, "NIX_LOG_FD": "2", "TERM": "xterm-256color",
	})
	if d.IsFixed() {
		w.env["NIX_OUTPUT_CHECKED"] = "1"
		impure, _, err := attrs.Strings("impureEnvVars")
		if err != nil {
			return nil, j.failed(engine.BadRecipe, err)
		}
		for _, name := range impure {
			w.env[name] = j.Getenv(name)
		}
	}
	w.rewrite(placeholders(d))
	return w, j.checkBytes(w)
}

// plain puts the variables into the environment, or into a file where passAsFile says so. The order is that of the names: a
// later variable of a file variable's own name wins.
func (w *workplace) plain(env map[string]string) error {
	asFile := map[string]bool{}
	for _, name := range strings.Fields(env["passAsFile"]) {
		asFile[name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(env)) {
		if !asFile[name] {
			w.env[name] = env[name]
			continue
		}
		file := ".attr-" + nix.Sum(nix.SHA256, []byte(name)).Base32()
		w.files[file] = env[name]
		w.env[name+"Path"] = sandbox.BuildDir + "/" + file
	}
	return nil
}

// isName tells whether s begins with a letter or "_" and goes on with these, digits and bytes of more.
func isName(s, more string) bool {
	for i, c := range []byte(s) {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_'
		if !letter && (i == 0 || (c < '0' || c > '9') && strings.IndexByte(more, c) < 0) {
			return false
		}
	}
	return s != ""
}

// graphFiles writes the reference graphs that exportReferencesGraph asks for: pairs of a file name and a store path.
func (w *workplace) graphFiles(ctx context.Context, value string, g referenceGraphs) error {
	words := strings.Fields(value)
	if len(words)%2 != 0 {
		return fmt.Errorf("exportReferencesGraph has an odd number of words: %q", value)
	}
	for i := 0; i < len(words); i += 2 {
		if !isName(words[i], ".-") {
			return fmt.Errorf("exportReferencesGraph: %q cannot be a file's name", words[i])
		}
		p, _, err := nix.SplitStorePath(words[i+1])
		if err != nil {
			return fmt.Errorf("exportReferencesGraph: %w", err)
		}
		if w.files[words[i]], err = g.text(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// placeholders stand for outputs' paths where those were not known when the derivation was written.
func placeholders(d *drv.Derivation) map[string]string {
	m := make(map[string]string, len(d.Outputs))
	for name, o := range d.Outputs {
		m[drv.Placeholder(name)] = string(o.Path)
	}
	return m
}

// rewrite replaces words wherever the builder could see them.
func (w *workplace) rewrite(words map[string]string) {
	replace := func(s string) string {
		for word, by := range words { // none is part of another, so their order is all one
			s = strings.ReplaceAll(s, word, by)
		}
		return s
	}
	for name, v := range w.env {
		w.env[name] = replace(v)
	}
	for name, v := range w.files {
		w.files[name] = replace(v)
	}
	for i, v := range w.args {
		w.args[i] = replace(v)
	}
}

// checkBytes refuses what no process can be given.
func (j *job) checkBytes(w *workplace) error {
	for name, v := range w.env {
		if name == "" || strings.ContainsAny(name, "=\x00") || strings.Contains(v, "\x00") {
			return j.badRequest("%q cannot be an environment variable", name)
		}
	}
	for _, a := range w.args {
		if strings.Contains(a, "\x00") {
			return j.badRequest("an argument holds a NUL")
		}
	}
	return nil
}

// environ is the environment as processes have it, sorted.
func (w *workplace) environ() []string {
	env := make([]string, 0, len(w.env))
	for _, name := range slices.Sorted(maps.Keys(w.env)) {
		env = append(env, name+"="+w.env[name])
	}
	return env
}

// write puts the files into the build folder, to which nobody else has access.
func (w *workplace) write(dir string) error {
	for name, content := range w.files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}
