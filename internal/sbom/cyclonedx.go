package sbom

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/CycloneDX/cyclonedx-go"

	"headwater/internal/nix"
)

// Names of the properties that are Headwater's own, and in SPDX, which has none, how comments begin that say the same.
const (
	CommentDeviation = "deviates from upstream's lock: "
	CommentShipped   = "shipped: "

	propertyArtifact  = "headwater:artifact"  // symbolic address of a file that the lock pins, and its hash
	propertyComponent = "headwater:component" // name of a component that an artifact went into
	PropertyDeviation = "headwater:deviation" // what the recipe has instead of what upstream's lock names
	propertyFiles     = "headwater:files"     // how many files of the image belong to it
	propertyOutput    = "headwater:output"    // store path
	PropertyShipped   = "headwater:shipped"   // yes, no or unknown
)

// CycloneDX writes the document as CycloneDX 1.6, in JSON. Its serial number follows from all else that it says.
func (d *Document) CycloneDX() ([]byte, error) {
	bom := cyclonedx.NewBOM()
	bom.Metadata = &cyclonedx.Metadata{Tools: &cyclonedx.ToolsChoice{Components: &[]cyclonedx.Component{{Type: cyclonedx.ComponentTypeApplication, Name: "headwater"}}}}
	if !d.Created.IsZero() {
		bom.Metadata.Timestamp = d.Created.UTC().Format(time.RFC3339)
	}
	var components []cyclonedx.Component
	var dependencies []cyclonedx.Dependency
	for _, p := range d.Parts {
		c := p.cyclonedx()
		if p.Kind == Package {
			bom.Metadata.Component = &c
		} else {
			components = append(components, c)
		}
		dep := cyclonedx.Dependency{Ref: p.Ref}
		if len(p.Uses) > 0 {
			dep.Dependencies = &p.Uses
		}
		dependencies = append(dependencies, dep)
	}
	bom.Components, bom.Dependencies = &components, &dependencies
	plain, err := encode(bom)
	if err != nil {
		return nil, err
	}
	bom.SerialNumber = urnOf(plain)
	return encode(bom)
}

func encode(bom *cyclonedx.BOM) ([]byte, error) {
	var b bytes.Buffer
	err := cyclonedx.NewBOMEncoder(&b, cyclonedx.BOMFileFormatJSON).SetPretty(true).SetEscapeHTML(false).EncodeVersion(bom, cyclonedx.SpecVersion1_6)
	if err != nil {
		return nil, fmt.Errorf("write CycloneDX: %w", err)
	}
	return b.Bytes(), nil
}

// urnOf makes a UUID of a text's hash. (RFC 9562, version 8.)
func urnOf(text []byte) string {
	u := sha256.Sum256(text)
	u[6], u[8] = u[6]&0x0f|0x80, u[8]&0x3f|0x80
	return fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:16])
}

func (p *Part) cyclonedx() cyclonedx.Component {
	c := cyclonedx.Component{BOMRef: p.Ref, Type: cyclonedx.ComponentTypeLibrary, Name: p.Name, Version: p.Version, PackageURL: p.PURL}
	switch p.Kind {
	case Package, Component:
		c.Type = cyclonedx.ComponentTypeApplication
	case Root:
		c.Type = cyclonedx.ComponentTypeData
	case Artifact:
		if group, name, ok := cutLast(p.Name, groupSeparator(p)); ok {
			c.Group, c.Name = group, name
		}
	}
	switch p.Shipped { // none is taken for required, the safe side of not knowing
	case Yes:
		c.Scope = cyclonedx.ScopeRequired
	case No:
		c.Scope = cyclonedx.ScopeExcluded
	}
	var properties []cyclonedx.Property
	add := func(name, value string) {
		properties = append(properties, cyclonedx.Property{Name: name, Value: value})
	}
	add(PropertyShipped, p.Shipped.String())
	if p.Output != "" {
		add(propertyOutput, p.Output)
	}
	if p.Count > 0 {
		add(propertyFiles, strconv.Itoa(p.Count))
	}
	for _, name := range p.In {
		if name != "" {
			add(propertyComponent, name)
		}
	}
	var references []cyclonedx.ExternalReference
	for _, o := range p.Origins {
		add(propertyArtifact, o.Artifact+" "+o.Hash.SRI())
		if o.Hint != "" {
			references = append(references, cyclonedx.ExternalReference{Type: cyclonedx.ERTypeDistribution, URL: o.Hint, Hashes: &[]cyclonedx.Hash{cyclonedxHash(o.Hash)}})
		}
	}
	for _, note := range p.Notes {
		add(PropertyDeviation, note)
	}
	c.Properties = &properties
	if references != nil {
		c.ExternalReferences = &references
	}
	if o := p.main(); o != nil {
		c.Hashes = &[]cyclonedx.Hash{cyclonedxHash(o.Hash)}
	}
	var licenses cyclonedx.Licenses
	if p.License.Expression != "" {
		licenses = append(licenses, cyclonedx.LicenseChoice{Expression: p.License.Expression})
	}
	for _, name := range p.License.Names {
		licenses = append(licenses, cyclonedx.LicenseChoice{License: &cyclonedx.License{Name: name}})
	}
	if licenses != nil {
		c.Licenses = &licenses
	}
	return c
}

// groupSeparator is what stands between group and name in an ecosystem where names have a group, "" elsewhere.
func groupSeparator(p *Part) string {
	switch {
	case isNPM(p):
		return "/"
	case strings.HasPrefix(p.Ref, "pkg:maven/"):
		return ":"
	}
	return ""
}

func cutLast(s, sep string) (before, after string, ok bool) {
	if i := strings.LastIndex(s, sep); sep != "" && i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return "", "", false
}

// main is the file that is meant by a part: a Go module's archive where it has others, else its only one. It is nil where several are: each
// is told with its hash all the same.
func (p *Part) main() *Origin {
	for i, o := range p.Origins {
		if len(p.Origins) == 1 || strings.HasPrefix(p.Ref, "pkg:golang/") && strings.HasSuffix(o.File, ".zip") {
			return &p.Origins[i]
		}
	}
	return nil
}

func cyclonedxHash(h nix.Hash) cyclonedx.Hash {
	names := map[nix.Algo]cyclonedx.HashAlgorithm{nix.MD5: cyclonedx.HashAlgoMD5, nix.SHA1: cyclonedx.HashAlgoSHA1, nix.SHA256: cyclonedx.HashAlgoSHA256, nix.SHA512: cyclonedx.HashAlgoSHA512}
	return cyclonedx.Hash{Algorithm: names[h.Algo()], Value: h.Base16()}
}
