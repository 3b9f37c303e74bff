package obtain

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Submodules are part of a commit's tree: who builds it has them, as "git clone --recurse-submodules" does. A folder that stands for
// another repository's commit, and of which .gitmodules says nothing, stays empty.

// submodule is a commit of another repository in a tree (gitmodules(5)).
type submodule struct {
	path   string // in the tree, slash-separated
	name   string
	url    string // as .gitmodules writes it
	commit string
}

// Limits on submodules, which may have submodules and be in one another.
const (
	maxSubmodules = 200 // of one tree
	maxNesting    = 8
)

// submodules lists those of a commit, sorted by path.
func (g *git) submodules(ctx context.Context, id string) ([]submodule, error) {
	listed, err := g.run(ctx, "ls-tree", "-r", "-z", "--full-tree", id)
	if err != nil {
		return nil, err
	}
	var links []submodule
	described := false
	for entry := range strings.SplitSeq(listed, "\x00") {
		meta, path, _ := strings.Cut(entry, "\t")
		switch f := strings.Fields(meta); {
		case len(f) == 3 && f[1] == "commit":
			links = append(links, submodule{path: path, commit: f[2]})
		case path == ".gitmodules":
			described = len(f) == 3 && f[0] != "120000" // a link is none, as for git
		}
	}
	if len(links) == 0 || !described {
		return nil, nil
	}
	settings, err := g.run(ctx, "config", "--blob", id+":.gitmodules", "-z", "--get-regexp", `^submodule\..*\.(path|url)$`)
	if err != nil {
		return nil, fmt.Errorf(".gitmodules: %w", err)
	}
	paths, urls := map[string]string{}, map[string]string{} // name by path, URL by name
	for entry := range strings.SplitSeq(settings, "\x00") {
		key, value, _ := strings.Cut(entry, "\n")
		key = strings.TrimPrefix(key, "submodule.")
		if name, ok := strings.CutSuffix(key, ".path"); ok {
			paths[filepath.ToSlash(filepath.Clean(value))] = name
		} else if name, ok := strings.CutSuffix(key, ".url"); ok {
			urls[name] = value
		}
	}
	var out []submodule
	for _, s := range links {
		if s.name = paths[s.path]; urls[s.name] != "" {
			s.url = urls[s.name]
			out = append(out, s)
		}
	}
	if len(out) > maxSubmodules {
		return nil, fmt.Errorf("has %d submodules, more than %d", len(out), maxSubmodules)
	}
	return out, nil
}

// address is the URL of a submodule of the repository at base, by which one that begins with ./ or ../ is meant. A tree from elsewhere
// may not name folders of this machine.
func (s submodule) address(base string) (string, error) {
	at := s.url
	if strings.HasPrefix(at, "./") || strings.HasPrefix(at, "../") {
		top := strings.TrimRight(base, "/")
		for {
			if rest, ok := strings.CutPrefix(at, "./"); ok {
				at = rest
				continue
			}
			rest, ok := strings.CutPrefix(at, "../")
			if !ok {
				break
			}
			cut := strings.LastIndexAny(top, "/:")
			if cut < 0 || strings.HasSuffix(top[:cut], ":/") || strings.HasSuffix(top[:cut], ":") {
				return "", fmt.Errorf("%s leads out of %s", s.url, redact(base))
			}
			at, top = rest, top[:cut]
		}
		return top + "/" + at, nil
	}
	scheme, _, _ := strings.Cut(at, "://")
	local := scheme == "file" || !isURL(at)
	from, _, _ := strings.Cut(base, "://")
	switch {
	case local && isURL(base) && from != "file":
		return "", fmt.Errorf("%s is a folder of this machine, which a repository from elsewhere may not name", at)
	case strings.HasPrefix(at, "-"):
		return "", fmt.Errorf("%q is no address", at)
	}
	return at, nil
}

// checkOut writes a commit's tree into an empty folder, with its submodules. index is a file for git's index, so that the repository's own
// stays as it is.
func (o Options) checkOut(ctx context.Context, repo, id, base, dir, index string, nesting int) error {
	g, err := newGit("--git-dir="+repo, "--work-tree="+dir)
	if err != nil {
		return err
	}
	g.env = append(g.env, "GIT_INDEX_FILE="+index)
	// Not by git archive, which leaves out and fills in what the tree's own attributes say.
	if _, err := g.run(ctx, "read-tree", id); err != nil {
		return err
	}
	if _, err := g.run(ctx, "checkout-index", "--all", "--force"); err != nil {
		return err
	}
	list, err := g.submodules(ctx, id)
	if err != nil {
		return err
	}
	if len(list) > 0 && nesting == maxNesting {
		return fmt.Errorf("submodules are in one another more than %d deep", maxNesting)
	}
	for _, s := range list {
		if err := o.submodule(ctx, repo, base, s, filepath.Join(dir, filepath.FromSlash(s.path)), index, nesting); err != nil {
			return fmt.Errorf("submodule %s: %w", s.path, err)
		}
	}
	return nil
}

// submodule writes a submodule's tree: out of the clone that the repository has of it, else from where .gitmodules says.
func (o Options) submodule(ctx context.Context, repo, base string, s submodule, dir, index string, nesting int) error {
	at, err := s.address(base)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if cloned := filepath.Join(repo, "modules", filepath.FromSlash(s.name)); filepath.IsLocal(filepath.FromSlash(s.name)) {
		if g, err := newGit("--git-dir=" + cloned); err == nil {
			if _, err := g.run(ctx, "cat-file", "-e", s.commit+"^{commit}"); err == nil {
				return o.checkOut(ctx, cloned, s.commit, at, dir, index, nesting+1)
			}
		}
	}
	return o.fetched(ctx, at, s.commit, func(repo, ref string) error {
		g, err := newGit("--git-dir=" + repo)
		if err != nil {
			return err
		}
		if _, err := g.run(ctx, "cat-file", "-e", s.commit+"^{commit}"); err != nil {
			return errors.Join(fmt.Errorf("%s has no commit %s", redact(at), s.commit), err)
		}
		return o.checkOut(ctx, repo, s.commit, at, dir, index, nesting+1)
	})
}
