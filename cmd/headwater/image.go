package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"

	"headwater/internal/atomicfile"
	"headwater/internal/attest"
	"headwater/internal/dag"
	"headwater/internal/event"
	"headwater/internal/graph"
	"headwater/internal/image"
	"headwater/internal/nix"
	"headwater/internal/recipe"
	"headwater/internal/registry"
)

// imageOptions are the flags of image.
type imageOptions struct {
	buildOptions
	signOptions
	oci         string
	archive     string
	push        []string
	compression string
	insecure    bool
	labels      []string
	source      string
	revision    string
	licences    string
}

// What OCI calls a service's source, revision, version and licences (image-spec, annotations.md).
const (
	labelTitle    = "org.opencontainers.image.title"
	labelSource   = "org.opencontainers.image.source"
	labelRevision = "org.opencontainers.image.revision"
	labelVersion  = "org.opencontainers.image.version"
	labelLicences = "org.opencontainers.image.licenses"
)

func (a *app) imageCommand() *cobra.Command {
	var o imageOptions
	cmd := &cobra.Command{
		Use:   "image [DIR]",
		Short: "Make an OCI image of the package and print its digest; push what a registry lacks of it",
		Long: `Build the package, make an OCI image of it and print the image's digest. The same recipe, lock and source make the same image, to the
byte, on every machine. Its date is SOURCE_DATE_EPOCH if that is set, else 1970.

REF is HOST/NAME[:TAG]; the tag is the release if it is left out. Layers that are there are not sent. Credentials are those of docker login
and podman login.`,
		Args: maxArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.image(cmd.Context(), args, o) },
	}
	o.buildOptions.flags(cmd)
	o.signOptions.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&o.oci, "oci", "", "write it to this folder, as an OCI layout")
	f.StringVar(&o.archive, "archive", "", "write it to this file, for docker load")
	f.StringArrayVar(&o.push, "push", nil, "push it to REF; may be repeated")
	f.StringVar(&o.compression, "compression", string(image.Gzip), "of layers: gzip or zstd")
	f.BoolVar(&o.insecure, "insecure", false, "push also without TLS, or where nobody vouches for the certificate")
	f.StringVar(&o.source, "source-url", "", "where the source is to be found, for the image's labels; without it, the recipe's label says so")
	f.StringVar(&o.revision, "revision", "", "the source's revision, for the image's labels; without it, the recipe's label says so")
	f.StringVar(&o.licences, "licences", "", "the service's licences as an SPDX expression, for the image's labels; without it, the recipe's label says so")
	f.StringArrayVar(&o.labels, "label", nil, "NAME=VALUE, another label; may be repeated")
	return cmd
}

func (a *app) image(ctx context.Context, args []string, o imageOptions) error {
	compression, err := image.ParseCompression(o.compression)
	if err != nil {
		return &usageError{err}
	}
	p, g, err := openGraph(args)
	if err != nil {
		return err
	}
	spec, err := a.imageSpec(p, g, o)
	if err != nil {
		return err
	}
	refs, err := parseRefs(o.push, spec.Version, o.insecure)
	if err != nil {
		return err
	}
	told, err := a.readStatements(o, g)
	if err != nil {
		return err
	}
	return a.withPackage(ctx, p, g, o.buildOptions, nil, func(b *builder) error {
		return a.makeImage(ctx, b, p, g, spec, compression, refs, told, o)
	})
}

