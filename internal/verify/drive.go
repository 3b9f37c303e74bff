package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"headwater/internal/event"
	"headwater/internal/proof"
	"headwater/internal/recipe"
	"headwater/internal/run"
)

// driver carries out a plan, inside the room.
type driver struct {
	journal
	plan    plan
	recipe  *recipe.Recipe // of the release that runs now
	checker *checker
	watch   *watch
	runner  *run.Runner // of what runs now

	logs         map[string]bool // names of those whose logs are there
	processes    map[string]*proof.Process
	servicePorts map[int]bool
}

func newDriver(p plan, tell func(Event)) (*driver, error) {
	r, err := recipe.Parse(p.Release.Recipe)
	if err != nil {
		return nil, err
	}
	d := &driver{
		journal: journal{began: clock(), tell: tell, secrets: new(secrets), first: p.First},
		plan:    p, recipe: r, logs: map[string]bool{}, processes: map[string]*proof.Process{}, servicePorts: map[int]bool{},
		watch: newWatch(p.Limits, map[string]string{
			"the volumes": filepath.Join(p.Work, dataDir), "the services' data": filepath.Join(p.Work, stateDir),
		}),
	}
	d.checker = newChecker(r, d.secrets, p.Work, p.Release.Roots)
	d.checker.base, d.checker.limit = d.address, p.Limits.Step
	return d, nil
}

// address is where a process of the release that runs now listens, "" if it does not.
func (d *driver) address(process string) string {
	if p := d.recipe.Package.Processes[process]; p.Port != 0 {
		return run.Address(p)
	}
	return ""
}

func (d *driver) result() *Result {
	r := &Result{Checks: d.checks, Notes: d.notes}
	for _, name := range slices.Sorted(maps.Keys(d.processes)) {
		p := *d.processes[name]
		p.PeakMemory = d.watch.peakOf(name)
		r.Processes = append(r.Processes, p)
	}
	return r
}

// drive does all of it. Whatever goes wrong is in the journal.
func (d *driver) drive(ctx context.Context) {
	if len(d.recipe.Checks) == 0 {
		d.notes = append(d.notes, "no sign-in was tried: the recipe has no checks")
	} else if !d.recipe.NeedsBrowser() {
		d.notes = append(d.notes, "no sign-in through a browser was tried: no check of the recipe does it")
	}
	if len(d.recipe.Package.Processes) == 0 {
		d.keep(proof.Check{Stage: proof.Start, Name: "the package has a process", Kind: "start"},
			failed("at least one process in the recipe", "none: there is nothing to start"))
		return
	}
	ok := d.life(ctx, "fresh", d.fresh)
	if d.plan.From != nil && ok {
		d.life(ctx, "upgrade", d.upgrade)
	}
	if err := d.checker.close(); err != nil {
		d.notes = append(d.notes, "close the browser: "+err.Error())
	}
}

// life does what do says with data of its own, under watch. It reports whether the stages after it make sense.
func (d *driver) life(ctx context.Context, name string, do func(context.Context, string) error) bool {
	ctx, end := context.WithCancelCause(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		d.watch.run(ctx, func(e *LimitError) { end(e) })
	}()
	err := do(ctx, name)
	cause := context.Cause(ctx)
	end(nil)
	<-watched
	if err != nil {
		d.giveUp(name, err, cause)
	}
	if d.runner != nil && !isLimit(cause) { // else it ends with this process, since it may not end by itself
		if err := d.runner.Close(); err != nil && !d.anyFailed() {
			d.keep(proof.Check{Stage: proof.Stop, Name: "all ends", Kind: "stop"}, outcome{failure: d.explain(err)})
		}
	}
	return err == nil
}

func isLimit(err error) bool {
	var limit *LimitError
	var printed *run.LogLimitError
	return errors.As(err, &limit) || errors.As(err, &printed)
}

// errGivenUp says that what failed is in the journal, and what comes after it makes no sense.
var errGivenUp = errors.New("given up")

