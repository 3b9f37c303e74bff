package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"

	"headwater/internal/attest"
	"headwater/internal/image"
	"headwater/internal/overview"
	"headwater/internal/registry"
	"headwater/internal/store"
	"headwater/internal/ui"
)

// inspectOptions are the flags of inspect.
type inspectOptions struct {
	keys     []string
	insecure bool
}

func (a *app) inspectCommand() *cobra.Command {
	var o inspectOptions
	cmd := &cobra.Command{
		Use:   "inspect IMAGE",
		Short: "Show what an image is: layers, origin, what it is made of, who vouches for it",
		Long: `Show what an image is: its digest, what is in its layers, how it is started, source, revision and release, the package and its
derivation, what its bill of materials, provenance and proof say, and what stands beside it: signatures, attestations, documents.

IMAGE is an OCI layout's folder (DIR or DIR:TAG), an archive for docker load, or HOST/NAME[:TAG][@DIGEST] in a registry. With --key it is
said which of the keys signed what; the exit code is 1 if no signature or attestation is by any of them. Without, nothing is believed.

With --json one object is printed, with "v": 1 and "name".`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return &usageError{fmt.Errorf("inspect takes one image, got %d arguments", len(args))}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return a.inspectImage(cmd.Context(), args[0], o) },
	}
	f := cmd.Flags()
	f.StringArrayVar(&o.keys, "key", nil, "file with a public key in PEM, as cosign.pub is; may be repeated")
	f.BoolVar(&o.insecure, "insecure", false, "read also without TLS, or where nobody vouches for the certificate")
	return cmd
}

func (a *app) inspectImage(ctx context.Context, name string, o inspectOptions) error {
	keys, err := readPublicKeys(o.keys)
	if err != nil {
		return err
	}
	img, err := a.overview(ctx, name, o.insecure, keys)
	if err != nil {
		return err
	}
	if img.Package == "" && img.Digest != nil {
		if err := a.knownImage(ctx, img); err != nil {
			return err
		}
	}
	if a.json {
		err = json.NewEncoder(a.stdout).Encode(struct {
			V    int    `json:"v"`
			Name string `json:"name"`
			*overview.Image
		}{1, name, img})
	} else {
		_, err = a.stdout.Write([]byte(showImage(name, img)))
	}
	if err != nil || len(keys) == 0 {
		return err
	}
	for _, x := range img.Attached {
		if x.Signed != "" {
			return nil
		}
	}
	return &failedCheck{fmt.Errorf("inspect %s: nothing beside the image is signed by %s", name, strings.Join(o.keys, " or "))}
}

func readPublicKeys(files []string) ([]overview.Key, error) {
	var keys []overview.Key
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, &inputError{fmt.Errorf("--key: %w", err), "name a file with a public key in PEM, as cosign.pub is"}
		}
		key, err := attest.ParsePublicKey(data)
		if err != nil {
			return nil, fmt.Errorf("--key %s: %w", file, err)
		}
		keys = append(keys, overview.Key{PublicKey: key, Name: file})
	}
	return keys, nil
}

// overview finds out what an image's name means and reads the image.
func (a *app) overview(ctx context.Context, name string, insecure bool, keys []overview.Key) (*overview.Image, error) {
	dir, tag, tagged := name, "", false
	fi, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		if dir, tag, tagged = cutLastColon(name); tagged {
			fi, err = os.Stat(dir)
			if err == nil && !fi.IsDir() {
				err = fs.ErrNotExist
			}
		}
	}
	switch {
	case err == nil && fi.IsDir():
		return fromLayout(ctx, dir, tag, keys)
	case err == nil:
		return fromArchive(name)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("inspect image: %w", err)
	}
	return a.fromRegistry(ctx, name, insecure, keys)
}

func cutLastColon(s string) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

func fromLayout(ctx context.Context, dir, tag string, keys []overview.Key) (*overview.Image, error) {
	l, err := image.OpenLayout(dir)
	if err != nil {
		return nil, err
	}
	if tag == "" {
		images, err := l.Images(ctx)
		if err != nil {
			return nil, err
		}
		if len(images) != 1 {
			var tags []string
			for _, d := range images {
				tags = append(tags, cmp.Or(image.RefName(d), d.Digest.String()))
			}
			return nil, &inputError{fmt.Errorf("inspect %s: it has %d images: %s", dir, len(images), strings.Join(tags, ", ")), "name one: " + dir + ":TAG"}
		}
		tag = images[0].Digest.String()
	}
	return notFound(overview.Read(ctx, l, tag, keys...))
}

