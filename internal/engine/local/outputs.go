package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"headwater/internal/engine"
	"headwater/internal/nix"
	"headwater/internal/nix/nar"
	"headwater/internal/store"
)

// outputAt is where an output is found in the folder that a builder wrote to.
func outputAt(dir string, p nix.StorePath) string { return filepath.Join(dir, p.Base()) }

// output is one that was made.
type output struct {
	name string
	from string
	info store.PathInfo
}

// admit examines the outputs that a builder left in dir and makes those that were missing valid, all at once. closure is
// what the builder could see of the store.
func (j *job) admit(ctx context.Context, dir string, closure []nix.StorePath) error {
	candidates := slices.Clone(closure)
	for _, p := range j.node.Outputs {
		candidates = append(candidates, p)
	}
	var outputs []output
	for _, name := range j.wanted() {
		o, err := j.examine(ctx, output{name: name, from: outputAt(dir, j.node.Outputs[name])}, candidates)
		if err != nil {
			return err
		}
		outputs = append(outputs, o)
	}
	if err := j.checkOutputs(ctx, outputs); err != nil {
		return err
	}
	if j.check {
		return j.compare(ctx, outputs)
	}
	items := make([]store.Install, len(outputs))
	for i, o := range outputs {
		items[i] = store.Install{From: o.from, Info: o.info}
	}
	if err := j.Store.Install(ctx, items); err != nil {
		return fmt.Errorf("realise %s: %w", j.node.Name, err)
	}
	return nil
}

// wanted are the outputs that are of use, sorted.
func (j *job) wanted() []string {
	if j.check {
		return j.node.Drv.OutputNames()
	}
	return j.missing
}

// examine looks at one output: what it is, whether it may be so, and what it refers to.
func (j *job) examine(ctx context.Context, o output, candidates []nix.StorePath) (output, error) {
	p := j.node.Outputs[o.name]
	fi, err := os.Lstat(o.from)
	if errors.Is(err, os.ErrNotExist) {
		return o, j.failed(engine.BadOutput, fmt.Errorf("builder made no output %s at %s", o.name, p))
	}
	if err != nil {
		return o, fmt.Errorf("realise %s: %w", j.node.Name, err)
	}
	if fi.Mode()&os.ModeSymlink == 0 && fi.Mode().Perm()&0o022 != 0 {
		return o, j.failed(engine.BadOutput, fmt.Errorf("output %s may be written to by others than its owner (%v)", o.name, fi.Mode()))
	}
	found, err := store.Examine(ctx, o.from, candidates)
	if errors.Is(err, store.ErrUnsupportedFile) {
		return o, j.failed(engine.BadOutput, fmt.Errorf("output %s: %w", o.name, err))
	}
	if err != nil {
		return o, fmt.Errorf("realise %s: output %s: %w", j.node.Name, o.name, err)
	}
	o.info = store.PathInfo{
		Path: p, NARHash: found.NARHash, NARSize: found.NARSize, Refs: found.Refs, Deriver: j.node.DrvPath, Ultimate: true,
		CA: j.node.Drv.Outputs[o.name].CA,
	}
	if o.info.CA.IsZero() {
		return o, nil
	}
	if len(found.Refs) > 0 {
		return o, j.failed(engine.BadOutput, fmt.Errorf("fixed output refers to the store: %v", found.Refs))
	}
	if o.info.CA.Method == nix.Flat && (!fi.Mode().IsRegular() || fi.Mode().Perm()&0o100 != 0) {
		return o, j.failed(engine.BadOutput, fmt.Errorf("fixed output should be a file that is not executable, but is %v", fi.Mode()))
	}
	got, err := contentHash(ctx, o.from, o.info.CA, found)
	if err != nil {
		return o, fmt.Errorf("realise %s: %w", j.node.Name, err)
	}
	if got != o.info.CA.Hash {
		return o, j.failed(engine.BadOutput, fmt.Errorf("hash mismatch: want %s, have %s", o.info.CA.Hash.SRI(), got.SRI()))
	}
	return o, nil
}

// contentHash hashes a canonical tree as ca says.
func contentHash(ctx context.Context, at string, ca nix.ContentAddress, found store.Examined) (nix.Hash, error) {
	algo := ca.Hash.Algo()
	if ca.Method == nix.NAR {
		if algo == nix.SHA256 {
			return found.NARHash, nil
		}
		sum := algo.New()
		if sum == nil {
			return nix.Hash{}, fmt.Errorf("hash %s: unknown algorithm %q", at, algo)
		}
		if err := nar.DumpTo(ctx, at, sum); err != nil {
			return nix.Hash{}, err
		}
		return nix.NewHash(algo, sum.Sum(nil))
	}
	f, err := os.Open(at)
	if err != nil {
		return nix.Hash{}, err
	}
	defer f.Close() // only read
	if fi, err := f.Stat(); err != nil || !fi.Mode().IsRegular() {
		return nix.Hash{}, errors.Join(fmt.Errorf("hash %s: not a file", at), err)
	}
	hash, _, err := nix.SumReader(algo, f)
	return hash, err
}

// compare is Options.Check: the outputs must be those that are valid.
func (j *job) compare(ctx context.Context, outputs []output) error {
	var first error
	for _, o := range outputs {
		valid, err := j.Store.Query(ctx, o.info.Path)
		if err != nil {
			return fmt.Errorf("check %s: %w", j.node.Name, err)
		}
		if valid.NARHash == o.info.NARHash {
			continue
		}
		if first == nil {
			first = j.failed(engine.Differs, fmt.Errorf("output %s is not the same when it is built again: was %s, is %s",
				o.name, valid.NARHash.SRI(), o.info.NARHash.SRI()))
		}
		if j.opts.Differs == nil {
			continue
		}
		d := engine.Difference{
			Node: j.node, Output: o.name, Was: valid.NARHash, Is: o.info.NARHash,
			WasAt: j.Store.RealPath(valid.Path), IsAt: o.from, LogPath: j.logPath(),
		}
		if err := j.opts.Differs(ctx, d); err != nil {
			return fmt.Errorf("check %s: %w", j.node.Name, err)
		}
	}
	return first
}

// copyOutputs makes the outputs anew in another folder. A builder with the network may have handed an open file to a process
// outside, which could write to it even now (CVE-2024-27297).
func (j *job) copyOutputs(ctx context.Context, dir string) (string, error) {
	to, err := j.subfolder("copied")
	if err != nil {
		return "", err
	}
	for _, name := range j.wanted() {
		p := j.node.Outputs[name]
		if err := copyTree(ctx, outputAt(dir, p), outputAt(to, p)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", err
		}
	}
	return to, nil
}

func copyTree(ctx context.Context, from, to string) error {
	r, w := io.Pipe()
	dumped := make(chan struct{})
	go func() {
		defer close(dumped)
		w.CloseWithError(nar.DumpTo(ctx, from, w))
	}()
	err := nar.Unpack(ctx, r, to)
	r.CloseWithError(err)
	<-dumped
	return err
}