// makeImage makes the image of what is built and brings it to where it was asked for.
func (a *app) makeImage(ctx context.Context, b *builder, p *project, g *graph.Graph, spec image.Spec, c image.Compression, refs []image.Ref, told *statements, o imageOptions) (err error) {
	layers, err := image.OpenLayers(ctx, b.store)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, layers.Close()) }()
	img, err := image.Make(ctx, spec, image.Options{Store: b.store, Layers: layers, Compression: c, Events: b.events})
	if err != nil {
		return err
	}
	documents, signed, err := b.tell(ctx, told, p, g, spec, img, o)
	if err != nil {
		return err
	}
	list, signer, err := told.sign(ctx, img, refs, o.oci, documents, signed)
	if err != nil {
		return err
	}
	if o.oci != "" {
		if err := img.WriteLayout(o.oci, img.Tag()); err != nil {
			return err
		}
		if err := b.attach(ctx, img, list, true, image.PushOptions{}); err != nil {
			return err
		}
	}
	if o.archive != "" {
		if err := img.WriteArchive(o.archive); err != nil {
			return err
		}
	}
	var pushed []image.Pushed
	if len(refs) > 0 {
		reg, err := a.openRegistry(registry.Options{})
		if err != nil {
			return err
		}
		way := image.PushOptions{
			Keychain: authn.DefaultKeychain, Proxy: reg.Proxy, Agent: "headwater/" + version(), Insecure: o.insecure, Events: b.events,
		}
		pushed, err = image.Push(ctx, img, refs, way)
		a.tellPushed(b, pushed)
		if err != nil {
			return err
		}
		if err := b.attach(ctx, img, list, false, way); err != nil {
			return err
		}
	}
	if err := recordImage(rootLink(b.store, p)+imageRecordSuffix, g.Package.Path(), img, spec, c, pushed); err != nil {
		return err
	}
	return a.imageResult(img, pushed, signer)
}

func (a *app) tellPushed(b *builder, pushed []image.Pushed) {
	for _, one := range pushed {
		text := fmt.Sprintf("pushed %s: %d layers, %.1f MB", one.Ref, one.Layers, float64(one.Sent)/1e6)
		if one.There && one.Layers == 0 {
			text = one.Ref + " is this image already"
		}
		b.events(event.Message{Level: event.Info, Text: text})
	}
}

// imageResult prints the digest.
func (a *app) imageResult(img *image.Image, pushed []image.Pushed, signer attest.Signer) error {
	if !a.json {
		_, err := fmt.Fprintln(a.stdout, img.Hash)
		return err
	}
	result := map[string]any{"v": 1, "digest": img.Hash, "name": img.Title, "pushed": pushedLines(pushed)}
	switch s := signer.(type) {
	case nil:
	case attest.Certified:
		result["signedBy"], result["issuer"] = attest.IdentityOf(s.Chain()[0])
	default:
		result["signedBy"] = s.Hint()
	}
	return json.NewEncoder(a.stdout).Encode(result)
}

// pushedLine is a reference that was pushed, in results and records.
type pushedLine struct {
	Ref    string `json:"ref"`   // HOST/NAME:TAG
	Image  string `json:"image"` // HOST/NAME@DIGEST
	Sent   int64  `json:"sent"`  // bytes of layers
	Layers int    `json:"layers"`
}

func pushedLines(pushed []image.Pushed) []pushedLine {
	lines := []pushedLine{}
	for _, p := range pushed {
		lines = append(lines, pushedLine{p.Ref, p.Repository(), p.Sent, p.Layers})
	}
	return lines
}

// imageRecord is what is kept of a project's last image, beside the link to its last build: what it is, and what it takes to make it again.
type imageRecord struct {
	V           int               `json:"v"`
	Package     nix.StorePath     `json:"package"`
	Digest      v1.Hash           `json:"digest"`
	Name        string            `json:"name"`
	Layers      []v1.Hash         `json:"layers"`
	Compression image.Compression `json:"compression"`
	Created     time.Time         `json:"created"` // zero: the epoch
	Labels      map[string]string `json:"labels"`
	Pushed      []pushedLine      `json:"pushed"`
}

// imageRecordSuffix follows the link's name.
const imageRecordSuffix = ".image"

// recordImage notes a project's last image and where it was pushed.
func recordImage(file string, pkg nix.StorePath, img *image.Image, spec image.Spec, c image.Compression, pushed []image.Pushed) error {
	layers, err := layerDigests(img)
	if err != nil {
		return err
	}
	data, err := json.Marshal(imageRecord{
		V: 1, Package: pkg, Digest: img.Hash, Name: img.Title, Layers: layers, Compression: c, Created: spec.Created, Labels: spec.Labels, Pushed: pushedLines(pushed),
	})
	if err != nil {
		return err
	}
	return atomicfile.Write(file, append(data, '\n'), 0o644)
}

