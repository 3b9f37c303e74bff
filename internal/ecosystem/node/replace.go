package node

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"

	"headwater/internal/artifact"
	"headwater/internal/ecosystem"
	"headwater/internal/lock"
	"headwater/internal/nix"
	"headwater/internal/recipe"
)

// replaceScript writes into npm's lock what stands in for packages.
//
//go:embed replace.js
var replaceScript string

// standIns has what the recipe says in place of packages of npm's lock. All that is not to be had is told at once.
func standIns(ctx context.Context, r ecosystem.LockRequest, list []lock.Artifact) ([]lock.Artifact, error) {
	out := slices.Clone(list)
	var errs []error
	for i, a := range list {
		by, ok := r.Replacing(a.Artifact())
		if !ok {
			continue
		}
		var err error
		if by.Version != "" {
			out[i], err = otherVersion(ctx, r, a, by)
		} else {
			out[i], err = ecosystem.StandIn(ctx, r.Network, r.Previous.Artifacts, a, by)
		}
		errs = append(errs, err)
	}
	return out, errors.Join(errs...)
}

// otherVersion pins another version of a package, as the registry has it. What that requires beyond the one of upstream's lock is not added.
func otherVersion(ctx context.Context, r ecosystem.LockRequest, a lock.Artifact, by recipe.Replacement) (lock.Artifact, error) {
	if old, ok := ecosystem.StoodIn(r.Previous.Artifacts, a, by); ok {
		return old, nil
	}
	ix, err := readIndex(ctx, a.Name, r.Network)
	if err != nil {
		return a, err
	}
	out := lock.Artifact{
		Ecosystem: a.Ecosystem, Name: a.Name, Version: by.Version, File: path.Base(a.Name) + "-" + by.Version + ".tgz",
		By: by, Instead: lock.Instead{Version: a.Version, Hash: a.Hash},
	}
	v, ok := ix.Versions[by.Version]
	if !ok {
		return a, &artifact.AbsentError{Artifact: out.Artifact(), Why: "the registry's index does not have it"}
	}
	if out.Hash, err = v.hash(); err != nil {
		return a, fmt.Errorf("%s %s: %w", a.Name, by.Version, err)
	}
	if out.Hash.Algo() == nix.SHA1 {
		out.Role = weak
	}
	return out, nil
}

// rewrite adds to files, and returns as bash, what changes npm's lock before it is installed from, so that the hashes in it are those of
// what is there. The versions in it stay, so that what requires them is content.
func rewrite(artifacts []lock.Artifact, p project, files map[string]string) (string, error) {
	integrity := map[string]string{} // by folder in the lock
	for _, a := range artifacts {
		if a.Instead == (lock.Instead{}) {
			continue
		}
		for dir, hash := range p.Placed {
			if hash == a.Instead.Hash {
				integrity[dir] = a.Hash.SRI()
			}
		}
	}
	if len(integrity) == 0 {
		return "", nil
	}
	text, err := json.Marshal(integrity) // sorts keys
	if err != nil {
		return "", err
	}
	files["replace"], files["replaced"] = replaceScript, string(text)
	return "\nnode \"$replacePath\" \"$replacedPath\"", nil
}