// giveUp notes why a life ended early, unless that is noted.
func (d *driver) giveUp(life string, err, cause error) {
	if errors.Is(err, errGivenUp) {
		return
	}
	stage := proof.Start
	if n := len(d.checks); n > 0 {
		stage = d.checks[n-1].Stage
	}
	if life == "upgrade" {
		stage = proof.Upgrade
	}
	if errors.Is(err, errUnfinished) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		if cause != nil {
			err = cause
		}
	}
	f := d.explain(err)
	c := proof.Check{Stage: stage, Name: "it stays up", Kind: "process", At: proof.Millis(clock().Sub(d.began))}
	switch {
	case isLimit(err):
		c.Name, c.Kind = "it keeps its limits", "limit"
	case f.Process != "":
		c.Name = f.Process + " stays up"
	}
	d.keep(c, outcome{failure: f})
}

// open makes a runner of a release, with state of its own, and lets ctx end where one of its processes does.
func (d *driver) open(ctx context.Context, rel Release, r *recipe.Recipe, state, logs string) (context.Context, error) {
	runner, err := run.Open(run.Config{
		Recipe: r, Launcher: rel.Launcher, Roots: rel.Roots, State: filepath.Join(d.plan.Work, stateDir, state),
		Volumes: filepath.Join(d.plan.Work, dataDir, state), LogDir: filepath.Join(d.plan.Work, LogDir, logs),
		Env: d.plan.Env, Logs: io.Discard, Events: event.Discard, Wait: d.plan.Limits.Health, StopWait: d.plan.Limits.Stop,
		LogLimit: d.plan.Limits.Log,
	})
	if err != nil {
		return nil, err
	}
	d.runner, d.recipe = runner, r
	d.checker.of(r, rel.Roots)
	ctx, end := context.WithCancelCause(ctx)
	go func() {
		defer end(nil)
		select {
		case <-ctx.Done():
		case <-runner.Died():
			end(runner.Death())
		}
	}()
	return ctx, nil
}

// fresh begins with nothing and goes through a service's whole life.
func (d *driver) fresh(ctx context.Context, name string) error {
	ctx, err := d.open(ctx, d.plan.Release, d.recipe, name, "")
	if err != nil {
		return err
	}
	steps := append(d.beginning(proof.Start, "migrations of an empty database", proof.Checks, anyCheck),
		d.settle, d.remigrate, d.stop,
		func(ctx context.Context) error { return d.up(ctx, proof.Restart) },
		func(ctx context.Context) error { return d.allChecks(ctx, proof.Restart, repeatable) },
	)
	if err := d.through(ctx, steps); err != nil {
		return err
	}
	d.audit(proof.Audit, "")
	return nil
}

// beginning is how a release's life begins: services, migrations, which are called so, all processes, and those of the recipe's checks
// that which selects.
func (d *driver) beginning(stage proof.Stage, migrations string, checks proof.Stage, which func(recipe.Check) bool) []func(context.Context) error {
	return []func(context.Context) error{
		func(ctx context.Context) error { return d.services(ctx, stage) },
		func(ctx context.Context) error { return d.migrate(ctx, stage, migrations) },
		func(ctx context.Context) error { return d.up(ctx, stage) },
		func(ctx context.Context) error { return d.allChecks(ctx, checks, which) },
	}
}

// through takes the steps, and ends what runs where none failed.
func (d *driver) through(ctx context.Context, steps []func(context.Context) error) error {
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return d.reason(ctx, err)
		}
	}
	return d.end()
}

// end ends what runs. That a process does not end in time is a note only: it may have been started a moment ago and not have got as far as to
// listen to signals, and the stage that asks processes to end has looked at it.
func (d *driver) end() error {
	err := d.runner.Close()
	var late *run.StopError
	if errors.As(err, &late) {
		d.notes = append(d.notes, "at the end: "+err.Error())
		return nil
	}
	return err
}

