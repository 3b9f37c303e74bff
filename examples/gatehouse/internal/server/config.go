package server

import (
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
)

// Config is what the environment says. Paths are relative to the working directory.
type Config struct {
	Listen         string         `env:"GATEHOUSE_LISTEN" envDefault:"0.0.0.0:9000"`
	LogLevel       slog.Level     `env:"GATEHOUSE_LOG_LEVEL" envDefault:"info"`
	WebDir         string         `env:"GATEHOUSE_WEB_DIR" envDefault:"./web/dist"`
	BackendDir     string         `env:"GATEHOUSE_BACKEND_DIR" envDefault:"./backend"`
	Gunicorn       string         `env:"GATEHOUSE_GUNICORN" envDefault:"gunicorn"` // looked up on PATH
	ShutdownWait   time.Duration  `env:"GATEHOUSE_SHUTDOWN_WAIT" envDefault:"25s"`
	TrustedProxies []netip.Prefix `env:"GATEHOUSE_TRUSTED_PROXIES"` // whose X-Forwarded-* headers are believed
}

// ConfigFromEnv reads the environment. A variable that is set but empty counts as unset, as compose files leave them.
func ConfigFromEnv() (Config, error) {
	given := map[string]string{}
	for _, variable := range os.Environ() {
		if name, value, _ := strings.Cut(variable, "="); value != "" {
			given[name] = value
		}
	}
	config, err := env.ParseAsWithOptions[Config](env.Options{Environment: given})
	if err != nil {
		return Config{}, fmt.Errorf("read environment: %w", err)
	}
	return config, nil
}
