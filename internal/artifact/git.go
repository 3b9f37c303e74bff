package artifact

import (
	"net/url"
	"path"
	"strings"
)

// GitArchive is the tree of a repository's commit as a tar file, which this machine's own git is asked for (package obtain says what is in
// it). at is the repository's address, commit all digits of its ID. The hash is known once it was made. All
// but the hint may be named otherwise.
func GitArchive(at, commit string) Artifact {
	at = strings.TrimPrefix(at, "git+")
	name := at
	if u, err := url.Parse(at); err == nil && u.Path != "" {
		name = u.Path
	} else if _, p, ok := strings.Cut(at, ":"); ok { // user@host:path
		name = p
	}
	name = strings.TrimSuffix(strings.Trim(name, "/"), ".git")
	return Artifact{Ecosystem: Git, Name: name, Version: commit, File: path.Base(name) + "-" + commit[:min(12, len(commit))] + ".tar", Hint: at + "#" + commit}
}
