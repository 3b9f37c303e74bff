// Package obtain finds the upstream's tree that a person names: a folder, an archive, or a commit of a git repository. What is not a
// folder is unpacked into a cache, once.
//
// Archives are hostile until shown otherwise: an entry that leaves its folder, stands twice or is neither file, folder nor link, and
// more than the limits, are errors, and nothing of the archive is left.
//
//	found, err := obtain.Find(ctx, "service-1.2.tar.gz", obtain.Options{Cache: dir})
//	tree, err := source.Open(found.Dir)
package obtain

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Options say where trees are unpacked, and how large they may be.
type Options struct {
	Cache string // folder for unpacked trees; made if it is needed
	Limits
}

// Limits of one archive. Zero fields mean the defaults.
type Limits struct {
	Entries int   // 500,000
	Bytes   int64 // unpacked: 16 GiB
}

func (l Limits) filled() Limits {
	if l.Entries == 0 {
		l.Entries = 500_000
	}
	if l.Bytes == 0 {
		l.Bytes = 16 << 30
	}
	return l
}

// Found is a tree.
type Found struct {
	Dir  string // where it is
	Name string // what it is called: the last part of what was named, without the ending

	URL      string // of the repository that it is a commit of, without user and password; "" if it is none of elsewhere
	Revision string // the commit's ID
}

// UnknownError says that what a person named is none of what can be a source.
type UnknownError struct {
	Source string
	Cause  error // nil if nothing more is known
}

func (e *UnknownError) Error() string {
	if e.Cause != nil {
		return fmt.Sprintf("open source %s: %v", e.Source, e.Cause)
	}
	return fmt.Sprintf("open source %s: is no folder, no archive and no git repository", e.Source)
}

// Unwrap gives the cause.
func (e *UnknownError) Unwrap() error { return e.Cause }

// Hint says what to do.
func (e *UnknownError) Hint() string {
	return "give a folder, an archive (.tar.gz, .tar.xz, .tar, .zip), or a git repository with a ref: DIR@REF or URL@REF"
}

// Find gives the tree that src names. The error is an *UnknownError, a *BadArchiveError, a *GitError, or one of the file system.
func Find(ctx context.Context, src string, o Options) (Found, error) {
	o.Limits = o.filled()
	fi, err := os.Stat(src)
	switch {
	case err == nil && fi.IsDir():
		abs, err := filepath.Abs(src)
		if err != nil {
			return Found{}, err
		}
		return Found{Dir: src, Name: filepath.Base(abs)}, nil
	case err == nil && format(src) != nil:
		return o.archive(ctx, src)
	case err == nil:
		return Found{}, &UnknownError{Source: src}
	case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrInvalid):
		return Found{}, &UnknownError{src, err}
	}
	at, ref := cutRef(src)
	if isURL(at) {
		return o.remote(ctx, at, ref)
	}
	if fi, err := os.Stat(at); ref != "" && err == nil && fi.IsDir() {
		return o.local(ctx, at, ref)
	}
	return Found{}, &UnknownError{Source: src}
}

// isURL tells whether git has to be asked for a repository over one of its transports.
func isURL(s string) bool {
	scheme, rest, ok := strings.Cut(s, "://")
	if ok {
		return rest != "" && strings.Trim(scheme, "abcdefghijklmnopqrstuvwxyz") == ""
	}
	host, _, ok := strings.Cut(s, ":") // user@host:path
	return ok && strings.Contains(host, "@") && !strings.Contains(host, "/") && !strings.HasPrefix(host, "-")
}

// cutRef cuts REF off DIR@REF or URL@REF; a ref has no colon, and the @ of a URL's user is before its path.
func cutRef(s string) (at, ref string) {
	from := 0
	if i := strings.Index(s, "://"); i >= 0 {
		from = i + len("://")
		if j := strings.IndexByte(s[from:], '/'); j >= 0 {
			from += j
		} else {
			return s, ""
		}
	}
	i := strings.LastIndexByte(s[from:], '@')
	if i < 0 || strings.Contains(s[from+i:], ":") {
		return s, ""
	}
	return s[:from+i], s[from+i+1:]
}

// name is what a source is called, by its address.
func name(at string) string {
	at = strings.TrimRight(filepath.ToSlash(at), "/")
	at = at[strings.LastIndexAny(at, "/:")+1:]
	for _, ending := range []string{".git", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar", ".zip"} {
		if s, ok := strings.CutSuffix(at, ending); ok && s != "" {
			return s
		}
	}
	return at
}

// into makes the folder key of the cache by fill, unless it is there already: of another name first, so that it is whole or not there.
func (o Options) into(key string, fill func(dir string) error) (string, error) {
	dst := filepath.Join(o.Cache, key)
	if _, err := os.Stat(dst); err == nil {
		return dst, nil
	}
	if err := os.MkdirAll(o.Cache, 0o755); err != nil {
		return "", fmt.Errorf("open source: %w", err)
	}
	tmp, err := os.MkdirTemp(o.Cache, ".new-")
	if err != nil {
		return "", fmt.Errorf("open source: %w", err)
	}
	tree := filepath.Join(tmp, "tree")
	if err := os.Mkdir(tree, 0o755); err != nil {
		return "", errors.Join(err, os.RemoveAll(tmp))
	}
	err = fill(tree)
	if err == nil {
		if err = os.Rename(tree, dst); errors.Is(err, fs.ErrExist) {
			err = nil // another process was quicker
		}
	}
	return dst, errors.Join(err, os.RemoveAll(tmp))
}