// reason is why a step failed: what ended ctx, if something did.
func (d *driver) reason(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(err, errGivenUp) {
		return cause
	}
	return err
}

// services starts what the package needs.
func (d *driver) services(ctx context.Context, stage proof.Stage) error {
	if len(d.recipe.Services) == 0 {
		return d.runner.StartServices(ctx) // makes the secrets
	}
	ok, err := d.check(ctx, d.plan.Limits.Health, proof.Check{Stage: stage, Name: "services start", Kind: "start"}, func(ctx context.Context) outcome {
		if err := d.runner.StartServices(ctx); err != nil {
			return outcome{failure: d.explain(err)}
		}
		return outcome{}
	})
	if err != nil || !ok {
		return orGivenUp(err)
	}
	for name := range d.recipe.Services {
		d.watch.follow(name, d.runner.PID(name))
		d.logs[name] = true
	}
	for port := range listening() {
		d.servicePorts[port] = true
	}
	return nil
}

func orGivenUp(err error) error {
	if err != nil {
		return err
	}
	return errGivenUp
}

// learn takes over what the checks may refer to, and what must not be seen.
func (d *driver) learn() {
	for k, v := range d.recipe.Package.Env {
		if _, ok := d.checker.vars[k]; !ok {
			d.checker.vars[k] = v
		}
	}
	for k, v := range d.runner.Environment() {
		d.checker.vars[k] = v
	}
	d.secrets.add(d.runner.Secrets()...)
}

// migrate runs the migrations, if there are any.
func (d *driver) migrate(ctx context.Context, stage proof.Stage, name string) error {
	d.learn()
	if len(d.recipe.Package.Migrate) == 0 {
		return nil
	}
	ok, err := d.check(ctx, d.plan.Limits.Migrate, proof.Check{Stage: stage, Name: name, Kind: "migrate"}, func(ctx context.Context) outcome {
		err := d.runner.Migrate(ctx)
		d.logs[run.MigrateName] = true
		if err != nil {
			f := d.explain(err)
			if errors.Is(err, context.DeadlineExceeded) {
				f = &proof.Failure{
					Expected: fmt.Sprintf("migrations end within %s", d.plan.Limits.Migrate), Seen: "they had not ended",
					Process: run.MigrateName, Log: d.tail(run.MigrateName),
				}
				f.Causes = causesIn(d.recipe, joined(f.Log))
			}
			return outcome{failure: f}
		}
		return outcome{}
	})
	if err != nil || !ok {
		return orGivenUp(err)
	}
	return nil
}

// remigrate runs the migrations again, which are to succeed and to leave the databases' tables as they are.
func (d *driver) remigrate(ctx context.Context) error {
	if len(d.recipe.Package.Migrate) == 0 {
		return nil
	}
	before, err := d.shapes(ctx)
	if err != nil {
		return err
	}
	if err := d.migrate(ctx, proof.Remigrate, "migrations again, with nothing to do"); err != nil {
		return err
	}
	after, err := d.shapes(ctx)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(d.recipe.Services)) {
		if before[name] == "" && after[name] == "" {
			continue // it has no tables
		}
		o := outcome{}
		if line := differing(before[name], after[name]); line != "" {
			o = failed("migrations that have run leave the tables as they are", "they changed: "+line)
			o.failure.Causes = []proof.Cause{{Class: "migration", Text: "what migrates makes changes each time: the upstream's migrations are not complete, or the command does something else", Change: "package.migrate"}}
		}
		d.keep(proof.Check{Stage: proof.Remigrate, Name: "the tables of " + name + " are as before", Kind: "migrate", At: proof.Millis(clock().Sub(d.began))}, o)
	}
	return nil
}

