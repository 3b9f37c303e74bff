package store

import (
	"context"
	"fmt"

	"headwater/internal/nix"
	"headwater/internal/nix/nar"
	"headwater/internal/nix/refs"
)

// Examined is what the bytes of a tree tell.
type Examined struct {
	NARHash nix.Hash        // SHA-256
	NARSize int64           // bytes
	Refs    []nix.StorePath // sorted
}

// Examine canonicalises the tree at from, then hashes its NAR and looks for references to the candidates in one read.
// The tree may be anywhere; nothing may write to it any more.
func Examine(ctx context.Context, from string, candidates []nix.StorePath) (Examined, error) {
	if err := Canonicalise(ctx, from); err != nil {
		return Examined{}, fmt.Errorf("examine %s: %w", from, err)
	}
	scanner := refs.NewScanner(candidates)
	var e Examined
	var err error
	if len(candidates) > 0 {
		e.NARHash, e.NARSize, err = nar.Hash(ctx, from, scanner)
	} else {
		e.NARHash, e.NARSize, err = nar.Hash(ctx, from)
	}
	if err != nil {
		return Examined{}, fmt.Errorf("examine %s: %w", from, err)
	}
	e.Refs = scanner.Found()
	return e, nil
}
