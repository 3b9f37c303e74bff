package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"headwater/internal/atomicfile"
	"headwater/internal/attest"
	"headwater/internal/event"
	"headwater/internal/graph"
	"headwater/internal/image"
	"headwater/internal/proof"
	"headwater/internal/sbom"
)

// signOptions are the flags of image that say what is told of an image, and who tells it.
type signOptions struct {
	sboms      []string
	provenance string
	proofs     []string
	key        string
	builder    string
}

func (o *signOptions) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringArrayVar(&o.sboms, "sbom", nil, "write what it is made of to this file, as SPDX if it ends in .spdx.json, else as CycloneDX, and attach it to what is pushed; may be repeated")
	f.StringVar(&o.provenance, "provenance", "", "write what it was built from to this file: an in-toto statement with SLSA provenance, for others to sign")
	f.StringArrayVar(&o.proofs, "proof", nil, "attest this proof, which headwater verify --proof wrote; may be repeated")
	f.StringVar(&o.key, "sign", "", "sign what is pushed, and attest provenance, proofs and SBOMs, with this key: a file as cosign makes it (COSIGN_PASSWORD opens it), or env://NAME")
	f.StringVar(&o.builder, "builder", "", "URI of who builds, for the provenance")
	for _, name := range []string{"sbom", "proof", "provenance"} {
		_ = cmd.MarkFlagFilename(name, "json")
	}
	_ = cmd.MarkFlagFilename("sign", "key", "pem")
}

// statements is what is told of an image.
type statements struct {
	signOptions
	signer  attest.Signer // nil: nothing is signed
	records []*proof.Record
}

// readStatements reads the key and the proofs, before anything is built.
func (a *app) readStatements(o imageOptions, g *graph.Graph) (*statements, error) {
	s := &statements{signOptions: o.signOptions}
	switch {
	case o.key != "" && len(o.push) == 0:
		return nil, &usageError{errors.New("--sign: what is signed is what is pushed; name where to by --push")}
	case len(o.proofs) > 0 && o.key == "":
		return nil, &usageError{errors.New("--proof: a proof is attested by who signs; name a key by --sign")}
	}
	for _, file := range o.proofs {
		r, err := readProofOf(file, g)
		if err != nil {
			return nil, err
		}
		s.records = append(s.records, r)
	}
	if o.key == "" {
		return s, nil
	}
	key, err := a.readKey(o.key)
	if err != nil {
		return nil, err
	}
	s.signer = key
	return s, nil
}

// readKey reads a key to sign with out of a file, or, env://NAME, out of a variable.
func (a *app) readKey(from string) (*attest.Key, error) {
	data := []byte(nil)
	if name, ok := strings.CutPrefix(from, "env://"); ok {
		data = []byte(a.getenv(name))
		if len(data) == 0 {
			return nil, &inputError{fmt.Errorf("--sign %s: the variable is not set", from), "set it to a private key in PEM, or name a file"}
		}
	} else {
		var err error
		if data, err = os.ReadFile(from); err != nil {
			return nil, &inputError{fmt.Errorf("--sign: %w", err), "cosign generate-key-pair makes a key"}
		}
	}
	key, err := attest.ParseKey(data, a.getenv("COSIGN_PASSWORD"))
	if err != nil {
		return nil, fmt.Errorf("--sign %s: %w", from, err)
	}
	return key, nil
}

// readProofOf reads the proof of a package.
func readProofOf(file string, g *graph.Graph) (*proof.Record, error) {
	const again = "run headwater verify --proof again"
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, &inputError{fmt.Errorf("--proof: %w", err), again}
	}
	r, err := proof.Decode(data)
	switch {
	case err != nil:
		return nil, &inputError{fmt.Errorf("--proof %s: %w", file, err), again}
	case r.Package != string(g.Package.Path()):
		return nil, &inputError{fmt.Errorf("--proof %s: it is of %q, the image is of %s", file, r.Package, g.Package.Path()), again}
	case !r.Passed:
		return nil, &inputError{fmt.Errorf("--proof %s: it says that the package failed", file), "look at what failed; what fails is not attested"}
	}
	return r, nil
}

