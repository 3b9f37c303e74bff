package backend

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"gatehouse.example/gatehouse/internal/api"
)

// Client asks the backend about itself, through the client that is generated from schema.yml.
type Client struct {
	api     *api.APIClient
	version string
	log     *slog.Logger
	warn    sync.Once
}

// NewClient returns a client for the backend at socket. version is the server's own.
func NewClient(socket, version string, log *slog.Logger) *Client {
	config := api.NewConfiguration()
	// The socket is the address; the name only has to be one that the backend lets through.
	config.Servers = api.ServerConfigurations{{URL: "http://localhost"}}
	config.UserAgent = "gatehouse-server/" + version
	config.HTTPClient = &http.Client{Transport: transport(socket), Timeout: 5 * time.Second}
	return &Client{api: api.NewAPIClient(config), version: version, log: log}
}

// Ready returns nil if the backend can do its work, else why it cannot.
func (c *Client) Ready(ctx context.Context) error {
	status, response, err := c.api.StatusAPI.StatusRetrieve(ctx).Execute()
	if err != nil {
		var answered *api.GenericOpenAPIError
		if response == nil || !errors.As(err, &answered) {
			return errors.New("the backend does not answer yet")
		}
		failed, ok := answered.Model().(api.Status)
		if !ok {
			return fmt.Errorf("the backend answers %s", response.Status)
		}
		status = &failed
	}
	switch {
	case !status.Database:
		return errors.New("the database does not answer")
	case !status.Migrated:
		return errors.New("the database is not migrated: run gatehouse migrate")
	}
	if status.Version != c.version {
		c.warn.Do(func() {
			c.log.Warn("server and backend are of different versions", "server", c.version, "backend", status.Version)
		})
	}
	return nil
}

func transport(socket string) *http.Transport {
	var dialer net.Dialer
	return &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", socket)
		},
		MaxIdleConnsPerHost:   16,
		IdleConnTimeout:       time.Minute,
		ResponseHeaderTimeout: time.Minute,
		DisableCompression:    true,
	}
}
