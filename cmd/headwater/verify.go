package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"headwater/internal/atomicfile"
	"headwater/internal/dag"
	"headwater/internal/event"
	"headwater/internal/graph"
	"headwater/internal/plan"
	"headwater/internal/proof"
	"headwater/internal/verify"
)

type verifyOptions struct {
	buildOptions
	proof  string
	from   string
	url    string
	work   string
	env    []string
	first  bool
	limits verify.Limits
	data   int64 // MiB
	log    int64
	memory int64
}

func (a *app) verifyCommand() *cobra.Command {
	var o verifyOptions
	d := verify.DefaultLimits()
	cmd := &cobra.Command{
		Use:   "verify [DIR]",
		Short: "Prove that the package works: migrate, start, sign in, stop, start again",
		Long: `Build the package, start it as it will run, with the services it needs, in a network of its own, and use it: migrations of an empty
database, every process, health, the recipe's checks, migrations again, a stop, and a start on the same data; then look through the logs
for errors and secrets. With --from, migrate an older release's data too. With --url, do the recipe's checks against a service that runs
already.

What fails is told with what was expected, what was seen, the service's log around it and the likely cause.`,
		Args: maxArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.limits.Data, o.limits.Log, o.limits.Memory = o.data<<20, o.log<<20, o.memory<<20
			return a.verify(cmd.Context(), args, o)
		},
	}
	o.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&o.proof, "proof", "", "write the record of the verification, as JSON, to this file, and beside it a page for people and the screenshots")
	f.StringVar(&o.from, "from", "", "folder with the headwater.yaml of an older release, whose data is to be migrated")
	f.StringVar(&o.url, "url", "", "do the recipe's checks against the service at this address, and start nothing")
	f.StringVar(&o.work, "work", "", "folder for logs and screenshots (default: one for the service in the user's state folder)")
	f.StringArrayVarP(&o.env, "env", "e", nil, "NAME=VALUE for the service's environment and the checks; may be repeated")
	f.BoolVar(&o.first, "fail-fast", false, "end at the first check that fails")
	f.DurationVar(&o.limits.Total, "max-time", d.Total, "how long all of it may take")
	f.DurationVar(&o.limits.Step, "max-check", d.Step, "how long one of the recipe's checks may take")
	f.DurationVar(&o.limits.Migrate, "max-migrate", d.Migrate, "how long migrations may take")
	f.DurationVar(&o.limits.Health, "wait", d.Health, "how long to wait for a health check")
	f.DurationVar(&o.limits.Stop, "max-stop", d.Stop, "how long a process may take to end")
	f.DurationVar(&o.limits.Settle, "settle", d.Settle, "how long to watch the processes once all checks are done")
	f.Int64Var(&o.data, "max-data", d.Data>>20, "MiB that the volumes may take, likewise the services' data and each /tmp; they are in memory")
	f.Int64Var(&o.log, "max-log", d.Log>>20, "MiB that one process may print")
	f.Int64Var(&o.memory, "max-memory", d.Memory>>20, "MiB of memory that all processes together may take")
	f.IntVar(&o.limits.Processes, "max-processes", d.Processes, "processes at one time")
	_ = cmd.MarkFlagDirname("from") // they fail only for flags that do not exist
	_ = cmd.MarkFlagDirname("work")
	_ = cmd.MarkFlagFilename("proof", "json")
	return cmd
}

