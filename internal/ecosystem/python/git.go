package python

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"net/url"
	"path"
	"strings"

	"headwater/internal/artifact"
)

// gitEnding is that of a commit's tree, which is built as an sdist is.
const gitEnding = ".tar"

// fromGit is the tree of the commit that the upstream's lock names, and notes the folder of it that the package is in.
func (l *locker) fromGit(ctx context.Context, p Package) ([]artifact.Artifact, error) {
	at, commit, _ := strings.Cut(p.Git, "#")
	u, err := url.Parse(at)
	if err != nil {
		return nil, fmt.Errorf("git repository %q: %w", at, err)
	}
	folder := path.Clean(cmp.Or(p.Folder, u.Query().Get("subdirectory"), "."))
	if !fs.ValidPath(folder) || strings.ContainsAny(folder, "\x00\\") {
		return nil, fmt.Errorf("%q is no folder of its git repository", folder)
	}
	u.RawQuery = ""
	a := artifact.GitArchive(u.String(), commit)
	a.Name, a.Version, a.File = p.Name, p.Version, p.Name+"-"+p.Version+gitEnding
	if folder != "." {
		l.inside[a.File] = folder
	}
	if old, ok := l.old.files[a.File]; ok && old.Hint == a.Hint {
		return []artifact.Artifact{old}, nil
	}
	_, a, err = l.Network.Get(ctx, a)
	return []artifact.Artifact{a}, err
}