// notFound gives the error of an image that is not there its hint.
func notFound(o *overview.Image, err error) (*overview.Image, error) {
	if is[*overview.NotFoundError](err) {
		err = &inputError{err, "look at its tags: another may be meant"}
	}
	return o, err
}

func fromArchive(file string) (*overview.Image, error) {
	img, names, err := image.OpenArchive(file)
	if err != nil {
		return nil, err
	}
	m, err := img.Manifest()
	if err != nil {
		return nil, &image.UnreadableError{Path: file, Why: err.Error()}
	}
	config, err := img.RawConfigFile()
	if err != nil {
		return nil, &image.UnreadableError{Path: file, Why: err.Error()}
	}
	o, err := overview.Describe(m, config)
	if err == nil && o.Title == "" {
		o.Title = strings.Join(names, ", ")
	}
	return o, err
}

func (a *app) fromRegistry(ctx context.Context, name string, insecure bool, keys []overview.Key) (*overview.Image, error) {
	at, digest, pinned := strings.Cut(name, "@")
	ref, err := image.ParseRef(at, "latest", insecure)
	var bad *image.RefError
	if errors.As(err, &bad) {
		return nil, &image.UnreadableError{Path: name, Why: "there is no such file or folder, and as a reference " + bad.Cause}
	}
	if err != nil {
		return nil, err
	}
	_, tag, _ := cutLastColon(ref.String())
	if pinned {
		if _, err := v1.NewHash(digest); err != nil {
			return nil, &image.UnreadableError{Path: name, Why: err.Error()}
		}
		tag = digest
	}
	reg, err := a.openRegistry(registry.Options{})
	if err != nil {
		return nil, err
	}
	return notFound(overview.Read(ctx, image.OpenRepository(ref, image.PushOptions{
		Keychain: authn.DefaultKeychain, Proxy: reg.Proxy, Agent: "headwater/" + version(), Insecure: insecure,
	}), tag, keys...))
}

// knownImage fills in what the store knows of an image that was made from it, where nobody else says.
func (a *app) knownImage(ctx context.Context, o *overview.Image) error {
	there, err := store.Exists(a.storeDir)
	if err != nil || !there {
		return err
	}
	return a.withStore(ctx, func(s *store.Store) error {
		files, err := filepath.Glob(filepath.Join(s.Dir(), "nix/var/headwater/built/*"+imageRecordSuffix))
		if err != nil {
			return err
		}
		for _, file := range files {
			r, err := readImageRecord(file)
			if err != nil {
				return err
			}
			if r == nil || r.Digest != *o.Digest {
				continue
			}
			o.Package, o.ToldBy = string(r.Package), "this machine, which made the image"
			valid, err := s.Valid(ctx, r.Package)
			if err != nil || len(valid) == 0 {
				return err
			}
			info, err := s.Query(ctx, r.Package)
			o.Derivation = string(info.Deriver)
			return err
		}
		return nil
	})
}

// table writes lines of a name and a value.
type table struct{ strings.Builder }

func (t *table) line(name, format string, args ...any) {
	if text := fmt.Sprintf(format, args...); text != "" {
		fmt.Fprintf(t, "%-12s %s\n", name, ui.Printable(text))
	}
}

// mostShown is how many of a list are shown to a person.
const mostShown = 12

func showImage(name string, o *overview.Image) string {
	t := new(table)
	t.line("image", "%s", name)
	if o.Digest != nil {
		t.line("digest", "%s", o.Digest)
	} else {
		t.line("digest", "an archive has none; the configuration's is %s", o.ID)
	}
	for _, x := range []struct{ name, value string }{
		{"title", o.Title}, {"release", o.Version}, {"source", o.Source}, {"revision", o.Revision}, {"licences", o.Licences},
		{"created", o.Created}, {"platform", o.Platform},
	} {
		t.line(x.name, "%s", x.value)
	}
	if o.Package != "" {
		t.line("package", "%s", o.Package)
		t.line("derivation", "%s", o.Derivation)
		t.line("", "says %s", o.ToldBy)
	}
	fmt.Fprintf(t, "\nlayers       %d, %s\n", len(o.Layers), bytesText(o.Size))
	for _, l := range o.Layers {
		t.line("", "%10s  %s  %s", bytesText(l.Size), l.Digest, l.Title)
	}
	fmt.Fprintln(t)
	showConfig(t, o)
	showMaterials(t, o.Materials)
	showProvenance(t, o)
	showAttached(t, o.Attached)
	return t.String()
}

