package obtain

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// GitError says what this machine's git could not do.
type GitError struct {
	Source string
	Cause  error
}

func (e *GitError) Error() string { return "open source " + e.Source + ": " + e.Cause.Error() }

// Unwrap gives the cause.
func (e *GitError) Unwrap() error { return e.Cause }

// Hint says what to do.
func (e *GitError) Hint() string {
	if errors.Is(e.Cause, exec.ErrNotFound) {
		return "install git, or give a folder or an archive of the tree"
	}
	return "see whether the ref is there and git reaches the repository; a mirror is set in git's own settings: url.<mirror>.insteadOf"
}

// local takes a commit of a repository in a folder.
func (o Options) local(ctx context.Context, dir, ref string) (Found, error) {
	src := dir + "@" + ref
	g, err := newGit("-C", dir)
	if err != nil {
		return Found{}, &GitError{src, err}
	}
	repo, err := g.run(ctx, "rev-parse", "--absolute-git-dir")
	if err != nil {
		return Found{}, &GitError{src, err}
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return Found{}, err
	}
	return o.commit(ctx, src, repo, ref, filepath.Base(abs))
}

// remote fetches one commit of a repository, and keeps its tree in the cache.
func (o Options) remote(ctx context.Context, url, ref string) (found Found, err error) {
	src := redact(url)
	if ref != "" {
		src += "@" + ref
	} else {
		ref = "HEAD"
	}
	if err := os.MkdirAll(o.Cache, 0o755); err != nil {
		return Found{}, fmt.Errorf("open source: %w", err)
	}
	repo, err := os.MkdirTemp(o.Cache, "git-") // its own: others may fetch the same at this moment
	if err != nil {
		return Found{}, fmt.Errorf("open source: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(repo)) }()
	g, err := newGit()
	if err != nil {
		return Found{}, &GitError{src, err}
	}
	if _, err := g.run(ctx, "init", "--quiet", "--bare", repo); err != nil {
		return Found{}, &GitError{src, err}
	}
	if strings.HasPrefix(ref, "-") {
		return Found{}, &GitError{src, fmt.Errorf("%q is no ref", ref)}
	}
	g.args = append(g.args, "--git-dir="+repo)
	if _, err := g.run(ctx, "fetch", "--quiet", "--depth=1", "--no-tags", "--end-of-options", url, ref); err != nil {
		if commitID.MatchString(ref) { // a server may give no commit by its ID, but what its branches and tags have
			_, err = g.run(ctx, "fetch", "--quiet", "--no-tags", "--end-of-options", url, "+refs/*:refs/fetched/*")
		}
		if err != nil {
			return Found{}, &GitError{src, err}
		}
		return o.commit(ctx, src, repo, ref, name(url))
	}
	return o.commit(ctx, src, repo, "FETCH_HEAD", name(url))
}

// commitID is a whole ID of a commit.
var commitID = regexp.MustCompile(`^(?:[0-9a-f]{40}|[0-9a-f]{64})$`)

// commit writes the tree of a commit into the cache.
func (o Options) commit(ctx context.Context, src, repo, ref, name string) (Found, error) {
	g, err := newGit("--git-dir=" + repo)
	if err != nil {
		return Found{}, &GitError{src, err}
	}
	id, err := g.run(ctx, "rev-parse", "--verify", "--quiet", "--end-of-options", ref+"^{commit}")
	if err == nil && strings.Trim(id, "0123456789abcdef") != "" {
		err = fmt.Errorf("git says %q for a commit", id)
	}
	if err != nil {
		return Found{}, &GitError{src, fmt.Errorf("%s is no commit of it: %w", ref, err)}
	}
	dir, err := o.into("commit-"+id, func(dir string) error {
		// Not by git archive, which leaves out and fills in what the tree's own attributes say. The repository's index stays as it is.
		g.env = append(g.env, "GIT_INDEX_FILE="+filepath.Join(filepath.Dir(dir), "index"))
		g.args = append(g.args, "--work-tree="+dir)
		if _, err := g.run(ctx, "read-tree", id); err != nil {
			return err
		}
		_, err := g.run(ctx, "checkout-index", "--all", "--force")
		return err
	})
	if err != nil {
		return Found{}, &GitError{src, err}
	}
	return Found{Dir: dir, Name: name}, nil
}

// git is this machine's own client, with its user's settings.
type git struct {
	path string
	args []string
	env  []string // added to the environment
}

func newGit(args ...string) (*git, error) {
	path, err := exec.LookPath("git")
	if err != nil {
		return nil, err
	}
	// Nothing of a repository is run, and line ends stay as they are.
	args = append([]string{"-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "core.attributesFile=/dev/null", "-c", "core.autocrlf=false", "-c", "core.eol=lf"}, args...)
	return &git{path: path, args: args, env: []string{"GIT_TERMINAL_PROMPT=0", "GIT_ALLOW_PROTOCOL=file:git:http:https:ssh", "LC_ALL=C"}}, nil
}

// run gives what a command prints, without the end of the line.
func (g *git) run(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, g.path, append(append([]string{}, g.args...), args...)...)
	cmd.Env = append(cmd.Environ(), g.env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		text := strings.TrimSpace(redact(stderr.String()))
		if len(text) > 2000 {
			text = text[:2000]
		}
		return "", fmt.Errorf("git %s: %w: %s", args[0], err, text)
	}
	return strings.TrimSpace(string(out)), nil
}

// redact takes user and password out of the URLs in a text.
func redact(s string) string {
	return regexp.MustCompile(`://[^/@\s]+@`).ReplaceAllString(s, "://")
}
