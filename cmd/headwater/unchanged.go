package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"headwater/internal/atomicfile"
	"headwater/internal/nix"
	"headwater/internal/source"
	"headwater/internal/store"
)

// lastBuild is what a project's last build came to, and from what. It is kept beside the link to the package, so that a build of the same
// by the same program needs no graph. Without it, all is as it would be, only slower.
type lastBuild struct {
	From nix.Hash      `json:"from"`
	Path nix.StorePath `json:"path"`
}

func lastBuildFile(s *store.Store, p *project) string { return rootLink(s, p) + ".made" }

// from hashes all that a package's path is a function of: this program, recipe, lock and source. It is zero where that cannot be told.
func (p *project) from(a *app) (nix.Hash, error) {
	stamps, err := p.tree.Stamps(a.now())
	if errors.Is(err, source.ErrUnsettled) {
		return nix.Hash{}, nil
	}
	if err != nil {
		return nix.Hash{}, err
	}
	var st unix.Stat_t
	if err := unix.Stat("/proc/self/exe", &st); err != nil {
		return nix.Hash{}, fmt.Errorf("identify this program: %w", err)
	}
	program := fmt.Sprint(st.Dev, st.Ino, st.Size, st.Mtim.Nano(), st.Ctim.Nano())
	text, err := json.Marshal([]any{
		program, p.tree.Dir(), stamps, nix.Sum(nix.SHA256, p.recipeText), nix.Sum(nix.SHA256, p.lockText),
	})
	return nix.Sum(nix.SHA256, text), err
}

// unchanged is the package that was made from the same, "" if there is none in the store.
func unchanged(ctx context.Context, s *store.Store, p *project, from nix.Hash) (nix.StorePath, error) {
	data, err := os.ReadFile(lastBuildFile(s, p))
	if errors.Is(err, fs.ErrNotExist) || from.IsZero() {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read what was made: %w", err)
	}
	var m lastBuild
	if err := json.Unmarshal(data, &m); err != nil || m.From != from {
		return "", nil // another version's file is no reason to fail: it is written again
	}
	if err := s.AddTempRoot(ctx, m.Path); err != nil {
		return "", err
	}
	valid, err := s.Valid(ctx, m.Path)
	if err != nil || !slices.Contains(valid, m.Path) {
		return "", err
	}
	return m.Path, nil
}

// remember notes what was made from what.
func remember(s *store.Store, p *project, m lastBuild) error {
	if m.From.IsZero() {
		return nil
	}
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	name := lastBuildFile(s, p)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return atomicfile.Write(name, data, 0o644)
}
