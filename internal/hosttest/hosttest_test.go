package hosttest_test

import (
	"context"
	"errors"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"headwater/internal/hosttest"
	"headwater/internal/lock"
	"headwater/internal/nix"
	"headwater/internal/recipe"
	"headwater/internal/rootfs"
	"headwater/internal/roottest"
)

var relock = flag.Bool("lock", false, "pin the machines' packages anew")

func TestMain(m *testing.M) {
	flag.Parse()
	if *relock {
		if err := pin(context.Background(), "testdata/headwater.lock"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// pin writes the lock.
func pin(ctx context.Context, name string) (err error) {
	now := time.Now().UTC().Truncate(time.Second)
	s, err := roottest.OpenStore(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	archive, closeArchive, err := roottest.Archive(s, now)
	if err != nil {
		return err
	}
	defer closeArchive()
	resolver := rootfs.NewResolver(rootfs.Options{Archive: archive, At: now})
	f := &lock.File{Format: lock.Format, Date: now, Recipe: nix.Sum(nix.SHA256, nil), Roots: map[string]lock.Root{}, Toolchains: map[string][]lock.Artifact{}, Components: map[string]lock.Component{}}
	for _, r := range []hosttest.Release{hosttest.Current, hosttest.Old} {
		want := recipe.Root{Suites: []string{string(r)}, Packages: []string{"nix-bin", "openssh-client", "openssh-server"}}
		packages, err := resolver.Resolve(ctx, want)
		if err != nil {
			return err
		}
		hash, err := rootfs.Pin(ctx, rootfs.PinRequest{Name: string(r), Packages: packages, Archive: archive, Store: s})
		if err != nil {
			return err
		}
		f.Roots[string(r)] = lock.Root{Suites: want.Suites, Wanted: want.Packages, NARHash: hash, Packages: packages}
	}
	data, err := f.Marshal()
	if err != nil {
		return err
	}
	if err := os.WriteFile(name+".new", data, 0o644); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
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
