package hosttest

import (
	"net"
	"path/filepath"
	"testing"
	"time"
)

// ServeNix starts the machine's Nix daemon, and returns its socket once it listens there. Outside of the machine, the daemon
// takes whoever may use the socket for the machine's one user.
func (h *Host) ServeNix(t testing.TB) (socket string) {
	t.Helper()
	socket = filepath.Join(h.Dir, "nix/var/nix/daemon-socket/socket")
	p := h.Start(t, "nix-daemon")
	if !p.Await(func(string) bool {
		conn, err := net.DialTimeout("unix", socket, time.Second)
		return err == nil && conn.Close() == nil
	}) {
		t.Fatalf("%s: nix-daemon: %v\n%s", h.Name, p.Wait(), p.Log())
	}
	return socket
}
