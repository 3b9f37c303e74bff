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
	base, err := g.run(ctx, "config", "--get", "remote.origin.url")
	if err != nil || base == "" {
		base = abs // it was never cloned
	}
	return o.commit(ctx, src, repo, ref, filepath.Base(abs), base)
}

// remote fetches one commit of a repository, and keeps its tree in the cache.
func (o Options) remote(ctx context.Context, url, ref string) (found Found, err error) {
	src := redact(url)
	if ref != "" {
		src += "@" + ref
	} else {
		ref = "HEAD"
	}
	err = o.fetched(ctx, url, ref, func(repo, ref string) (err error) {
		found, err = o.commit(ctx, src, repo, ref, name(url), url)
		return err
	})
	if err != nil && !is[*GitError](err) {
		err = &GitError{src, err}
	}
	return found, err
}

func is[T error](err error) bool {
	var t T
	return errors.As(err, &t)
}

// fetched fetches one commit of a repository into one of its own, which use is called with, and by which ref it is there.
func (o Options) fetched(ctx context.Context, url, ref string, use func(repo, ref string) error) (err error) {
	if err := os.MkdirAll(o.Cache, 0o755); err != nil {
		return err
	}
	repo, err := os.MkdirTemp(o.Cache, "git-") // its own: others may fetch the same at this moment
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(repo)) }()
	g, err := newGit()
	if err != nil {
		return err
	}
	if _, err := g.run(ctx, "init", "--quiet", "--bare", repo); err != nil {
		return err
	}
	if strings.HasPrefix(ref, "-") {
		return fmt.Errorf("%q is no ref", ref)
	}
	g.args = append(g.args, "--git-dir="+repo)
	if _, err := g.run(ctx, "fetch", "--quiet", "--depth=1", "--no-tags", "--end-of-options", url, ref); err != nil {
		if commitID.MatchString(ref) { // a server may give no commit by its ID, but what its branches and tags have
			_, err = g.run(ctx, "fetch", "--quiet", "--no-tags", "--end-of-options", url, "+refs/*:refs/fetched/*")
		}
		if err != nil {
			return err
		}
		return use(repo, ref)
	}
	return use(repo, "FETCH_HEAD")
}

// commitID is a whole ID of a commit.
var commitID = regexp.MustCompile(`^(?:[0-9a-f]{40}|[0-9a-f]{64})$`)

// commit writes the tree of a commit into the cache. base is the repository's own address, which those of submodules may be seen from.
func (o Options) commit(ctx context.Context, src, repo, ref, name, base string) (Found, error) {
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
	inside, err := g.submodules(ctx, id)
	if err != nil {
		return Found{}, &GitError{src, err}
	}
	key := "commit-" + id
	if len(inside) > 0 {
		key += "-submodules" // earlier versions kept trees without them
	}
	dir, err := o.into(key, func(dir string) error {
		return o.checkOut(ctx, repo, id, base, dir, filepath.Join(filepath.Dir(dir), "index"), 0)
	})
	if err != nil {
		return Found{}, &GitError{src, err}
	}
	found := Found{Dir: dir, Name: name, Revision: id}
	if isURL(base) && !strings.HasPrefix(base, "file:") {
		found.URL = redact(base)
	}
	return found, nil
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
