package hosttest_test

import (
	"context"
	"flag"
	"os"
	"strings"
	"testing"

	"headwater/internal/hosttest"
	"headwater/internal/roottest"
)

var relock = flag.Bool("lock", false, "pin the machines' packages anew")

func TestMain(m *testing.M) {
	flag.Parse()
	if *relock {
		packages := []string{"nix-bin", "openssh-client", "openssh-server"}
		if err := roottest.Pin(context.Background(), "testdata/headwater.lock", packages, string(hosttest.Current), string(hosttest.Old)); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// Each machine signs in to the other, whatever their releases, and what it finds there is that machine's own.
func TestMachinesReachOneAnother(t *testing.T) {
	old, current := hosttest.New(t, "old", hosttest.Old), hosttest.New(t, "current", hosttest.Current)
	old.ServeSSH(t, current)
	current.ServeSSH(t, old)
	for _, c := range []struct {
		from *hosttest.Host
		to   string
		want string
	}{{current, "old", "old nix (Nix) 2.8."}, {old, "current", "current nix (Nix) 2.26."}} {
		if got := c.from.Run(t, "ssh", c.to, "echo $HOSTNAME $(nix --version)"); !strings.HasPrefix(got, c.want) {
			t.Errorf("over ssh %q, want %q", got, c.want)
		}
	}
}

// What Kill kills is gone, and who was connected is told.
func TestKill(t *testing.T) {
	server, client := hosttest.New(t, "server", hosttest.Current), hosttest.New(t, "client", hosttest.Current)
	server.ServeSSH(t, client)
	p := client.Start(t, "ssh", "server", "echo begun; exec sleep 3600")
	if !p.Await(func(log string) bool { return strings.Contains(log, "begun") }) {
		t.Fatalf("ssh: %v\n%s", p.Wait(), p.Log())
	}
	server.Kill(t)
	if err := p.Wait(); err == nil {
		t.Error("the session ended as if nothing had happened")
	}
	if out, err := client.Command(t.Context(), "ssh", "server", "true").CombinedOutput(); err == nil || !strings.Contains(string(out), "Connection refused") {
		t.Errorf("after the kill: %v\n%s", err, out)
	}
}
