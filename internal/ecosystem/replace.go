package ecosystem

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"

	"headwater/internal/artifact"
	"headwater/internal/lock"
	"headwater/internal/nix"
	"headwater/internal/recipe"
)

// Replacing tells what the recipe has in place of an artifact, which is named as upstream's lock does.
func (r LockRequest) Replacing(a artifact.Artifact) (recipe.Replacement, bool) {
	if r.Replace == nil {
		return recipe.Replacement{}, false
	}
	return r.Replace(a)
}

// StandIn is a with the bytes that the recipe has for it at another place: by.URL or by.File, where net finds it. If they are others
// than a's hash says, the result has their hash and says what it was instead. What previous, an earlier lock's list, has of it is
// taken as it is.
func StandIn(ctx context.Context, net Network, previous []lock.Artifact, a lock.Artifact, by recipe.Replacement) (lock.Artifact, error) {
	if old, ok := StoodIn(previous, a, by); ok {
		return old, nil
	}
	open := a.Artifact()
	open.Hash, open.Size = nix.Hash{}, 0
	file, got, err := net.Get(ctx, open)
	if err != nil {
		return a, err
	}
	sum, err := SumOf(file, cmp.Or(a.Hash.Algo(), nix.SHA256))
	if err != nil {
		return a, fmt.Errorf("read what stands in for %s %s: %w", a.Name, a.Version, err)
	}
	a.By = by
	if sum != a.Hash {
		a.Instead.Hash = a.Hash
		a.Hash, a.Size = got.Hash, got.Size
	}
	return a, nil
}

// StoodIn is what an earlier lock's list has for a where the recipe had by in its place.
func StoodIn(previous []lock.Artifact, a lock.Artifact, by recipe.Replacement) (lock.Artifact, bool) {
	for _, old := range previous {
		up := old.Upstream()
		if old.By == by && up.Name == a.Name && up.Version == a.Version && up.Hash == a.Hash {
			return old, true
		}
	}
	return lock.Artifact{}, false
}

// SumOf is the hash of a file's bytes.
func SumOf(file string, algo nix.Algo) (sum nix.Hash, err error) {
	f, err := os.Open(file)
	if err != nil {
		return sum, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	sum, _, err = nix.SumReader(algo, f)
	return sum, err
}
