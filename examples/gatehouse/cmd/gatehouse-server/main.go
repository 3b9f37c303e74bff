// Command gatehouse-server serves Gatehouse's web UI and health endpoints, runs the backend as its child, and passes on to
// it what is not its own. It is started with its working directory where web/dist and backend are.
//
//	gatehouse-server                serve until SIGTERM or SIGINT
//	gatehouse-server healthcheck    ask a running server whether it is ready; exit code 1 if not
//	gatehouse-server version
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"gatehouse.example/gatehouse/internal/server"
)

// version is stamped by the linker: -X main.version=1.4.0.
var version = "development"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "gatehouse-server:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	config, err := server.ConfigFromEnv()
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: config.LogLevel}))
	switch {
	case len(args) == 0:
		return server.Run(ctx, config, version, log)
	case len(args) == 1 && args[0] == "healthcheck":
		return server.CheckHealth(ctx, config)
	case len(args) == 1 && args[0] == "version":
		fmt.Println(version)
		return nil
	}
	return fmt.Errorf("unknown arguments %q: there are healthcheck and version", args)
}