// shapes are the databases without their data, by the services' names; "" of what has no tables.
func (d *driver) shapes(ctx context.Context) (map[string]string, error) {
	all := map[string]string{}
	for name := range d.recipe.Services {
		var err error
		if all[name], err = d.runner.Shape(ctx, name); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// differing is the first line of b that is not in a, or of a that is not in b; "" if there is none.
func differing(a, b string) string {
	for _, pair := range [][2]string{{a, b}, {b, a}} {
		known := map[string]bool{}
		for line := range strings.Lines(pair[0]) {
			known[line] = true
		}
		for line := range strings.Lines(pair[1]) {
			if !known[line] {
				return strings.TrimSpace(line)
			}
		}
	}
	return ""
}

// up starts all processes and waits until they are healthy.
func (d *driver) up(ctx context.Context, stage proof.Stage) error {
	d.learn()
	names := d.runner.Processes()
	started := map[string]time.Time{}
	for _, name := range names {
		started[name] = clock()
		if err := d.runner.Launch(ctx, name); err != nil {
			return err
		}
		d.logs[name] = true
		d.watch.follow(name, d.runner.PID(name))
		if d.processes[name] == nil {
			d.processes[name] = &proof.Process{Name: name}
		}
		d.processes[name].Starts++
	}
	for _, name := range names {
		p := d.recipe.Package.Processes[name]
		if p.Port == 0 {
			continue
		}
		is := name + " is healthy"
		if p.Health == "" {
			is = name + " listens"
		}
		// The runner has the limit; the journal's is beyond it, so that the runner tells.
		ok, err := d.check(ctx, d.plan.Limits.Health+time.Minute, proof.Check{Stage: stage, Name: is, Kind: "health"}, func(ctx context.Context) outcome {
			if err := d.runner.Healthy(ctx, name); err != nil {
				return outcome{failure: d.explain(err)}
			}
			return outcome{}
		})
		if err != nil || !ok {
			return orGivenUp(err)
		}
		if p := d.processes[name]; p.Ready == 0 {
			p.Ready = proof.Millis(clock().Sub(started[name]))
		}
	}
	return nil
}

// oauthSteps is how many checks' time one of OAuth2 may take: somebody signs in many times over.
const oauthSteps = 5

func anyCheck(recipe.Check) bool { return true }

func repeatable(c recipe.Check) bool { return c.Repeat }

// allChecks does the recipe's checks that want says, in order, or looks at the front page where the recipe has none. A check that fails
// does not end the stage.
func (d *driver) allChecks(ctx context.Context, stage proof.Stage, want func(recipe.Check) bool) error {
	front := d.checker.base(d.recipe.Front())
	if len(d.recipe.Checks) == 0 && front != "" {
		_, err := d.check(ctx, d.plan.Limits.Step, proof.Check{Stage: stage, Name: "the page at / and what it loads", Kind: "request"}, func(ctx context.Context) outcome {
			return d.around(func() outcome { return d.checker.page(ctx, front) })
		})
		return err
	}
	for _, c := range d.recipe.Checks {
		if !want(c) {
			continue
		}
		limit := d.plan.Limits.Step
		if c.OAuth2 != nil {
			limit *= oauthSteps
		}
		_, err := d.check(ctx, limit, proof.Check{Stage: stage, Name: c.Name, Kind: kindOf(c)}, func(ctx context.Context) outcome {
			return d.around(func() outcome { return d.checker.do(ctx, c) })
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// around does a check and, if it fails, adds what the processes printed meanwhile, and what that may mean.
func (d *driver) around(do func() outcome) outcome {
	before := d.logSizes()
	o := do()
	if f := o.failure; f != nil && f.Log == nil {
		f.Process, f.Log = d.since(before)
		if f.Causes == nil {
			text := joined(f.Log)
			if len(o.findings) == 0 { // what a browser or an application met outside of the service is no sign of what is wrong in it
				text += "\n" + f.Seen
			}
			f.Causes = causesIn(d.recipe, text)
		}
		if f.Causes == nil {
			f.Causes = o.likely
		}
	}
	return o
}

// settle waits until the processes have run for as long as they are watched at least, so that one that dies after some seconds is seen.
func (d *driver) settle(ctx context.Context) error {
	d.tell(Event{Text: "watching the processes"})
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d.plan.Limits.Settle):
	}
	for _, name := range d.runner.Processes() {
		d.keep(proof.Check{Stage: proof.Checks, Name: name + " stays up", Kind: "process", At: proof.Millis(clock().Sub(d.began))}, outcome{})
	}
	return nil
}

// stop asks each process to end.
func (d *driver) stop(ctx context.Context) error {
	names := d.runner.Processes()
	for _, name := range slices.Backward(names) {
		_, err := d.check(ctx, d.plan.Limits.Stop+time.Minute, proof.Check{Stage: proof.Stop, Name: name + " ends when it is asked to", Kind: "stop"}, func(context.Context) outcome {
			return d.stopOne(name)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// terminated is the exit status, by the launcher and by shells, of what SIGTERM ended; unhandled is that of a Go program which does not
// handle it: as process 1 it cannot be ended by it, so Go's runtime exits (package os/signal, "Default behavior of signals in Go programs").
const (
	terminated = 128 + 15
	unhandled  = 2
)

func (d *driver) stopOne(name string) outcome {
	tail := func() []string { return d.tail(name) }
	before, size := tail(), d.logSizes()[name]
	deaf := ignoresTerm(d.runner.PID(name))
	_ = d.watch.look(true) // what it took at its end counts; a limit that it went over, the watch tells itself
	status, err := d.runner.Stop(name)
	expected := fmt.Sprintf("%s ends within %s of SIGTERM, with exit status 0 or %d", name, d.plan.Limits.Stop, terminated)
	if err != nil {
		cause := proof.Cause{
			Class: "signal not handled", Change: "package.command",
			Text: "the command is process 1 and gets SIGTERM: a script must pass it on, best by exec of what it starts, and a program must handle it",
		}
		if !deaf && d.logSizes()[name] > size {
			cause = proof.Cause{
				Class: "slow to end", Change: "package.processes." + name,
				Text: "it printed more once it was asked to end, so that it seems to be at it, or to go on: what it waits for may be a setting, and --max-stop gives it more time",
			}
		}
		return outcome{failure: &proof.Failure{Expected: expected, Seen: "it did not end and was killed", Process: name, Log: tail(), Causes: []proof.Cause{cause}}}
	}
	d.processes[name].StopStatus = &status
	if status == unhandled && slices.Equal(before, tail()) {
		d.notes = append(d.notes, name+" does not handle SIGTERM: it ends at once, whatever it is doing")
		return outcome{}
	}
	if status != 0 && status != terminated {
		f := &proof.Failure{Expected: expected, Seen: fmt.Sprintf("exit status %d", status), Process: name, Log: tail()}
		f.Causes = causesIn(d.recipe, joined(f.Log))
		return outcome{failure: f}
	}
	return outcome{}
}

// upgrade makes an older release's data, and starts this release on it.
func (d *driver) upgrade(ctx context.Context, name string) error {
	release := d.recipe
	old, err := recipe.Parse(d.plan.From.Recipe)
	if err != nil {
		return err
	}
	from := *d.plan.From
	// The services are this release's: it is their data that outlives the release.
	from.Roots = maps.Clone(from.Roots)
	for name, s := range old.Services {
		if ours, ok := release.Services[name]; ok {
			from.Roots[s.Root] = d.plan.Release.Roots[ours.Root]
		}
	}
	oldCtx, err := d.open(ctx, from, old, name, "older-release")
	if err != nil {
		return err
	}
	if err := d.through(oldCtx, d.beginning(proof.Upgrade, "the older release's migrations", proof.Upgrade, anyCheck)); err != nil {
		return err
	}
	ctx, err = d.open(ctx, d.plan.Release, release, name, "upgrade")
	if err != nil {
		return err
	}
	if err := d.through(ctx, d.beginning(proof.Upgrade, "migrations of release "+old.Release+"'s data", proof.Upgrade, repeatable)); err != nil {
		return err
	}
	d.audit(proof.Upgrade, "upgrade")
	return nil
}
