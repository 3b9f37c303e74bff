package daemon

import (
	"context"
	"fmt"
	"strings"

	"headwater/internal/event"
	"headwater/internal/nix"
	"headwater/internal/nix/worker"
)

// connect reaches the daemon and tells it the run's options. It does nothing where there is a connection.
func (r *run) connect(ctx context.Context) error {
	if r.client != nil {
		return nil
	}
	conn, err := r.Address.dial(ctx, machine{getenv: r.Getenv, environ: r.Environ})
	if err != nil {
		return err
	}
	r.conn, r.sink = conn, r.remark
	client, err := worker.New(ctx, conn, func(m worker.Message) { r.sink(m) })
	if err != nil {
		return r.fault(ctx, err)
	}
	r.client = client
	return r.fault(ctx, client.SetOptions(ctx, r.settings()))
}

func (r *run) settings() worker.Settings {
	s := worker.Settings{
		KeepGoing: r.opts.KeepGoing, MaxJobs: r.opts.Jobs, Cores: r.opts.Cores, MaxSilent: r.opts.MaxSilent, Timeout: r.opts.Timeout,
		Substitute: r.Address.substitute,
	}
	if r.Address.maxJobs != nil {
		s.MaxJobs = *r.Address.maxJobs
	}
	if r.client.Daemon().Trust == worker.Trusted {
		s.Extra = map[string]string{"sandbox": "true", "sandbox-fallback": "false"} // no sandbox, no build
		if r.opts.MaxLog > 0 {
			s.Extra["max-build-log-size"] = fmt.Sprint(r.opts.MaxLog)
		}
	}
	return s
}

// remark passes on what the daemon says besides.
func (r *run) remark(m worker.Message) {
	log, ok := m.(worker.Log)
	if !ok || log.Text == "" {
		return
	}
	level := event.Info
	text, warns := strings.CutPrefix(log.Text, "warning: ")
	if warns || strings.HasPrefix(text, "error:") {
		level = event.Warning
	}
	r.opts.Events(event.Message{Level: level, Text: "Nix daemon: " + text})
}

// validMeanwhile asks the daemon while it builds, on a connection of its own: an operation's messages tell how many builds
// are done, but not which.
func (r *run) validMeanwhile(ctx context.Context, paths []nix.StorePath) ([]nix.StorePath, error) {
	if r.side == nil {
		conn, err := r.Address.dial(ctx, machine{getenv: r.Getenv, environ: r.Environ, unattended: true})
		if err != nil {
			return nil, err
		}
		if r.side, err = worker.New(ctx, conn, func(worker.Message) {}); err != nil {
			return nil, err
		}
	}
	return r.side.QueryValidPaths(ctx, paths, false)
}
