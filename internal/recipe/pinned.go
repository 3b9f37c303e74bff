package recipe

import (
	"encoding/json"
	"fmt"

	"headwater/internal/nix"
)

// Pinned hashes the parts of a recipe that decide what its lock holds: roots, toolchains, replacements, and of each component what
// its ecosystem reads. A lock notes it, so that a lock made for another recipe is noticed.
func (r *Recipe) Pinned() (nix.Hash, error) {
	type component struct {
		Ecosystem, Root, Dir, At string
		Options                  map[string]any
		Download                 map[string]string `json:",omitempty"`
	}
	parts := struct {
		Toolchains map[string]string
		Roots      map[string]Root
		Components map[string]component
		Replace    map[string]Replacement `json:",omitempty"`
	}{r.Toolchains, r.Roots, map[string]component{}, r.Replace}
	for name, c := range r.Components {
		parts.Components[name] = component{c.Ecosystem, c.Root, c.Dir, c.At, c.Options, c.Download}
	}
	b, err := json.Marshal(parts) // sorts the keys of maps
	if err != nil {
		return nix.Hash{}, fmt.Errorf("hash recipe: %w", err)
	}
	return nix.Sum(nix.SHA256, b), nil
}
