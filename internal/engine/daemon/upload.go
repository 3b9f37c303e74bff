package daemon

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"headwater/internal/dag"
	"headwater/internal/event"
	"headwater/internal/nix"
	"headwater/internal/nix/nar"
	"headwater/internal/nix/worker"
)

// upload sends the plan's objects, all in one stream.
func (r *run) upload(ctx context.Context, p *plan) error {
	if len(p.objects) == 0 {
		return nil
	}
	c := r.copying("upload", fmt.Sprintf("%d paths to the Nix daemon", len(p.objects)))
	var objects []worker.Object
	trust := false
	sent := map[nix.StorePath]bool{}
	for _, o := range p.objects {
		more, err := r.objectsOf(ctx, o, sent)
		if err != nil {
			return c.end(fmt.Errorf("upload %s: %w", o.path(), err))
		}
		objects = append(objects, more...)
	}
	for i := range objects {
		trust = trust || objects[i].Info.CA.IsZero()
		c.total += objects[i].Info.NARSize
		write := objects[i].Write
		objects[i].Write = func(w io.Writer) error { return write(io.MultiWriter(w, c)) }
	}
	return c.end(r.fault(ctx, r.client.AddMultiple(ctx, objects, trust)))
}

// objectsOf is what the daemon has to know of an object, and its bytes. A path that exists already comes with all that it
// refers to and the daemon lacks.
func (r *run) objectsOf(ctx context.Context, o object, sent map[nix.StorePath]bool) ([]worker.Object, error) {
	if !o.drv && o.node.Kind == dag.Path {
		return r.existing(ctx, o.path(), sent)
	}
	made, err := r.object(ctx, o)
	return []worker.Object{made}, err
}

// existing are the paths of a closure that the daemon lacks and that were not sent. They keep their signatures.
func (r *run) existing(ctx context.Context, p nix.StorePath, sent map[nix.StorePath]bool) (objects []worker.Object, err error) {
	closure, err := r.Store.Closure(ctx, []nix.StorePath{p}, false)
	if err != nil {
		return nil, err
	}
	there := planner{run: r, known: map[nix.StorePath]bool{}}
	if err := there.look(ctx, closure, true); err != nil {
		return nil, err
	}
	lacking := map[nix.StorePath]*worker.PathInfo{}
	for _, p := range closure {
		if there.known[p] || sent[p] {
			continue
		}
		sent[p] = true
		info, err := r.Store.Query(ctx, p)
		if err != nil {
			return nil, err
		}
		lacking[p] = &worker.PathInfo{Path: p, Deriver: info.Deriver, NARHash: info.NARHash, NARSize: info.NARSize, Refs: info.Refs, CA: info.CA, Sigs: info.Sigs}
	}
	for _, info := range referencesFirst(closure, lacking) {
		objects = append(objects, r.stored(ctx, *info))
	}
	return objects, nil
}

// stored is an object that the local store has.
func (r *run) stored(ctx context.Context, info worker.PathInfo) worker.Object {
	at := r.Store.RealPath(info.Path)
	return worker.Object{Info: info, Write: func(w io.Writer) error { return nar.DumpTo(ctx, at, w) }}
}

// object is one that is content-addressed.
func (r *run) object(ctx context.Context, o object) (worker.Object, error) {
	if o.drv {
		return drvObject(ctx, o)
	}
	info, err := r.Store.Query(ctx, o.path())
	if err != nil {
		return worker.Object{}, err
	}
	ca := info.CA
	if o.node.Content != nil {
		ca = o.node.Content.ContentAddress()
	} else {
		ca = o.node.Drv.Outputs["out"].CA
	}
	return r.stored(ctx, worker.PathInfo{Path: info.Path, NARHash: info.NARHash, NARSize: info.NARSize, Refs: info.Refs, CA: ca}), nil
}

// drvObject is a .drv file. It is written anew when it is sent, so that not all of them are held.
func drvObject(ctx context.Context, o object) (worker.Object, error) {
	text := o.node.Drv.Marshal()
	file := func(text []byte) []nar.Source {
		open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text)), nil }
		return []nar.Source{{Type: nar.File, Size: int64(len(text)), Open: open}}
	}
	hash, size, err := nar.HashTree(ctx, file(text))
	if err != nil {
		return worker.Object{}, err
	}
	refs := slices.AppendSeq(slices.Clone(o.node.Drv.InputSrcs), maps.Keys(o.node.Drv.InputDrvs))
	slices.Sort(refs)
	return worker.Object{
		Info: worker.PathInfo{Path: o.path(), NARHash: hash, NARSize: size, Refs: slices.Compact(refs),
			CA: nix.ContentAddress{Method: nix.Text, Hash: nix.Sum(nix.SHA256, text)}},
		Write: func(w io.Writer) error { return nar.DumpTree(ctx, file(o.node.Drv.Marshal()), w) },
	}, nil
}

// copying shows how far an upload or a download is, as a node of its own.
type copying struct {
	run         *run
	node        event.Node
	began, last time.Time
	done, total int64
}

// copyPeriod is how often progress is shown.
const copyPeriod = 100 * time.Millisecond

func (r *run) copying(kind, name string) *copying {
	c := &copying{run: r, node: event.Node{ID: kind, Kind: kind, Name: name}, began: time.Now()}
	r.opts.Events(event.Started{Node: c.node})
	return c
}

// Write counts.
func (c *copying) Write(b []byte) (int, error) {
	c.done += int64(len(b))
	if now := time.Now(); now.Sub(c.last) >= copyPeriod {
		c.last = now
		c.run.opts.Events(event.Progress{Node: c.node, Done: c.done, Total: c.total})
	}
	return len(b), nil
}

// end tells how it ended, and returns err.
func (c *copying) end(err error) error {
	done := event.Finished{Node: c.node, Duration: time.Since(c.began), Err: err}
	if c.node.Kind == "download" {
		done.Bytes = c.done
	}
	c.run.opts.Events(done)
	return err
}
