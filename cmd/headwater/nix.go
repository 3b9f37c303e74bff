package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"headwater/internal/engine/daemon"
)

// engineChoice are the flags that say where builds run.
type engineChoice struct {
	name     string
	nixStore string
}

func (c *engineChoice) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&c.name, "engine", "local", "where to build: local (here, without Nix) or nix (on a Nix daemon)")
	f.StringVar(&c.nixStore, "nix-store", "", "the Nix daemon's address: daemon, unix:///SOCKET, local?root=DIR, ssh-ng://[USER@]HOST (default $NIX_REMOTE, or daemon)")
}

// local tells whether builds run here.
func (c engineChoice) local() bool { return c.name == "local" && c.nixStore == "" }

// openBuilderOn is openBuilder with an engine of the user's choice.
func (a *app) openBuilderOn(ctx context.Context, date time.Time, c engineChoice, caches cacheChoice) (*builder, error) {
	switch {
	case c.name == "local" && c.nixStore != "":
		return nil, &usageError{errors.New("--nix-store needs --engine nix")}
	case c.name == "local":
		return a.openBuilderWith(ctx, date, caches)
	case c.name != "nix":
		return nil, &usageError{fmt.Errorf("unknown engine %q", c.name)}
	}
	address := c.nixStore
	if address == "" {
		address = a.getenv("NIX_REMOTE")
	}
	at, err := daemon.ParseAddress(address, a.daemonSocket())
	if err != nil {
		return nil, err
	}
	b, err := a.openBuilderWith(ctx, date, caches)
	if err != nil {
		return nil, err
	}
	b.engine = daemon.New(daemon.Config{Address: at, Store: b.store, Local: b.engine, Getenv: a.getenv, Environ: os.Environ()})
	return b, nil
}

// daemonSocket is where the machine's Nix daemon listens, as Nix finds it.
func (a *app) daemonSocket() string {
	if s := a.getenv("NIX_DAEMON_SOCKET_PATH"); s != "" {
		return s
	}
	state := a.getenv("NIX_STATE_DIR")
	if state == "" {
		state = "/nix/var/nix"
	}
	return filepath.Join(state, "daemon-socket/socket")
}
