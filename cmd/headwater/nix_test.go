package main

import (
	"bytes"
	"errors"
	"os/exec"
	"strings"
	"testing"
)

// Where a build cannot go to a Nix daemon, the command says why and what to do, and its exit code says whose fault it is.
func TestEngineNixSaysWhatIsWrong(t *testing.T) {
	const example = "../../examples/hello"
	for _, c := range []struct {
		args []string
		exit int
		want string
	}{
		{[]string{"--engine", "nix", "--nix-store", "unix:///nonexistent"}, exitEnvironment, "hint: no Nix daemon listens there"},
		{[]string{"--engine", "nix", "--nix-store", "local?root=/nonexistent&daemon=/nonexistent"}, exitEnvironment, "hint: install Nix"},
		{[]string{"--engine", "nix"}, exitEnvironment, "/nonexistent/daemon-socket/socket"},
		{[]string{"--engine", "nix", "--nix-store", "ftp://host.example"}, exitInput, "hint: an address is"},
		{[]string{"--nix-store", "daemon"}, exitInput, "--nix-store needs --engine nix"},
		{[]string{"--engine", "docker"}, exitInput, `unknown engine "docker"`},
	} {
		cmd := headwater(t.Context(), t, append([]string{"--store", t.TempDir(), "build", example}, c.args...)...)
		cmd.Env = append(cmd.Environ(), "NIX_REMOTE=", "NIX_DAEMON_SOCKET_PATH=", "NIX_STATE_DIR=/nonexistent")
		var said bytes.Buffer
		cmd.Stderr = &said
		var exit *exec.ExitError
		if err := cmd.Run(); !errors.As(err, &exit) || exit.ExitCode() != c.exit || !strings.Contains(said.String(), c.want) {
			t.Errorf("%v: %v, want %d and %q in %s", c.args, err, c.exit, c.want, &said)
		}
	}
}
