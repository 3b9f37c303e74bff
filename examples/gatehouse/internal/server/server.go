// Package server puts the pieces together: the web UI, the backend behind its proxy, health and metrics.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"

	"gatehouse.example/gatehouse/internal/backend"
	"gatehouse.example/gatehouse/internal/web"
)

// Run serves until ctx ends, then lets requests finish and stops the backend. It returns an error if the server could not
// start or the backend could not be kept alive.
func Run(ctx context.Context, config Config, version string, log *slog.Logger) error {
	ui, err := web.New(config.WebDir)
	if err != nil {
		return err
	}
	metrics := newMetrics(version)
	process, err := backend.Prepare(backend.Options{
		Command:  []string{config.Gunicorn, "--config", "gunicorn.conf.py"},
		Dir:      config.BackendDir,
		StopWait: config.ShutdownWait,
		Log:      log,
		Started:  metrics.backendStarts.Inc,
	})
	if err != nil {
		return err
	}
	defer process.Close()

	listener, err := net.Listen("tcp", config.Listen)
	if err != nil {
		return err
	}
	client := backend.NewClient(process.Socket(), version, log)
	proxy := backend.NewProxy(process.Socket(), config.TrustedProxies, log)
	server := &http.Server{
		Handler:           routes(ui, proxy, client, metrics),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	log.Info("serving", "address", listener.Addr().String(), "version", version)

	// The backend outlives the requests that are under way: its context ends only when the server has shut down.
	backendCtx, stopBackend := context.WithCancel(context.WithoutCancel(ctx))
	defer stopBackend()
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error { return process.Run(backendCtx) })
	group.Go(func() error {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve: %w", err)
		}
		return nil
	})
	group.Go(func() error {
		defer stopBackend()
		<-groupCtx.Done()
		log.Info("stopping")
		waitCtx, cancel := context.WithTimeout(context.WithoutCancel(groupCtx), config.ShutdownWait)
		defer cancel()
		return server.Shutdown(waitCtx)
	})
	return group.Wait()
}

func routes(ui http.Handler, proxy http.Handler, client *backend.Client, metrics *metrics) http.Handler {
	router := chi.NewRouter()
	router.Use(middleware.Recoverer)
	router.Route("/-", func(own chi.Router) {
		own.Get("/health/live", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
		own.Get("/health/ready", ready(client))
		own.Method(http.MethodGet, "/metrics", promhttp.HandlerFor(metrics.registry, promhttp.HandlerOpts{}))
	})
	router.Group(func(proxied chi.Router) {
		proxied.Use(metrics.count("backend"))
		for _, pattern := range []string{"/api/*", "/oauth2/*", "/.well-known/*"} {
			proxied.Handle(pattern, proxy)
		}
	})
	router.With(metrics.count("web"), middleware.Compress(5)).Handle("/*", ui)
	return router
}

// ready answers 204 once the backend has its database and its tables, 503 with the reason before.
func ready(client *backend.Client) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		if err := client.Ready(r.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}
}