func (a *app) verify(ctx context.Context, args []string, o verifyOptions) (err error) {
	for _, kv := range o.env {
		if name, _, ok := strings.Cut(kv, "="); !ok || name == "" {
			return &usageError{fmt.Errorf("--env %q: want NAME=VALUE", kv)}
		}
	}
	if o.url != "" && o.from != "" {
		return &usageError{errors.New("--from starts an older release, and with --url nothing is started")}
	}
	r, err := a.readyRelease(ctx, args, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	if o.work == "" {
		o.work = filepath.Join(a.xdg("XDG_STATE_HOME", ".local/state"), "verify", r.project.recipe.Name)
	}
	if o.work, err = filepath.Abs(o.work); err != nil {
		return err
	}
	record := &proof.Record{
		Format: proof.Format, Service: r.project.recipe.Name, Release: r.project.recipe.Release, Started: a.now().UTC().Truncate(time.Millisecond),
		Recipe: digest(r.project.recipeText), Lock: digest(r.project.lockText), URL: o.url,
	}
	result, err := a.verified(ctx, r, o, record)
	if err != nil {
		return err
	}
	record.Took = proof.Millis(a.now().Sub(record.Started))
	record.Checks, record.Processes, record.Notes = result.Checks, result.Processes, result.Notes
	record.Passed = len(record.Failed()) == 0 && len(record.Checks) > 0
	locate(record, r.project.recipeText)
	if o.proof != "" {
		var build *proof.Build
		if o.url == "" { // else nothing was built
			build = r.build()
		}
		if err := writeProof(o.proof, record, build, filepath.Join(o.work, verify.ShotDir)); err != nil {
			return err
		}
	}
	return a.tellProof(record, o.work)
}

// verified does the verification that the flags ask for.
func (a *app) verified(ctx context.Context, r *readied, o verifyOptions, record *proof.Record) (*verify.Result, error) {
	events := func(e verify.Event) {
		if e.Check != nil || a.verbose || a.json { // else a line for each check is enough
			r.events(checked(e))
		}
	}
	if o.url != "" {
		return verify.Remote(ctx, verify.RemoteConfig{Release: r.release, URL: o.url, Vars: o.env, Work: o.work, Step: o.limits.Step, Events: events})
	}
	record.Package = string(r.graph.Package.Path())
	c := verify.Config{
		Release: r.release, Work: o.work, Stores: []string{r.store.Dir()}, Env: append([]string{"PATH=" + a.getenv("PATH")}, o.env...), Limits: o.limits, First: o.first, Events: events,
	}
	if o.from != "" {
		old, err := a.readyRelease(ctx, []string{o.from}, o)
		if err != nil {
			return nil, err
		}
		record.From, c.From = old.project.recipe.Release, &old.release
		result, err := verify.Run(ctx, c)
		return result, errors.Join(err, old.Close())
	}
	return verify.Run(ctx, c)
}

// readied is a release that can be started. Its store stays open until Close: temporary roots keep what runs from being collected.
type readied struct {
	*builder
	project *project
	graph   *graph.Graph
	release verify.Release
	times   *proof.Timeline
}

// build is how the package came to be.
func (r *readied) build() *proof.Build {
	var nodes []proof.Node
	for _, n := range ordered(r.graph.Package) {
		if n.Kind == dag.Text { // our own small files
			continue
		}
		node := proof.Node{ID: string(n.ID), Kind: string(n.Kind), Name: n.Name}
		for _, in := range n.Inputs {
			node.Needs = append(node.Needs, string(in))
		}
		nodes = append(nodes, node)
	}
	return r.times.Build(nodes)
}

// readyRelease builds a project's package and the roots that verifying it takes; with --url only the browser's.
func (a *app) readyRelease(ctx context.Context, args []string, o verifyOptions) (*readied, error) {
	p, g, err := openGraph(args)
	if err != nil {
		return nil, err
	}
	var goals []*dag.Node
	roots := map[string]*dag.Node{}
	if o.url == "" {
		goals = append(goals, g.Package)
		for _, s := range p.recipe.Services {
			roots[s.Root] = g.Roots[s.Root]
		}
	}
	if p.recipe.NeedsBrowser() {
		roots[p.recipe.Browser] = g.Roots[p.recipe.Browser]
	}
	for _, n := range roots {
		goals = append(goals, n)
	}
	times := new(proof.Timeline)
	b, err := a.openBuilt(ctx, p, g, o.buildOptions, func(shown event.Sink) event.Sink { return times.Sink(a.now, shown) }, goals...)
	if err != nil {
		return nil, err
	}
	return &readied{builder: b, project: p, graph: g, times: times, release: verify.Release{
		Recipe: p.recipeText, Launcher: filepath.Join(b.store.RealPath(g.Package.Path()), "bin", p.recipe.Name), Roots: b.paths(roots),
	}}, nil
}

// checked makes an event of what verify tells.
func checked(e verify.Event) event.Event {
	if e.Check == nil {
		return event.Message{Text: e.Text}
	}
	c := event.Checked{Stage: string(e.Check.Stage), Kind: e.Check.Kind, Name: e.Check.Name, Duration: time.Duration(e.Check.Took)}
	if f := e.Check.Failure; f != nil {
		c.Err = errors.New(firstLine(f.Seen))
	}
	return c
}

func digest(text []byte) string {
	sum := sha256.Sum256(text)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// locate notes the lines of the recipe's keys that causes name.
func locate(r *proof.Record, recipeText []byte) {
	var doc yaml.Node
	if yaml.Unmarshal(recipeText, &doc) != nil {
		return // it was parsed before
	}
	for _, c := range r.Checks {
		if c.Failure == nil {
			continue
		}
		for i := range c.Failure.Causes {
			cause := &c.Failure.Causes[i]
			if cause.Change != "" {
				cause.Line = plan.LineOf(&doc, cause.Change)
			}
		}
	}
}

// writeProof writes the record; beside it, with another ending, a page for people, and a folder with the screenshots: proof.json →
// proof.html, proof.screenshots. The page tells what differs from the record that was there before.
func writeProof(file string, r *proof.Record, build *proof.Build, shots string) error {
	if err := writeProofTo(file, r, build, shots); err != nil {
		return fmt.Errorf("write proof: %w", err)
	}
	return nil
}

func writeProofTo(file string, r *proof.Record, build *proof.Build, shots string) error {
	data, err := r.Encode()
	if err != nil {
		return err
	}
	name := strings.TrimSuffix(file, ".json")
	shot := func(sha256 string) ([]byte, error) { return os.ReadFile(filepath.Join(shots, sha256+".png")) }
	page, err := proof.Page(r, proofBefore(file, r), build, shot)
	if err != nil {
		return err
	}
	for _, c := range r.Checks {
		for _, s := range c.Shots {
			png, err := shot(s.SHA256)
			if err == nil {
				err = os.MkdirAll(name+".screenshots", 0o755)
			}
			if err == nil {
				err = atomicfile.WriteSynced(filepath.Join(name+".screenshots", s.SHA256+".png"), png, 0o644)
			}
			if err != nil {
				return err
			}
		}
	}
	return errors.Join(atomicfile.WriteSynced(name+".html", page, 0o644), atomicfile.WriteSynced(file, data, 0o644))
}

// proofBefore is the record that stands in the file, nil if it is none of this service.
func proofBefore(file string, r *proof.Record) *proof.Record {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	old, err := proof.Decode(data)
	if err != nil || old.Service != r.Service {
		return nil
	}
	return old
}

// tellProof prints the result; the error says that the package is not proven.
func (a *app) tellProof(r *proof.Record, work string) error {
	bad := r.Failed()
	name := r.Service + " " + r.Release
	if a.json {
		if err := json.NewEncoder(a.stdout).Encode(map[string]any{"v": 1, "proof": r, "work": work}); err != nil {
			return err
		}
	} else {
		for _, c := range bad {
			tellFailure(a.stdout, c, work)
		}
		if len(bad) == 0 {
			fmt.Fprintf(a.stdout, "%s is proven: %d checks in %.1f s\n", name, len(r.Checks), time.Duration(r.Took).Seconds())
			for _, p := range r.Processes {
				fmt.Fprintf(a.stdout, "  %s: at most %d MiB of memory", p.Name, (p.PeakMemory+1<<19)>>20)
				if p.Ready > 0 {
					fmt.Fprintf(a.stdout, ", healthy after %.1f s", time.Duration(p.Ready).Seconds())
				}
				fmt.Fprintln(a.stdout)
			}
		}
		for _, n := range r.Notes {
			fmt.Fprintf(a.stdout, "note: %s\n", n)
		}
		fmt.Fprintf(a.stdout, "logs and screenshots: %s\n", work)
	}
	if len(bad) > 0 {
		return &failedCheck{fmt.Errorf("%s is not proven: %d of %d checks failed", name, len(bad), len(r.Checks))}
	}
	return nil
}

// tellFailure prints why a check failed.
func tellFailure(w io.Writer, c proof.Check, work string) {
	f := c.Failure
	fmt.Fprintf(w, "✗ %s (%s)\n", c.Name, c.Stage)
	field := func(name, text string) {
		fmt.Fprintf(w, "  %-9s %s\n", name, strings.ReplaceAll(text, "\n", "\n            "))
	}
	field("expected", f.Expected)
	field("seen", f.Seen)
	for _, cause := range f.Causes {
		text := cause.Class + ": " + cause.Text
		if cause.Change != "" {
			text += fmt.Sprintf("\n→ %s:%d %s", recipeFile, cause.Line, cause.Change)
		}
		field("likely", text)
	}
	if len(f.Log) > 0 {
		fmt.Fprintf(w, "  the log of %s:\n  │ %s\n", f.Process, strings.Join(f.Log, "\n  │ "))
	}
	for _, s := range c.Shots {
		field("picture", filepath.Join(work, verify.ShotDir, s.SHA256+".png"))
	}
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s
}