func layerDigests(img v1.Image) ([]v1.Hash, error) {
	layers, err := img.Layers()
	if err != nil {
		return nil, err
	}
	list := make([]v1.Hash, len(layers))
	for i, l := range layers {
		if list[i], err = l.Digest(); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func parseRefs(texts []string, version string, insecure bool) ([]image.Ref, error) {
	var refs []image.Ref
	for _, text := range texts {
		ref, err := image.ParseRef(text, image.TagOf(version), insecure)
		if err != nil {
			return nil, err
		}
		refs = append(refs, ref)
	}
	return refs, nil
}

// imageSpec says what the image of a project is made of.
func (a *app) imageSpec(p *project, g *graph.Graph, o imageOptions) (image.Spec, error) {
	pkg := p.recipe.Package
	spec := image.Spec{
		Name: p.recipe.Name, Version: p.recipe.Release, Root: g.Roots[pkg.Root].Path(), Links: pkg.Links, Volumes: pkg.Volumes,
		User: pkg.User, Workdir: pkg.Workdir, Entrypoint: pkg.Command, Cmd: mainArgs(pkg.Processes), Env: graph.Env(pkg),
		StratumOf: strataOf(g),
	}
	if spec.User == "" {
		spec.User = recipe.DefaultUser
	}
	if spec.Workdir == "" {
		spec.Workdir = "/"
	}
	for at, from := range pkg.Layout {
		name, sub, _ := strings.Cut(from, ":")
		spec.Entries = append(spec.Entries, image.Entry{
			At: at, Path: g.Components[name].Path(), Sub: sub, Component: name, Stratum: stratum(p.recipe.Components[name]),
		})
	}
	for _, process := range pkg.Processes {
		if process.Port != 0 && !slices.Contains(spec.Ports, process.Port) {
			spec.Ports = append(spec.Ports, process.Port)
		}
	}
	var err error
	if spec.Labels, err = o.labelsOf(p.recipe); err != nil {
		return spec, err
	}
	if text := a.getenv("SOURCE_DATE_EPOCH"); text != "" {
		seconds, err := strconv.ParseInt(text, 10, 64)
		if err != nil || seconds < 0 {
			return spec, &usageError{fmt.Errorf("SOURCE_DATE_EPOCH is %q, want seconds since 1970", text)}
		}
		spec.Created = time.Unix(seconds, 0)
	}
	return spec, nil
}

// labelsOf are the labels of an image of a recipe: the recipe's, then those of the command line.
func (o *imageOptions) labelsOf(r *recipe.Recipe) (map[string]string, error) {
	labels := map[string]string{labelTitle: r.Name, labelVersion: r.Release}
	maps.Copy(labels, r.Package.Labels)
	for name, value := range map[string]string{labelSource: o.source, labelRevision: o.revision, labelLicences: o.licences} {
		if value != "" {
			labels[name] = value
		}
	}
	for _, l := range o.labels {
		name, value, ok := strings.Cut(l, "=")
		if !ok || name == "" {
			return nil, &usageError{fmt.Errorf("--label %q: want NAME=VALUE", l)}
		}
		labels[name] = value
	}
	return labels, nil
}

// mainArgs are what the command gets where the caller says nothing: the arguments of the only process, or of the only one that listens.
func mainArgs(processes map[string]recipe.Process) []string {
	var only, listening []recipe.Process
	for _, p := range processes {
		only = append(only, p)
		if p.Port != 0 {
			listening = append(listening, p)
		}
	}
	switch {
	case len(only) == 1:
		return only[0].Args
	case len(listening) == 1:
		return listening[0].Args
	}
	return nil
}

// stratum tells how often a component's output changes: an environment of Python packages and an interpreter of its own follow from the
// lock, all else from the service's code.
func stratum(c recipe.Component) image.Stratum {
	switch {
	case c.Options["toolchain"] == true:
		return image.Toolchain
	case c.Ecosystem == "python":
		return image.Dependencies
	}
	return image.Application
}

// strataOf tells the same of what components refer to.
func strataOf(g *graph.Graph) func(nix.StorePath) image.Stratum {
	kinds := map[nix.StorePath]dag.Kind{}
	for _, n := range g.Nodes {
		for _, out := range n.Outputs {
			kinds[out] = n.Kind
		}
	}
	return func(p nix.StorePath) image.Stratum {
		switch kinds[p] {
		case dag.Root, dag.Toolchain:
			return image.Toolchain
		case dag.Deps, dag.Fetch:
			return image.Dependencies
		}
		return image.Application
	}
}
