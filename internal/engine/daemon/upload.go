package daemon

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"headwater/internal/dag"
	"headwater/internal/event"
	"headwater/internal/nix"
	"headwater/internal/nix/nar"
	"headwater/internal/nix/worker"
)

// upload sends a plan's objects. It begins while some of them are still being made: what has come is sent as soon as that is
// worth a request, in one stream at a time, since the way to the daemon is one. It has the run's connection to itself until it ends.
type upload struct {
	run     *run
	cancel  context.CancelCauseFunc // ends what early packs and sends
	stopped chan struct{}           // closed when no more is sent early
	ended   chan struct{}           // closed when the goroutine has ended; nil if there is none
	wake    chan struct{}           // has a token when something came
	err     error                   // read after ended
	count   int                     // of the plan's objects
	bar     *copying                // nil while nothing was sent
	parcels []parcel                // to be sent next, what they refer to first
	took    map[object]bool         // all that are or were parcels
	sent    map[nix.StorePath]bool  // of paths that exist already: also what they refer to

	mu      sync.Mutex // guards what follows
	awaited int        // nodes that are not made yet
	making  map[string]object
	waits   map[object]int // how many of what it refers to, and of itself, are lacking
	needed  map[object][]object
	ready   []object
}

// parcel is an object with what is sent for it.
type parcel struct {
	object
	content []worker.Object
}

// worthwhile is how many bytes are sent while more is awaited: fewer can go along with what comes later.
const worthwhile = 1 << 20

// beginUpload starts sending. failed is told if that goes wrong. The caller cancels the upload at the end.
func (r *run) beginUpload(ctx context.Context, p *plan, failed context.CancelCauseFunc) (*upload, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	u := &upload{
		run: r, cancel: cancel, stopped: make(chan struct{}), wake: make(chan struct{}, 1), count: len(p.objects), took: map[object]bool{}, sent: map[nix.StorePath]bool{},
		making: map[string]object{}, waits: map[object]int{}, needed: map[object][]object{},
	}
	if err := u.arrange(ctx, p); err != nil || u.awaited == 0 {
		return u, err
	}
	u.wake <- struct{}{} // for what is here already
	u.ended = make(chan struct{})
	go func() {
		defer close(u.ended)
		if u.err = u.early(ctx); u.err != nil {
			failed(u.err)
		}
	}()
	return u, nil
}

// arrange finds out what each object waits for.
func (u *upload) arrange(ctx context.Context, p *plan) error {
	var paths []nix.StorePath
	for _, o := range p.objects {
		if !o.drv {
			paths = append(paths, o.path())
		}
	}
	lacking, err := u.run.notHere(ctx, paths)
	if err != nil {
		return err
	}
	lack, planned := map[nix.StorePath]bool{}, map[object]bool{}
	for _, path := range lacking {
		lack[path] = true
	}
	for _, o := range p.objects { // what they refer to first
		planned[o] = true
		if !o.drv && lack[o.path()] {
			u.awaited++
			u.making[string(o.node.ID())] = o
			u.waits[o]++
		}
		for _, ref := range o.refersTo() {
			if planned[ref] {
				u.waits[o]++
				u.needed[ref] = append(u.needed[ref], o)
			}
		}
	}
	for _, o := range p.objects {
		if u.waits[o] == 0 {
			u.ready = append(u.ready, o)
		}
	}
	return nil
}

// made hears that a node was made.
func (u *upload) made(id string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	o, ok := u.making[id]
	if !ok {
		return
	}
	delete(u.making, id)
	u.awaited--
	u.less(o)
	select {
	case u.wake <- struct{}{}:
	default:
	}
}

// less notes that an object waits for one thing less. The caller holds the mutex.
func (u *upload) less(o object) {
	if u.waits[o]--; u.waits[o] == 0 {
		u.ready = append(u.ready, o)
	}
}

// take is what can be sent now, and whether more is awaited.
func (u *upload) take() (objects []object, more bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for len(u.ready) > 0 {
		o := u.ready[0]
		u.ready = u.ready[1:]
		objects = append(objects, o)
		for _, n := range u.needed[o] {
			u.less(n)
		}
	}
	return objects, u.awaited > 0
}

// early sends what has come, while more is awaited.
func (u *upload) early(ctx context.Context) error {
	for {
		select {
		case <-u.wake:
		case <-u.stopped:
			return nil
		case <-ctx.Done():
			return nil // whoever cancelled knows
		}
		objects, more := u.take()
		if !more {
			return nil // the rest is sent at once
		}
		size := int64(0)
		if err := u.pack(ctx, objects); err != nil {
			return err
		}
		for _, p := range u.parcels {
			for _, o := range p.content {
				size += o.Info.NARSize
			}
		}
		if size >= worthwhile {
			if err := u.send(ctx); err != nil {
				return err
			}
		}
	}
}

// stop ends what began early: once what is being sent has arrived, or, with a cause, at once.
func (u *upload) stop(cause error) error {
	if u.ended == nil {
		return nil
	}
	close(u.stopped)
	if cause != nil {
		u.cancel(cause)
	}
	<-u.ended
	if err := cmp.Or(u.err, cause); err != nil && u.bar != nil {
		u.bar.end(err)
	}
	return u.err
}

// finish sends the rest of the plan's objects, all of which are here.
func (u *upload) finish(ctx context.Context, p *plan) error {
	left := map[object]bool{}
	var rest []object
	for _, o := range p.objects {
		left[o] = true
		if !u.took[o] {
			rest = append(rest, o)
		}
	}
	u.parcels = slices.DeleteFunc(u.parcels, func(p parcel) bool { return !left[p.object] })
	err := u.pack(ctx, rest)
	if err == nil && len(u.parcels) > 0 {
		err = u.send(ctx)
	}
	if u.bar != nil {
		u.bar.end(err)
	}
	return err
}

// pack makes parcels of objects.
func (u *upload) pack(ctx context.Context, objects []object) error {
	for _, o := range objects {
		content, err := u.run.objectsOf(ctx, o, u.sent)
		if err != nil {
			return fmt.Errorf("upload %s: %w", o.path(), err)
		}
		u.took[o] = true
		u.parcels = append(u.parcels, parcel{o, content})
	}
	return nil
}

// send sends the parcels, in one stream.
func (u *upload) send(ctx context.Context) error {
	if u.bar == nil {
		u.bar = u.run.copying("upload", fmt.Sprintf("%d paths to the Nix daemon", u.count))
	}
	var objects []worker.Object
	trust := false
	for _, p := range u.parcels {
		for _, o := range p.content {
			trust = trust || o.Info.CA.IsZero()
			u.bar.total += o.Info.NARSize
			write := o.Write
			o.Write = func(w io.Writer) error { return write(io.MultiWriter(w, u.bar)) }
			objects = append(objects, o)
		}
	}
	u.parcels = nil
	return u.run.fault(ctx, u.run.client.AddMultiple(ctx, objects, trust))
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
