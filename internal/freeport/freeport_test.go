package freeport

import (
	"errors"
	"net"
	"syscall"
	"testing"
)

// Ports are of the range that is promised.
func TestGet(t *testing.T) {
	for range 1000 {
		port, err := Get()
		if err != nil || port < first || port >= end {
			t.Fatalf("port %d: %v", port, err)
		}
	}
}

// A port that is taken is not given; where all are, that is said.
func TestGetTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := l.Addr().(*net.TCPAddr).Port
	free, err := Get()
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	if port, err := get(func() int {
		if asked++; asked < 3 {
			return taken
		}
		return free
	}); err != nil || port != free || asked != 3 {
		t.Errorf("port %d after %d tries: %v", port, asked, err)
	}
	if port, err := get(func() int { return taken }); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("port %d: %v", port, err)
	}
}
