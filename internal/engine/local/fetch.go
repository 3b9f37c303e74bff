package local

import (
	"context"
	"fmt"
	"os"
	"path"

	"headwater/internal/artifact"
	"headwater/internal/engine"
	"headwater/internal/event"
	"headwater/internal/nix"
)

// fetch is builtin:fetchurl.
func (j *job) fetch(ctx context.Context) (engine.Done, error) {
	d := j.node.Drv
	switch {
	case !d.IsFixed():
		return engine.Done{}, j.badRequest("a download needs the hash of what is to be downloaded")
	case d.Env["unpack"] == "1":
		return engine.Done{}, j.badRequest("builtin:fetchurl with unpack is not supported")
	case j.Fetch == nil:
		return engine.Done{}, fmt.Errorf("fetch %s: downloads are switched off", j.node.Name)
	}
	out, err := j.subfolder("out")
	if err != nil {
		return engine.Done{}, fmt.Errorf("fetch %s: %w", j.node.Name, err)
	}
	to := outputAt(out, j.node.Path())
	progress := func(done, total int64) {
		j.opts.Events(event.Progress{Node: engine.EventNode(j.node), Done: done, Total: total})
	}
	size, err := j.Fetch(ctx, artifactOf(j.node.Name, d.Env["url"], d.Outputs["out"].CA), to, progress)
	if err != nil {
		return engine.Done{}, fmt.Errorf("fetch %s: %w", j.node.Name, err)
	}
	mode := os.FileMode(0o644)
	if d.Env["executable"] == "1" {
		mode = 0o755
	}
	if err := os.Chmod(to, mode); err != nil {
		return engine.Done{}, fmt.Errorf("fetch %s: %w", j.node.Name, err)
	}
	return engine.Done{Bytes: size}, j.admit(ctx, out, nil)
}

// artifactOf is what a fetch derivation names: an artifact's reference, or any other address.
func artifactOf(name, url string, ca nix.ContentAddress) artifact.Artifact {
	a, err := artifact.ParseRef(url)
	if err != nil {
		a = artifact.Artifact{Ecosystem: artifact.URL, Name: name, File: path.Base(url), Hint: url}
	}
	if ca.Method == nix.Flat {
		a.Hash = ca.Hash
	}
	return a
}
