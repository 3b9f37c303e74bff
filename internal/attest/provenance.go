package attest

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path"
	"slices"

	"headwater/internal/dag"
	"headwater/internal/lock"
	"headwater/internal/nix"
	"headwater/internal/sbom"
)

// BuildType says how to read the parameters of a provenance, and how to build again: headwater build in a folder with the recipe and the lock.
const BuildType = "urn:headwater:build:1"

// DefaultBuilder says no more than that Headwater built. Who runs the machine has a name for it that others can judge.
const DefaultBuilder = "urn:headwater:builder"

// narSHA256 is the algorithm of a store path's content: nix-store --dump PATH | sha256sum.
const narSHA256 = "narSha256"

// Build is what a provenance tells of. Nothing of it depends on which engine built, where or when.
type Build struct {
	Package *dag.Node      // the graph's last
	Parts   *sbom.Document // of the package
	Lock    *lock.File

	RecipeText, LockText []byte // headwater.yaml and headwater.lock

	SourceURL string // where the upstream's source is to be found, "" if it is not told
	Revision  string // of it, "" if it is not told
	Builder   string // URI of the machine and those who run it, "" for DefaultBuilder
	Version   string // of Headwater
}

// provenance is the predicate (slsa.dev/spec/v1.0/provenance).
type provenance struct {
	Definition struct {
		Type     string     `json:"buildType"`
		External external   `json:"externalParameters"`
		Internal internal   `json:"internalParameters"`
		Resolved []Resource `json:"resolvedDependencies"`
	} `json:"buildDefinition"`
	Run struct {
		Builder builder `json:"builder"`
	} `json:"runDetails"`
}

// external is what whoever asks for a build decides.
type external struct {
	Service string    `json:"service"`
	Release string    `json:"release"`
	Recipe  Resource  `json:"recipe"`
	Lock    Resource  `json:"lock"`
	Source  *Resource `json:"source,omitempty"`
}

// internal is what follows from it.
type internal struct {
	Derivation nix.StorePath `json:"derivation"` // of the package
	Output     nix.StorePath `json:"output"`
	Deviations []string      `json:"deviations,omitempty"` // of components from upstream's lock; those of artifacts stand at these
}

type builder struct {
	ID      string            `json:"id"`
	Version map[string]string `json:"version"`
}

// NewProvenance states what an image's package was built from: each file of the lock that went into it, each part of the source, recipe and
// lock, and the derivation that all of it makes.
func NewProvenance(subject Resource, b Build) (*Statement, error) {
	var p provenance
	p.Definition.Type = BuildType
	p.Definition.External = external{
		Service: b.Parts.Name, Release: b.Parts.Version, Recipe: fileOf("headwater.yaml", b.RecipeText), Lock: fileOf("headwater.lock", b.LockText), Source: b.source(),
	}
	p.Definition.Internal = internal{Derivation: b.Package.DrvPath, Output: b.Package.Path()}
	for _, part := range b.Parts.Parts {
		if part.Kind != sbom.Artifact {
			for _, note := range part.Notes {
				p.Definition.Internal.Deviations = append(p.Definition.Internal.Deviations, part.Name+": "+note)
			}
			continue
		}
		p.Definition.Resolved = append(p.Definition.Resolved, b.artifacts(part)...)
	}
	p.Definition.Resolved = append(p.Definition.Resolved, sources(b.Package)...)
	if s := p.Definition.External.Source; s != nil {
		p.Definition.Resolved = append(p.Definition.Resolved, *s)
	}
	p.Definition.Resolved = append(p.Definition.Resolved, p.Definition.External.Recipe, p.Definition.External.Lock)
	p.Run.Builder = builder{cmp.Or(b.Builder, DefaultBuilder), map[string]string{"headwater": b.Version}}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(p); err != nil {
		return nil, fmt.Errorf("make provenance: %w", err)
	}
	return newStatement(subject, ProvenanceType, bytes.TrimSpace(out.Bytes())), nil
}

func fileOf(name string, text []byte) Resource {
	return Resource{Name: name, Digest: digestOf(nix.Sum(nix.SHA256, text))}
}

func digestOf(h nix.Hash) map[string]string { return map[string]string{string(h.Algo()): h.Base16()} }

// source is the upstream's source as those who build know it.
func (b *Build) source() *Resource {
	if b.SourceURL == "" && b.Revision == "" {
		return nil
	}
	r := &Resource{Name: "source", URI: b.SourceURL}
	switch sum, err := hex.DecodeString(b.Revision); {
	case b.Revision == "":
	case err == nil && len(sum) == 20:
		r.Digest = map[string]string{"gitCommit": b.Revision}
	default:
		r.Annotations = map[string]any{"revision": b.Revision}
	}
	return r
}

// artifacts are the files of an artifact of the lock, or the store path that stands in the lock.
func (b *Build) artifacts(p *sbom.Part) []Resource {
	notes := map[string]any{}
	if len(p.In) > 0 {
		components := slices.DeleteFunc(slices.Clone(p.In), func(c string) bool { return c == "" })
		if len(components) > 0 {
			notes["components"] = components
		}
		if len(components) < len(p.In) {
			notes["runtime"] = true
		}
	}
	if len(p.Notes) > 0 {
		notes["deviations"] = p.Notes
	}
	if p.PURL == "" { // a store path that was there before
		r := Resource{Name: p.Output, Annotations: notes}
		for _, root := range b.Lock.Roots {
			for _, have := range root.Paths {
				if string(have.Path) == p.Output { // wherever it stands, it has the one hash
					r.Digest = map[string]string{narSHA256: have.NARHash.Base16()}
				}
			}
		}
		return []Resource{r}
	}
	var list []Resource
	for _, o := range p.Origins {
		own := map[string]any{"artifact": o.Artifact}
		for k, v := range notes {
			own[k] = v
		}
		list = append(list, Resource{Name: path.Base(o.File), URI: p.PURL, Digest: digestOf(o.Hash), Location: o.Hint, Annotations: own})
	}
	return list
}

// sources are the parts of the source that components are built from, sorted by their paths.
func sources(pkg *dag.Node) []Resource {
	var list []Resource
	for _, n := range dag.Closure(pkg) {
		if n.Kind == dag.Src {
			list = append(list, Resource{Name: string(n.Path()), Digest: map[string]string{narSHA256: n.Content.ContentAddress().Hash.Base16()}})
		}
	}
	slices.SortFunc(list, func(a, b Resource) int { return cmp.Compare(a.Name, b.Name) })
	return list
}
