package hosttest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"headwater/internal/freeport"
)

// sshd is the server's configuration. It runs as the machine's one user, so it can neither change users nor ask PAM, and
// the files it reads may belong to anybody outside of the machine.
const sshd = `ListenAddress 127.0.0.1:%d
HostKey /home/build/.ssh/host_key
AuthorizedKeysFile /home/build/.ssh/authorized_keys
AuthenticationMethods publickey
AllowUsers build
PidFile none
UsePAM no
StrictModes no
SetEnv %s
`

// client is how another machine's ssh finds this one, in the way people are advised to set it up.
const client = `Host %s
  HostName 127.0.0.1
  Port %d
  User build
  IdentityFile /home/build/.ssh/id_ed25519
  StrictHostKeyChecking yes
  ConnectTimeout 5
  ServerAliveInterval 2
  ServerAliveCountMax 2
`

// ServeSSH starts an ssh server on a free port of the loopback interface. The client machines may sign in, and know the
// server by its host key and its machine's name.
func (h *Host) ServeSSH(t testing.TB, clients ...*Host) {
	t.Helper()
	hostKey := h.key(t, "host_key")
	var authorized strings.Builder
	for _, c := range clients {
		authorized.WriteString(c.key(t, "id_ed25519") + "\n")
	}
	h.Write(t, "home/.ssh/authorized_keys", authorized.String())
	port := h.listen(t)
	for _, c := range clients {
		c.Append(t, "home/.ssh/config", fmt.Sprintf(client, h.Name, port))
		c.Append(t, "home/.ssh/known_hosts", fmt.Sprintf("[127.0.0.1]:%d %s\n", port, hostKey))
	}
}

// listen starts the server. A port that was free may be taken a moment later: then it is another one.
func (h *Host) listen(t testing.TB) int {
	t.Helper()
	for range 10 {
		port, err := freeport.Get()
		if err != nil {
			t.Fatal(err)
		}
		h.Write(t, "home/.ssh/sshd_config", fmt.Sprintf(sshd, port, strings.Join(environment(), " ")))
		p := h.Start(t, "/usr/sbin/sshd", "-D", "-e", "-f", "/home/build/.ssh/sshd_config")
		if p.Await(func(log string) bool { return strings.Contains(log, "Server listening") }) {
			return port
		}
		if !strings.Contains(p.Log(), "Address already in use") {
			t.Fatalf("%s: sshd: %v\n%s", h.Name, p.Wait(), p.Log())
		}
	}
	t.Fatalf("%s: sshd found no free port", h.Name)
	return 0
}

// key is the public half of a key of the machine's, which is made if there is none.
func (h *Host) key(t testing.TB, name string) string {
	t.Helper()
	file := filepath.Join(h.Dir, "home/.ssh", name)
	if _, err := os.Stat(file); errors.Is(err, os.ErrNotExist) {
		h.Run(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", "/home/build/.ssh/"+name)
	}
	b, err := os.ReadFile(file + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// Append adds lines to a file of the machine.
func (h *Host) Append(t testing.TB, name, lines string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(h.Dir, name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	h.Write(t, name, string(b)+lines)
}
