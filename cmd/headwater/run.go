package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"headwater/internal/dag"
	"headwater/internal/event"
	"headwater/internal/run"
)

type runOptions struct {
	buildOptions
	state string
	env   []string
	wait  time.Duration
}

func (a *app) runCommand() *cobra.Command {
	var o runOptions
	cmd := &cobra.Command{
		Use:   "run [DIR]",
		Short: "Build the package, start it with the services it needs, and say how to sign in",
		Long: `Build the package and the services it needs, start them on loopback, run migrations, wait until all is healthy, print the
address and how to sign in, and stop everything on Ctrl-C. Data, secrets and logs are kept in the state folder.`,
		Args: maxArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.run(cmd.Context(), args, o) },
	}
	o.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&o.state, "state", "", "folder for data, secrets and logs (default: one for the service in the user's state folder)")
	f.StringArrayVarP(&o.env, "env", "e", nil, "NAME=VALUE for the service's environment; may be repeated")
	f.DurationVar(&o.wait, "wait", 2*time.Minute, "how long to wait for a health check")
	return cmd
}

func (a *app) run(ctx context.Context, args []string, o runOptions) error {
	p, g, err := openGraph(args)
	if err != nil {
		return err
	}
	if o.state == "" {
		o.state = filepath.Join(a.xdg("XDG_STATE_HOME", ".local/state"), "run", p.recipe.Name)
	}
	if o.state, err = filepath.Abs(o.state); err != nil {
		return err
	}
	var goals []*dag.Node
	roots := map[string]*dag.Node{}
	for _, s := range p.recipe.Services {
		roots[s.Root] = g.Roots[s.Root]
		goals = append(goals, g.Roots[s.Root])
	}
	return a.withPackage(ctx, p, g, o.buildOptions, goals, func(b *builder) error {
		start := run.Run
		if why := run.NeedsRoom(p.recipe, unprivilegedPorts()); why != "" {
			start = run.Apart
			b.events(event.Message{Level: event.Warning, Text: why + ": the service gets a network of its own, which reaches nothing else; ports below 1024 are reached 8000 above"})
		}
		return start(ctx, run.Config{
			Recipe: p.recipe, Launcher: filepath.Join(b.store.RealPath(g.Package.Path()), "bin", p.recipe.Name), Roots: b.paths(roots),
			Store: b.store.Dir(), State: o.state, Env: append([]string{"PATH=" + a.getenv("PATH")}, o.env...), Logs: a.stderr, Events: b.events,
			Wait: o.wait, Ready: func(s run.Service) { a.ready(s, o.state) },
		})
	})
}

// unprivilegedPorts is the first port that an ordinary user may listen on.
func unprivilegedPorts() int {
	b, err := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start")
	n, nerr := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || nerr != nil {
		return 1024 // what it is where nobody said otherwise
	}
	return n
}

// ready tells where the service is.
func (a *app) ready(s run.Service, state string) {
	if a.json {
		_ = json.NewEncoder(a.stdout).Encode(map[string]any{"v": 1, "addresses": s.Addresses, "signIn": s.SignIn, "state": state})
		return
	}
	for _, name := range slices.Sorted(maps.Keys(s.Addresses)) {
		fmt.Fprintf(a.stdout, "%s is up: %s\n", name, s.Addresses[name])
	}
	if s.SignIn != "" {
		fmt.Fprintln(a.stdout, s.SignIn)
	}
	fmt.Fprintf(a.stdout, "data, secrets and logs: %s\nstop with Ctrl-C\n", state)
}
