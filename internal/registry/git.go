package registry

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"headwater/internal/artifact"
)

// gitScheme marks the address of a repository; the fragment is the commit.
const gitScheme = "git+"

// repository yields where a commit is to be had: from mirrors by hash, and from where upstream's lock says. Other mirrors of git
// repositories are a setting of git's, url.<mirror>.insteadOf.
func (r *Registry) repository(a artifact.Artifact, yield func(Address, error) bool) {
	if !r.byHash(a, yield) {
		return
	}
	u, err := url.Parse(a.Hint)
	switch {
	case a.Hint == "":
		yield(Address{}, errors.New("nothing says where the repository is; lock again"))
	case err != nil || u.Host == "" || u.Fragment == "" || u.Scheme != "https" && u.Scheme != "http" && u.Scheme != "ssh" && u.Scheme != "git":
		yield(Address{}, fmt.Errorf("%s is no address of a repository elsewhere", Redact(a.Hint)))
	case r.mirrors.only:
		yield(Address{}, fmt.Errorf("%s is not asked, since registries.yaml says \"only\"", Redact(a.Hint)))
	default:
		if u.Scheme != "ssh" {
			u.User = nil
		}
		yield(Address{URL: gitScheme + u.String(), From: "upstream's lock"}, nil)
	}
}

// Repository takes an address of a commit apart; ok is false for the address of a file.
func (a Address) Repository() (repository, commit string, ok bool) {
	rest, ok := strings.CutPrefix(a.URL, gitScheme)
	if !ok {
		return "", "", false
	}
	repository, commit, _ = strings.Cut(rest, "#")
	return repository, commit, true
}
