package main

import (
	"net/url"
	"path/filepath"

	"headwater/internal/artifact"
	"headwater/internal/recipe"
	"headwater/internal/registry"
)

// placed is where an open builder's recipe says that an artifact is.
func (b *builder) placed(a artifact.Artifact) (registry.Address, bool) {
	if b.place == nil {
		return registry.Address{}, false
	}
	return b.place(a)
}

// locate tells the builder what a project's lock says of where artifacts are, which their derivations do not.
func (b *builder) locate(p *project) {
	b.hints = map[string]string{}
	replaced := map[string]recipe.Replacement{}
	for _, a := range p.lock.Artifacts() {
		key := a.Artifact().Ref() + " " + a.Hash.String()
		if a.Hint != "" {
			b.hints[key] = a.Hint
		}
		if a.By.Elsewhere() {
			replaced[key] = a.By
		}
	}
	b.place = func(a artifact.Artifact) (registry.Address, bool) {
		by, ok := replaced[a.Ref()+" "+a.Hash.String()]
		if !ok {
			return registry.Address{}, false
		}
		return p.addressOf(by), true
	}
}

// placed is where the recipe says that an artifact is, which is named as upstream's lock does.
func (p *project) placed(a artifact.Artifact) (registry.Address, bool) {
	_, by, ok := p.recipe.Replacing(a)
	if !ok || !by.Elsewhere() {
		return registry.Address{}, false
	}
	return p.addressOf(by), true
}

func (p *project) addressOf(by recipe.Replacement) registry.Address {
	at := registry.Address{URL: by.URL, From: "replace in " + recipeFile}
	if by.File != "" {
		file := filepath.Join(p.dir, filepath.FromSlash(by.File))
		if abs, err := filepath.Abs(file); err == nil { // else the file is not found, by its relative name
			file = abs
		}
		at.URL = (&url.URL{Scheme: "file", Path: file}).String()
	}
	return at
}
