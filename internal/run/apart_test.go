package run_test

import (
	"errors"
	"net"
	"strings"
	"syscall"
	"testing"

	"headwater/internal/recipe"
	"headwater/internal/run"
)

// A service that is told its port may be anywhere; one that is not needs the usual one, and a room where that is taken.
func TestNeedsRoom(t *testing.T) {
	with := func(port int, env string) *recipe.Recipe {
		return &recipe.Recipe{
			Package:  recipe.Package{Processes: map[string]recipe.Process{"web": {Port: port}, "worker": {}}},
			Services: map[string]recipe.Service{"db": {Kind: "postgresql", Env: map[string]string{"DB": env}}},
		}
	}
	taken, err := net.Listen("tcp", "127.0.0.1:5432")
	if err != nil && !errors.Is(err, syscall.EADDRINUSE) { // by somebody else is as good
		t.Fatal(err)
	}
	if err == nil {
		defer taken.Close()
	}
	for _, c := range []struct {
		port int
		env  string
		want string
	}{
		{8080, "postgresql://${user}@${host}:${port}/x", ""},
		{80, "postgresql://${user}@${host}:${port}/x", "web listens on port 80"},
		{8080, "${host}", "its usual one, 5432, is taken"},
	} {
		if got := run.NeedsRoom(with(c.port, c.env), 1024); !strings.Contains(got, c.want) || got != "" && c.want == "" {
			t.Errorf("port %d and %s: %q, want %q", c.port, c.env, got, c.want)
		}
	}
	cache := with(8080, "${host}:${port}")
	cache.Services["db"] = recipe.Service{Kind: "redis", Env: cache.Services["db"].Env}
	if got := run.NeedsRoom(cache, 1024); !strings.Contains(got, "hands no password of db on") {
		t.Errorf("a service without a password: %q", got)
	}
}
