package sbom

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spdx/tools-golang/spdx/v2/common"
	"github.com/spdx/tools-golang/spdx/v2/v2_3"

	"headwater/internal/nix"
)

// noAssertion is SPDX's word for what is not known.
const noAssertion = "NOASSERTION"

// SPDX writes the document as SPDX 2.3, in JSON. Its namespace follows from all else that it says. The format wants a date: 1970 if there
// is none.
func (d *Document) SPDX() ([]byte, error) {
	created := d.Created
	if created.IsZero() {
		created = time.Unix(0, 0)
	}
	doc := &v2_3.Document{
		SPDXVersion: v2_3.Version, DataLicense: v2_3.DataLicense, SPDXIdentifier: "DOCUMENT", DocumentName: strings.TrimSpace(d.Name + " " + d.Version),
		CreationInfo: &v2_3.CreationInfo{Creators: []common.Creator{{CreatorType: "Tool", Creator: "headwater"}}, Created: created.UTC().Format(time.RFC3339)},
	}
	relate := func(a, b common.ElementID, kind, comment string) {
		doc.Relationships = append(doc.Relationships, &v2_3.Relationship{
			RefA: common.MakeDocElementID("", string(a)), RefB: common.MakeDocElementID("", string(b)), Relationship: kind, RelationshipComment: comment,
		})
	}
	byRef := map[string]*Part{}
	for _, p := range d.Parts {
		byRef[p.Ref] = p
	}
	for _, p := range d.Parts {
		doc.Packages = append(doc.Packages, p.spdx())
		if p.Kind == Package {
			relate("DOCUMENT", p.spdxID(), common.TypeRelationshipDescribe, "")
		}
		for _, ref := range p.Uses {
			switch used := byRef[ref]; used.Shipped {
			case No:
				relate(used.spdxID(), p.spdxID(), common.TypeRelationshipBuildDependencyOf, "")
			case Yes:
				relate(p.spdxID(), used.spdxID(), common.TypeRelationshipDependsOn, "")
			default:
				relate(p.spdxID(), used.spdxID(), common.TypeRelationshipDependsOn, "it may be bundled, or only build")
			}
		}
	}
	plain, err := encodeSPDX(doc)
	if err != nil {
		return nil, err
	}
	doc.DocumentNamespace = urnOf(plain)
	return encodeSPDX(doc)
}

func encodeSPDX(doc *v2_3.Document) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(doc); err != nil {
		return nil, fmt.Errorf("write SPDX: %w", err)
	}
	return b.Bytes(), nil
}

// spdxID is a part's identifier: what is readable of its Ref, and a hash, since identifiers have few characters.
func (p *Part) spdxID() common.ElementID {
	readable := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.':
			return r
		}
		return '-'
	}, p.Name)
	sum := sha256.Sum256([]byte(p.Ref))
	return common.ElementID(fmt.Sprintf("%s-%x", readable, sum[:6]))
}

func (p *Part) spdx() *v2_3.Package {
	out := &v2_3.Package{
		PackageName: p.Name, PackageSPDXIdentifier: p.spdxID(), PackageVersion: p.Version, PackageDownloadLocation: noAssertion,
		PackageLicenseConcluded: noAssertion, PackageLicenseDeclared: noAssertion, PackageCopyrightText: noAssertion,
		PrimaryPackagePurpose: "LIBRARY",
	}
	switch p.Kind {
	case Package, Component:
		out.PrimaryPackagePurpose = "APPLICATION"
	case Root:
		out.PrimaryPackagePurpose = "OTHER"
	}
	if p.PURL != "" {
		out.PackageExternalReferences = []*v2_3.PackageExternalReference{{Category: common.CategoryPackageManager, RefType: common.TypePackageManagerPURL, Locator: p.PURL}}
	}
	if o := p.main(); o != nil {
		out.PackageFileName = o.File
		out.PackageChecksums = []common.Checksum{{Algorithm: spdxAlgorithm(o.Hash.Algo()), Value: o.Hash.Base16()}}
		if o.Hint != "" {
			out.PackageDownloadLocation = o.Hint
		}
	}
	if p.License.Expression != "" {
		out.PackageLicenseDeclared = p.License.Expression
	} else if len(p.License.Names) > 0 {
		out.PackageLicenseComments = "its own metadata name: " + strings.Join(p.License.Names, ", ")
	}
	var comment []string
	if p.Output != "" {
		comment = append(comment, "store path "+p.Output)
	}
	for _, o := range p.Origins {
		comment = append(comment, o.Artifact+" "+o.Hash.SRI())
	}
	for _, name := range p.In {
		if name != "" {
			comment = append(comment, "went into component "+name)
		}
	}
	for _, note := range p.Notes {
		comment = append(comment, CommentDeviation+note)
	}
	out.PackageComment = strings.Join(append(comment, CommentShipped+p.Shipped.String()), "\n")
	return out
}

func spdxAlgorithm(a nix.Algo) common.ChecksumAlgorithm {
	return map[nix.Algo]common.ChecksumAlgorithm{nix.MD5: common.MD5, nix.SHA1: common.SHA1, nix.SHA256: common.SHA256, nix.SHA512: common.SHA512}[a]
}
