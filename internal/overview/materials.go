package overview

import (
	"cmp"
	"encoding/json"
	"fmt"
	"headwater/internal/sbom"
	"slices"
	"strings"
)

// Materials sums up a bill of materials.
type Materials struct {
	Signed     string   `json:"signed,omitempty"` // as of Attached; "" also where it is no attestation
	Format     string   `json:"format"`           // "CycloneDX 1.6"
	Parts      int      `json:"parts"`            // those that have a package URL
	Shipped    int      `json:"shipped"`          // of these: surely in the image
	Kinds      []Count  `json:"kinds"`            // of package URLs: "deb", "npm", …
	Licences   []Count  `json:"licences"`         // of what is or may be shipped
	Unlicensed int      `json:"unlicensed"`       // of these: none is told
	Deviations []string `json:"deviations"`       // from upstream's lock
}

// Count is how often something is there.
type Count struct {
	Name string `json:"name"`
	N    int    `json:"n"`
}

// tally counts names; the most frequent is the first.
func tally(names []string) []Count {
	n := map[string]int{}
	for _, name := range names {
		n[name]++
	}
	counts := []Count{}
	for name, k := range n {
		counts = append(counts, Count{name, k})
	}
	slices.SortFunc(counts, func(a, b Count) int { return cmp.Or(cmp.Compare(b.N, a.N), strings.Compare(a.Name, b.Name)) })
	return counts
}

// part is one of a bill's, of either format.
type part struct {
	name, purl string
	shipped    string // yes, no or unknown
	licences   []string
	deviations []string
}

// ReadMaterials sums up a bill of materials, CycloneDX or SPDX in JSON, of whoever made it.
func ReadMaterials(document []byte) (*Materials, error) {
	var says struct{ BOMFormat, SpecVersion, SPDXVersion string }
	if err := json.Unmarshal(document, &says); err != nil {
		return nil, fmt.Errorf("read bill of materials: %w", err)
	}
	m := &Materials{Deviations: []string{}}
	var parts []part
	var err error
	switch {
	case says.BOMFormat == "CycloneDX":
		m.Format = "CycloneDX " + says.SpecVersion
		parts, err = cyclonedxParts(document)
	case says.SPDXVersion != "":
		m.Format = strings.Replace(says.SPDXVersion, "-", " ", 1)
		parts, err = spdxParts(document)
	default:
		err = errFormat
	}
	if err != nil {
		return nil, err
	}
	var kinds, licences []string
	for _, p := range parts {
		for _, d := range p.deviations {
			m.Deviations = append(m.Deviations, p.name+": "+d)
		}
		if p.purl == "" {
			continue
		}
		m.Parts++
		kind, _, _ := strings.Cut(strings.TrimPrefix(p.purl, "pkg:"), "/")
		kinds = append(kinds, kind)
		if p.shipped == "yes" {
			m.Shipped++
		}
		if p.shipped == "no" {
			continue
		}
		if len(p.licences) == 0 {
			m.Unlicensed++
		}
		licences = append(licences, p.licences...)
	}
	m.Kinds, m.Licences = tally(kinds), tally(licences)
	return m, nil
}

func cyclonedxParts(document []byte) ([]part, error) {
	var bom struct {
		Components []struct {
			Group, Name, Version, PURL, Scope string
			Licenses                          []struct {
				Expression string
				License    struct{ ID, Name string }
			}
			Properties []struct{ Name, Value string }
		}
	}
	if err := json.Unmarshal(document, &bom); err != nil {
		return nil, fmt.Errorf("read bill of materials: %w", err)
	}
	var parts []part
	for _, c := range bom.Components {
		p := part{name: strings.TrimSpace(strings.TrimPrefix(c.Group+"/"+c.Name, "/") + " " + c.Version), purl: c.PURL}
		p.shipped = map[string]string{"required": "yes", "excluded": "no"}[c.Scope]
		for _, l := range c.Licenses {
			if name := cmp.Or(l.Expression, l.License.ID, l.License.Name); name != "" {
				p.licences = append(p.licences, name)
			}
		}
		for _, x := range c.Properties {
			switch x.Name {
			case sbom.PropertyShipped:
				p.shipped = x.Value
			case sbom.PropertyDeviation:
				p.deviations = append(p.deviations, x.Value)
			}
		}
		parts = append(parts, p)
	}
	return parts, nil
}

func spdxParts(document []byte) ([]part, error) {
	var doc struct {
		Packages []struct {
			Name, VersionInfo, LicenseDeclared, LicenseConcluded, LicenseComments, Comment string
			ExternalRefs                                                                   []struct{ ReferenceType, ReferenceLocator string }
		}
	}
	if err := json.Unmarshal(document, &doc); err != nil {
		return nil, fmt.Errorf("read bill of materials: %w", err)
	}
	const none = "NOASSERTION"
	var parts []part
	for _, c := range doc.Packages {
		p := part{name: strings.TrimSpace(c.Name + " " + c.VersionInfo)}
		for _, r := range c.ExternalRefs {
			if r.ReferenceType == "purl" {
				p.purl = r.ReferenceLocator
			}
		}
		switch _, names, named := strings.Cut(c.LicenseComments, "metadata name: "); {
		case c.LicenseDeclared != "" && c.LicenseDeclared != none:
			p.licences = []string{c.LicenseDeclared}
		case c.LicenseConcluded != "" && c.LicenseConcluded != none:
			p.licences = []string{c.LicenseConcluded}
		case named:
			p.licences = strings.Split(names, ", ")
		}
		for line := range strings.Lines(c.Comment) {
			line = strings.TrimSuffix(line, "\n")
			if value, ok := strings.CutPrefix(line, sbom.CommentShipped); ok {
				p.shipped = value
			}
			if value, ok := strings.CutPrefix(line, sbom.CommentDeviation); ok {
				p.deviations = append(p.deviations, value)
			}
		}
		parts = append(parts, p)
	}
	return parts, nil
}