// needed tells whether what the package is made of has to be known.
func (s *statements) needed() bool { return s.signer != nil || len(s.sboms) > 0 || s.provenance != "" }

// tell writes the files that were asked for, and returns what goes beside the image: bills of materials as they are, and what the key signs.
func (b *builder) tell(ctx context.Context, s *statements, p *project, g *graph.Graph, spec image.Spec, img *image.Image, o imageOptions) (documents []image.Attachment, signed []*attest.Statement, err error) {
	if !s.needed() {
		return nil, nil, nil
	}
	doc, err := b.materials(ctx, p, g, spec, o.engine)
	if err != nil {
		return nil, nil, err
	}
	subject := attest.Subject(img.Title, img.Hash)
	provenance, err := attest.NewProvenance(subject, attest.Build{
		Package: g.Package, Parts: doc, Lock: p.lock, RecipeText: p.recipeText, LockText: p.lockText,
		SourceURL: o.source, Revision: o.revision, Builder: s.builder, Version: version(),
	})
	if err != nil {
		return nil, nil, err
	}
	if s.provenance != "" {
		if err := writeStatement(s.provenance, provenance); err != nil {
			return nil, nil, err
		}
	}
	signed = append(signed, provenance)
	for _, file := range s.sboms {
		statement, err := writeMaterials(file, doc, subject)
		if err != nil {
			return nil, nil, err
		}
		document, err := attest.Document(statement)
		if err != nil {
			return nil, nil, err
		}
		documents, signed = append(documents, document), append(signed, statement)
	}
	for _, r := range s.records {
		statement, err := attest.Proof(subject, r)
		if err != nil {
			return nil, nil, err
		}
		signed = append(signed, statement)
	}
	return documents, signed, nil
}

func writeStatement(file string, s *attest.Statement) error {
	data, err := s.Encode()
	if err != nil {
		return err
	}
	return atomicfile.Write(file, append(data, '\n'), 0o644)
}

// writeMaterials writes what an image is made of to a file: as SPDX if it is named so, "….spdx.json", else as CycloneDX.
func writeMaterials(file string, doc *sbom.Document, subject attest.Resource) (*attest.Statement, error) {
	format := "cyclonedx"
	if strings.HasSuffix(file, ".spdx.json") {
		format = "spdx"
	}
	data, err := doc.Write(format)
	if err != nil {
		return nil, err
	}
	if err := atomicfile.Write(file, data, 0o644); err != nil {
		return nil, err
	}
	return attest.Materials(subject, data)
}

// attach puts what is told of an image beside it, once in each repository.
func (b *builder) attach(ctx context.Context, img *image.Image, refs []image.Ref, signer attest.Signer, documents []image.Attachment, signed []*attest.Statement, o image.PushOptions) error {
	done := map[string]bool{}
	for _, ref := range refs {
		if done[ref.Repository()] {
			continue
		}
		done[ref.Repository()] = true
		list := documents
		text := fmt.Sprintf("attached to %s@%s: %d documents", ref.Repository(), img.Hash, len(list))
		if signer != nil {
			more, err := attest.Attachments(signer, img.Hash, ref.Repository(), signed...)
			if err != nil {
				return err
			}
			list = append(append([]image.Attachment{}, list...), more...)
			text = fmt.Sprintf("signed %s@%s with %s", ref.Repository(), img.Hash, signer)
			for _, s := range signed {
				text += ", " + s.PredicateType
			}
		}
		if len(list) == 0 {
			continue
		}
		if err := image.Attach(ctx, img, ref, list, o); err != nil {
			return err
		}
		b.events(event.Message{Level: event.Info, Text: text})
	}
	return nil
}
