package server_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"gatehouse.example/gatehouse/internal/server"
)

func TestConfigFromEnv(t *testing.T) {
	t.Setenv("GATEHOUSE_LISTEN", "")
	t.Setenv("GATEHOUSE_TRUSTED_PROXIES", "10.0.0.0/8,::1/128")
	config, err := server.ConfigFromEnv()
	if err != nil {
		t.Fatal(err)
	}
	if config.Listen != "0.0.0.0:9000" {
		t.Errorf("an empty GATEHOUSE_LISTEN gives %q", config.Listen)
	}
	want := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	if !slices.Equal(config.TrustedProxies, want) {
		t.Errorf("got %v, want %v", config.TrustedProxies, want)
	}
}

func TestNonsenseIsRefused(t *testing.T) {
	t.Setenv("GATEHOUSE_TRUSTED_PROXIES", "everybody")
	if _, err := server.ConfigFromEnv(); err == nil || !strings.Contains(err.Error(), "TrustedProxies") {
		t.Errorf("got %v", err)
	}
}
