package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"headwater/internal/difference"
	"headwater/internal/graph"
	"headwater/internal/image"
)

// imageAgain is the last image of a package, made once more.
type imageAgain struct {
	Digest v1.Hash          `json:"digest"`
	Again  v1.Hash          `json:"again"`
	Same   bool             `json:"same"`
	Layers []differingLayer `json:"layers"` // that differ
}

// differingLayer is a layer that was another one when it was packed again.
type differingLayer struct {
	Was    v1.Hash     `json:"was"`
	Is     v1.Hash     `json:"is"`
	There  bool        `json:"there"` // the first's bytes are there, to be compared
	Shown  []shownFile `json:"shown"`
	Differ int         `json:"differ"`
}

// readImageRecord is the record of a project's last image, nil if there is none.
func readImageRecord(file string) (*imageRecord, error) {
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	r := new(imageRecord)
	if err := json.Unmarshal(data, r); err != nil || r.V != 1 || r.Compression == "" {
		return nil, nil // an older release's
	}
	return r, nil
}

// checkImage makes the last image of the package once more, all layers anew. It is nil if none was made of this very package.
func (a *app) checkImage(ctx context.Context, b *builder, p *project, g *graph.Graph) (_ *imageAgain, err error) {
	record, err := readImageRecord(rootLink(b.store, p) + imageRecordSuffix)
	if err != nil || record == nil || record.Package != g.Package.Path() {
		return nil, err
	}
	spec, err := a.imageSpec(p, g, imageOptions{})
	if err != nil {
		return nil, err
	}
	spec.Created, spec.Labels = record.Created, record.Labels
	dir, remove, err := b.store.TempDir(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, remove()) }()
	layers, err := image.OpenLayersIn(ctx, b.store, dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, layers.Close()) }()
	img, err := image.Make(ctx, spec, image.Options{Store: b.store, Layers: layers, Compression: record.Compression, Events: b.events})
	if err != nil {
		return nil, err
	}
	again := &imageAgain{Digest: record.Digest, Again: img.Hash, Same: img.Hash == record.Digest, Layers: []differingLayer{}}
	if again.Same {
		return again, nil
	}
	kept, err := image.OpenLayers(ctx, b.store)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, kept.Close()) }()
	digests, err := layerDigests(img)
	if err != nil {
		return nil, err
	}
	for i, is := range digests {
		if i >= len(record.Layers) || record.Layers[i] == is {
			continue
		}
		l := differingLayer{Was: record.Layers[i], Is: is, There: fileExists(kept.File(record.Layers[i])), Shown: []shownFile{}}
		if l.There {
			r, err := difference.Trees(ctx, kept.File(l.Was), layers.File(is), sandboxConditions(0))
			if err != nil {
				return nil, err
			}
			d := differing{}
			d.result(r)
			l.Shown, l.Differ = d.Shown, d.Differ
		}
		again.Layers = append(again.Layers, l)
	}
	return again, nil
}

func (r *imageAgain) show(b *strings.Builder) {
	if r.Same {
		fmt.Fprintf(b, "image %s: the same when it is made again\n", r.Digest)
		return
	}
	fmt.Fprintf(b, "image %s is another one when it is made again: %s\n", r.Digest, r.Again)
	for _, l := range r.Layers {
		fmt.Fprintf(b, "  layer %s is %s\n", l.Was, l.Is)
		showFiles(b, "    ", l.Shown)
	}
	if len(r.Layers) == 0 {
		fmt.Fprintln(b, "  its layers are the same: configuration or labels differ, as the recipe's do")
	}
	fmt.Fprintln(b)
}