func bytesText(n int64) string {
	if n < 1e6 {
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	}
	return fmt.Sprintf("%.1f MB", float64(n)/1e6)
}

func showConfig(t *table, o *overview.Image) {
	t.line("entry point", "%s", strings.Join(o.Config.Entrypoint, " "))
	t.line("arguments", "%s", strings.Join(o.Config.Cmd, " "))
	t.line("user", "%s", o.Config.User)
	t.line("folder", "%s", o.Config.Workdir)
	t.line("ports", "%s", strings.Join(o.Config.Ports, ", "))
	t.line("volumes", "%s", strings.Join(o.Config.Volumes, ", "))
	for _, v := range o.Config.Env {
		t.line("env", "%s", v)
	}
}

// vouched says who stands behind a statement.
func vouched(signed string) string {
	if signed == "" {
		return "nobody whose key was given vouches for it"
	}
	return "signed by " + signed
}

func showMaterials(t *table, m *overview.Materials) {
	fmt.Fprintln(t)
	if m == nil {
		t.line("made of", "no bill of materials stands beside it")
		return
	}
	t.line("made of", "%d packages (%s): %s; %s", m.Parts, counts(m.Kinds), m.Format, vouched(m.Signed))
	t.line("", "%d are surely in it", m.Shipped)
	t.line("licences", "%s", counts(m.Licences))
	if m.Unlicensed > 0 {
		t.line("", "of %d packages that are or may be in it none is told", m.Unlicensed)
	}
	deviations(t, m.Deviations)
}

func deviations(t *table, list []string) {
	for i, d := range list {
		if i == mostShown {
			t.line("deviates", "… and in %d more ways", len(list)-i)
			return
		}
		t.line("deviates", "%s", d)
	}
}

func counts(list []overview.Count) string {
	var parts []string
	for i, c := range list {
		if i == mostShown {
			parts = append(parts, fmt.Sprintf("and %d more", len(list)-i))
			break
		}
		parts = append(parts, fmt.Sprintf("%d %s", c.N, c.Name))
	}
	return strings.Join(parts, ", ")
}

func showProvenance(t *table, o *overview.Image) {
	fmt.Fprintln(t)
	if p := o.Provenance; p != nil {
		t.line("provenance", "%s %s from %d things that are pinned by hash; %s", p.Service, p.Release, p.Dependencies, vouched(p.Signed))
		t.line("", "built by %s, as %s", p.Builder, p.BuildType)
		if o.Materials == nil {
			deviations(t, p.Deviations)
		}
	} else {
		t.line("provenance", "none stands beside it")
	}
	if p := o.Proof; p != nil {
		verdict := "passed"
		if !p.Passed {
			verdict = "failed"
		}
		t.line("proof", "%s, %d checks, %s; %s", verdict, p.Checks, p.Started.UTC().Format("2006-01-02 15:04"), vouched(p.Signed))
	} else {
		t.line("proof", "none stands beside it")
	}
}

func showAttached(t *table, list []overview.Attached) {
	fmt.Fprintln(t)
	if len(list) == 0 {
		t.line("beside it", "nothing: no signature, no attestation, no document")
		return
	}
	for _, x := range list {
		text := string(x.Kind)
		if x.Type != "" {
			text += " " + x.Type
		}
		text += ", by " + string(x.Way) + ": "
		switch {
		case x.Fault != "":
			text += "DAMAGED OR FALSE: " + x.Fault
		case x.Signed != "":
			text += "signed by " + x.Signed
		case x.Kind == attest.Other:
			text += "not signed"
		default:
			text += "not by a key that was given" + claim(x)
		}
		t.line("beside it", "%s", text)
	}
}

// claim is what something that no key vouches for says of who signed it.
func claim(x overview.Attached) string {
	by := cmp.Or(x.Issued, x.Hint)
	if by == "" {
		return ""
	}
	text := "; it says it is by " + by
	if x.Issued != "" {
		if x.Issuer != "" {
			text += ", by the word of " + x.Issuer
		}
		text += " (not checked)"
	}
	return text
}
