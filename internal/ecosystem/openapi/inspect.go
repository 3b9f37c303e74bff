package openapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"

	"headwater/internal/archive"
	"headwater/internal/ecosystem"
	"headwater/internal/lock"
	"headwater/internal/plan"
)

// Inspect implements ecosystem.Inspector: it looks into the published clients of the service itself that components locked, for the
// document that they are made of. They are known as in a plan (Recogniser.Review); here their versions need not tell.
func (OpenAPI) Inspect(ctx context.Context, r ecosystem.InspectRequest) ([]string, error) {
	t := plan.NewTree(r.Source, r.Files)
	known := makers(t)
	if len(known) == 0 {
		return nil, nil
	}
	own := ownDocuments(t, clients(t))
	var out []string
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(r.Lock.Components)) {
		for _, a := range r.Lock.Components[name].Artifacts {
			i := slices.IndexFunc(known, func(m maker) bool { return m.makes(a.Ecosystem, a.Name) })
			if i < 0 || !holdsCode(a.File) || covered(r.Recipe.Components[name], a.Ecosystem, a.Name) {
				continue
			}
			d, ok := known[i].document(own)
			if !ok {
				continue
			}
			text, err := inspect(ctx, r.Network, t, a, d)
			if err != nil {
				errs = append(errs, fmt.Errorf("look into the client %s %s: %w", a.Name, a.Version, err))
			} else if text != "" {
				out = append(out, fmt.Sprintf("%s: the published client %s %s is %s", name, a.Name, a.Version, text))
			}
		}
	}
	return out, errors.Join(errs...)
}

// holdsCode tells whether an artifact is a package, and not what describes one.
func holdsCode(file string) bool {
	switch path.Ext(file) {
	case ".zip", ".tgz", ".gz", ".whl", ".crate":
		return true
	}
	return false
}

// inspect tells what a published client is made of, if it is not d; "" if it is, or does not say.
func inspect(ctx context.Context, net ecosystem.Network, t *plan.Tree, a lock.Artifact, d Document) (string, error) {
	file, _, err := net.Get(ctx, a.Artifact())
	if err != nil {
		return "", err
	}
	c, err := clientOf(file)
	if err != nil || c.version == "" {
		return "", err
	}
	s, ok := c.skew(t, []Document{d})
	if !ok {
		return "", nil
	}
	return fmt.Sprintf("made of %s %s (%s), but %s (%s)", c.title, c.version, c.evidence, s.text, d.evidence()), nil
}

const (
	maxArtifact = 512 << 20 // bytes that are unpacked of a client
	maxMember   = 16 << 20  // bytes of one file that is looked at
)

// clientOf is the client in an artifact; its version is "" if the artifact does not say of which document it is made.
func clientOf(file string) (client, error) {
	var c client
	err := archive.Each(file, maxArtifact, func(name string, open func() (io.ReadCloser, error)) error {
		k := kindOf(name)
		if k == neither || k == code && c.told || k == schema && c.document != "" {
			return nil
		}
		r, err := open()
		if err != nil {
			return err
		}
		data, err := io.ReadAll(io.LimitReader(r, maxMember))
		if err := errors.Join(err, r.Close()); err != nil {
			return err
		}
		if c.look(k, name, data); c.told && c.document != "" {
			return fs.SkipAll
		}
		return nil
	})
	return c, err
}
