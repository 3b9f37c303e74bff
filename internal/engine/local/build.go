package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"headwater/internal/dag"
	"headwater/internal/engine"
	"headwater/internal/nix"
	"headwater/internal/sandbox"
)

// Causes of killing a builder.
var (
	errTimeout = errors.New("ran longer than it may")
	errSilent  = errors.New("wrote nothing for longer than it may")
	errFlood   = errors.New("wrote more to its log than it may")
)

// build runs a derivation's builder and admits what it made.
func (j *job) build(ctx context.Context) (engine.Done, error) {
	want, err := j.requirements()
	if err != nil {
		return engine.Done{}, err
	}
	closure, err := j.inputClosure(ctx)
	if err != nil {
		return engine.Done{}, fmt.Errorf("build %s: %w", j.node.Name, err)
	}
	spec, err := j.folders()
	if err != nil {
		return engine.Done{}, fmt.Errorf("build %s: %w", j.node.Name, err)
	}
	work, err := j.workplace(ctx, closure)
	if err != nil {
		return engine.Done{}, err
	}
	if err := work.write(spec.Build); err != nil {
		return engine.Done{}, fmt.Errorf("build %s: %w", j.node.Name, err)
	}
	spec.Builder, spec.Args, spec.Env = j.node.Drv.Builder, work.args, work.environ()
	spec.Inputs, spec.Network, spec.KVM = closure, j.node.Drv.IsFixed(), want.kvm
	log, err := j.openLog()
	if err != nil {
		return engine.Done{}, fmt.Errorf("build %s: %w", j.node.Name, err)
	}
	done := engine.Done{LogPath: log.path}
	err = j.runBuilder(ctx, spec, log)
	if closeErr := log.Close(); err == nil && closeErr != nil {
		err = fmt.Errorf("build %s: write log: %w", j.node.Name, closeErr)
	}
	if err == nil {
		err = j.admitBuilt(ctx, spec, closure)
	}
	var failed *engine.BuildFailed
	if errors.As(err, &failed) {
		failed.Log, failed.LogPath = log.tail(), log.path
	}
	return done, err
}

// folders makes what a sandbox is made of.
func (j *job) folders() (sandbox.Spec, error) {
	s := sandbox.Spec{StoreDir: j.Store.RealPath(nix.StoreDir)}
	var errs []error
	for name, field := range map[string]*string{"out": &s.Outputs, "build": &s.Build, "tmp": &s.Tmp} {
		dir, err := j.subfolder(name)
		*field = dir
		errs = append(errs, err)
	}
	return s, errors.Join(errs...)
}

// runBuilder returns nil if the builder succeeded.
func (j *job) runBuilder(ctx context.Context, spec sandbox.Spec, log *buildLog) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if j.opts.Timeout > 0 {
		timer := time.AfterFunc(j.opts.Timeout, func() { cancel(errTimeout) })
		defer timer.Stop()
	}
	if j.opts.MaxSilent > 0 {
		log.silence = time.AfterFunc(j.opts.MaxSilent, func() { cancel(errSilent) })
		log.maxSilent = j.opts.MaxSilent
		defer log.silence.Stop()
	}
	exit, err := j.sandbox.Run(ctx, spec, log)
	var notStarted *sandbox.ExecError
	switch {
	case errors.Is(err, errTimeout):
		return j.failed(engine.TimedOut, fmt.Errorf("%w: %v", err, j.opts.Timeout))
	case errors.Is(err, errSilent):
		return j.failed(engine.Silent, fmt.Errorf("%w: %v", err, j.opts.MaxSilent))
	case errors.Is(err, errFlood):
		return j.failed(engine.LogFlood, fmt.Errorf("%w: %d bytes", err, j.opts.MaxLog))
	case errors.As(err, &notStarted):
		return j.failed(engine.Exited, err)
	case err != nil:
		return fmt.Errorf("build %s: %w", j.node.Name, err)
	case !exit.Success():
		return j.failed(engine.Exited, fmt.Errorf("builder failed: %v", exit))
	}
	return nil
}

func (j *job) admitBuilt(ctx context.Context, spec sandbox.Spec, closure []nix.StorePath) error {
	dir := spec.Outputs
	if spec.Network {
		var err error
		if dir, err = j.copyOutputs(ctx, dir); err != nil {
			return fmt.Errorf("build %s: copy outputs: %w", j.node.Name, err)
		}
	}
	return j.admit(ctx, dir, closure)
}

// inputClosure is what the builder sees of the store: its inputs and all that they refer to, sorted.
func (j *job) inputClosure(ctx context.Context) ([]nix.StorePath, error) {
	d := j.node.Drv
	inputs := slices.Clone(d.InputSrcs)
	byDrv := make(map[nix.StorePath]*dag.Node, len(j.node.Inputs))
	for _, in := range j.node.Inputs {
		byDrv[in.DrvPath] = in
	}
	for drvPath, outputs := range d.InputDrvs {
		in := byDrv[drvPath]
		if in == nil {
			return nil, fmt.Errorf("input %s is not among the node's inputs", drvPath)
		}
		for _, name := range outputs {
			p, ok := in.Outputs[name]
			if !ok {
				return nil, fmt.Errorf("input %s has no output %s", drvPath, name)
			}
			inputs = append(inputs, p)
		}
	}
	slices.Sort(inputs) // a map has no order
	closure, err := j.Store.Closure(ctx, slices.Compact(inputs), false)
	slices.Sort(closure)
	return closure, err
}

// requirements are what a derivation asks of the machine.
type requirements struct{ kvm bool }

func (j *job) requirements() (requirements, error) {
	d := j.node.Drv
	if d.System != j.System {
		return requirements{}, j.badRequest("needs a machine of system %s, this is %s", d.System, j.System)
	}
	if !filepath.IsAbs(d.Builder) {
		return requirements{}, j.badRequest("builder %q is not an absolute path", d.Builder)
	}
	attrs, err := d.Attrs()
	if err != nil {
		return requirements{}, j.failed(engine.BadRecipe, err)
	}
	if loose, err := attrs.Bool("__noChroot"); err != nil || loose {
		return requirements{}, j.badRequest("asks to be built without a sandbox (__noChroot)")
	}
	features, _, err := attrs.Strings("requiredSystemFeatures")
	if err != nil {
		return requirements{}, j.failed(engine.BadRecipe, err)
	}
	var r requirements
	for _, f := range features {
		switch f {
		case "benchmark", "big-parallel", "nixos-test": // Nix has these wherever it runs
		case "kvm":
			if _, err := os.Stat("/dev/kvm"); err != nil {
				return r, j.badRequest("needs the system feature kvm: %w", err)
			}
			r.kvm = true
		default:
			return r, j.badRequest("needs the system feature %s, which this engine does not have", f)
		}
	}
	return r, nil
}
