package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
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
	token      string
	fulcio     string
	timestamp  string
	builder    string
}

// keylessKey is what --sign says for a key of its own for each run. A file of that name is ./keyless.
const keylessKey = "keyless"

func (o *signOptions) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringArrayVar(&o.sboms, "sbom", nil, "write what it is made of to this file, as SPDX if it ends in .spdx.json, else as CycloneDX, and attach it to what is pushed or written by --oci; may be repeated")
	f.StringVar(&o.provenance, "provenance", "", "write what it was built from to this file: an in-toto statement with SLSA provenance, for others to sign")
	f.StringArrayVar(&o.proofs, "proof", nil, "attest this proof, which headwater verify --proof wrote; may be repeated")
	f.StringVar(&o.key, "sign", "", "sign what is pushed or written by --oci, and attest provenance, proofs and SBOMs, with this key: a file as cosign makes it (COSIGN_PASSWORD opens it), env://NAME, or \"keyless\": with a certificate for an identity token's owner")
	f.StringVar(&o.token, "identity-token", "", "with --sign keyless: file with the identity token; without it, the variable SIGSTORE_ID_TOKEN has it")
	f.StringVar(&o.fulcio, "fulcio", "", "with --sign keyless: address of the Fulcio that makes the certificate; without it, that in registries.yaml")
	f.StringVar(&o.timestamp, "timestamp", "", "with --sign keyless: address that takes requests for timestamps (RFC 3161); without it, that in registries.yaml")
	f.StringVar(&o.builder, "builder", "", "URI of who builds, for the provenance")
	for _, name := range []string{"sbom", "proof", "provenance"} {
		_ = cmd.MarkFlagFilename(name, "json")
	}
	_ = cmd.MarkFlagFilename("sign", "key", "pem")
	_ = cmd.MarkFlagFilename("identity-token")
}

// statements is what is told of an image.
type statements struct {
	signOptions
	signer  func(context.Context) (attest.Signer, error) // nil: nothing is signed
	records []*proof.Record
}

// readStatements reads what signs and the proofs, before anything is built.
func (a *app) readStatements(o imageOptions, g *graph.Graph) (*statements, error) {
	s := &statements{signOptions: o.signOptions}
	switch {
	case o.key != "" && len(o.push) == 0 && o.oci == "":
		return nil, &usageError{errors.New("--sign: signatures stand beside an image; name where by --push or --oci")}
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
	var err error
	s.signer, err = a.readSigner(o.signOptions)
	return s, err
}

// readSigner reads what it takes to sign; nil if nothing is to be signed.
func (a *app) readSigner(o signOptions) (func(context.Context) (attest.Signer, error), error) {
	if o.key == keylessKey {
		return a.readKeyless(o)
	}
	for _, flag := range []struct{ name, value string }{{"identity-token", o.token}, {"fulcio", o.fulcio}, {"timestamp", o.timestamp}} {
		if flag.value != "" {
			return nil, &usageError{fmt.Errorf("--%s: it is for --sign %s", flag.name, keylessKey)}
		}
	}
	if o.key == "" {
		return nil, nil
	}
	key, err := a.readKey(o.key)
	if err != nil {
		return nil, err
	}
	return func(context.Context) (attest.Signer, error) { return key, nil }, nil
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
		SourceURL: spec.Labels[labelSource], Revision: spec.Labels[labelRevision], Builder: s.builder, Version: version(),
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

// beside is what goes beside an image in one place.
type beside struct {
	ref    image.Ref
	layout string // in place of ref: an OCI layout's folder
	list   []image.Attachment
	text   string // for people, once it is there
}

// sign makes what goes beside an image, once for each repository and for the layout, "" if there is none. That is before the image is brought
// anywhere, so that who cannot sign leaves nothing. The signer is nil if nothing is signed.
func (s *statements) sign(ctx context.Context, img *image.Image, refs []image.Ref, layout string, documents []image.Attachment, signed []*attest.Statement) (list []beside, signer attest.Signer, err error) {
	if s.signer != nil {
		if signer, err = s.signer(ctx); err != nil {
			return nil, nil, err
		}
	}
	add := func(one beside, repository, where string) error {
		one.list = documents
		one.text = fmt.Sprintf("attached to %s@%s: %d documents", where, img.Hash, len(documents))
		if signer != nil {
			more, err := attest.Attachments(ctx, signer, img.Hash, repository, signed...)
			if err != nil {
				return err
			}
			one.list = slices.Concat(documents, more)
			one.text = fmt.Sprintf("signed %s@%s with %s", where, img.Hash, signer)
			for _, s := range signed {
				one.text += ", " + s.PredicateType
			}
		}
		if len(one.list) > 0 {
			list = append(list, one)
		}
		return nil
	}
	if layout != "" {
		repository, _, _ := strings.Cut(img.Title, ":") // signatures name one: that which the image is pushed to, else the service
		if len(refs) > 0 {
			repository = refs[0].Repository()
		}
		if err := add(beside{layout: layout}, repository, layout); err != nil {
			return nil, nil, err
		}
	}
	done := map[string]bool{}
	for _, ref := range refs {
		if done[ref.Repository()] {
			continue
		}
		done[ref.Repository()] = true
		if err := add(beside{ref: ref}, ref.Repository(), ref.Repository()); err != nil {
			return nil, nil, err
		}
	}
	return list, signer, nil
}

// attach puts what is told of an image beside it, in repositories or in layouts.
func (b *builder) attach(ctx context.Context, img *image.Image, list []beside, layouts bool, o image.PushOptions) error {
	for _, one := range list {
		if layouts != (one.layout != "") {
			continue
		}
		var err error
		if layouts {
			err = image.AttachToLayout(one.layout, img, one.list)
		} else {
			err = image.Attach(ctx, img, one.ref, one.list, o)
		}
		if err != nil {
			return err
		}
		b.events(event.Message{Level: event.Info, Text: one.text})
	}
	return nil
}
