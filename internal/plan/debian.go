package plan

import (
	"slices"

	"headwater/internal/recipe"
)

// suites are those that roots come from unless a version needs another.
func suites() []string { return []string{"trixie", "trixie-security"} }

// debian is the root of Debian packages that a build has what it needs in.
func debian(b *Build, notes *Notes) (recipe.Root, []Evidence) {
	r := recipe.Root{Suites: suites()}
	var evidence []Evidence
	for _, p := range slices.Concat(b.Stage.Packages, b.Needs) {
		for _, name := range debianNames(p, notes) {
			if !slices.Contains(r.Packages, name) {
				r.Packages = append(r.Packages, name)
				evidence = append(evidence, p.Evidence)
			}
		}
	}
	slices.Sort(r.Packages)
	if r.Packages == nil {
		r.Packages = []string{}
	}
	return r, evidence
}

// debianNames translates another distribution's package into Debian's.
func debianNames(p Installed, _ *Notes) []string {
	return []string{p.Name}
}
