package rootfs_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"headwater/internal/dag"
	"headwater/internal/fetch"
	"headwater/internal/lock"
	"headwater/internal/pin"
	"headwater/internal/recipe"
	"headwater/internal/registry"
	"headwater/internal/rootfs"
	"headwater/internal/store"
)

var update = flag.Bool("update", false, "pin the packages of testdata/small.lock anew")

// small are the packages of a root in which a shell and awk run; it lacks most of what is essential, to be downloaded soon.
func small() []string {
	return strings.Fields(`base-files base-passwd bash bubblewrap coreutils dash debianutils hostname libacl1 libattr1 libc-bin libc6
		libcap2 libgcc-s1 libgmp10 libpcre2-8-0 libselinux1 libssl3t64 libsystemd0 libtinfo6 mawk`)
}

// network fetches from where this machine has Debian packages from, or the snapshot service at date.
func network(t *testing.T, date time.Time) (*pin.Network, *store.Store) {
	t.Helper()
	reg, err := registry.Open(registry.Machine{Env: os.Getenv, Home: os.Getenv("HOME"), Root: os.DirFS("/")}, registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	client := fetch.New(reg.At(date), fetch.Options{})
	t.Cleanup(func() { client.Close() })
	// The root is entered by other users than the one who made it, too.
	dir := filepath.Join(t.TempDir(), "store")
	if err := errors.Join(os.Mkdir(dir, 0o755), os.Chmod(filepath.Dir(dir), 0o755), os.Chmod(filepath.Dir(filepath.Dir(dir)), 0o755)); err != nil {
		t.Fatal(err)
	}
	s := openStore(t, dir)
	return &pin.Network{Store: s, Fetcher: client}, s
}

// TestRealRoot makes a root of Debian's packages, by pins, and runs programs in it as a build does.
func TestRealRoot(t *testing.T) {
	const file = "testdata/small.lock"
	if *update {
		updateLock(t, file)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	locked, err := lock.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	want := locked.Roots["small"]
	net, s := network(t, locked.Date)
	got, err := rootfs.Pin(t.Context(), rootfs.PinRequest{Name: "small", Packages: want.Packages, Archive: net, Store: s})
	if err != nil {
		t.Fatal(err)
	}
	if got != want.NARHash {
		t.Errorf("the root has hash %s, locked is %s: every lock that was made before has to be made again", got, want.NARHash)
	}
	node, err := rootfs.Node(new(dag.Maker), "small", lock.Root{NARHash: got, Packages: want.Packages})
	if err != nil {
		t.Fatal(err)
	}
	for name, attributes := range users() {
		t.Run(name, func(t *testing.T) {
			enter := entrance{root: s.RealPath(node.Path()), user: attributes}
			for _, tt := range []struct{ script, want string }{
				{"/usr/bin/env | cut -d= -f1 | sort", "HOME\nLANG\nPATH\nPWD\n"},
				{`echo $0; id -un; id -gn; hostname; pwd`, "sh\nbuild\nusers\nlocalhost\n/home/build\n"},
				{`awk 'BEGIN { print 1 + 1 }'`, "2\n"},
				{`readlink -f /bin/sh /usr/bin/awk /lib64/ld-linux-x86-64.so.2`, "/usr/bin/dash\n/usr/bin/mawk\n/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2\n"},
				{`/sbin/ldconfig -p | awk '$1 == "libc.so.6"'`, "\tlibc.so.6 (libc6,x86-64) => /usr/lib/x86_64-linux-gnu/libc.so.6\n"},
				{`getent hosts localhost | awk '{ print $2 }'`, "localhost\n"},
				{"locale charmap", "UTF-8\n"},
				{"touch /usr/x 2>/dev/null || echo read-only", "read-only\n"},
			} {
				if out, err := enter.run(t.Context(), tt.script); err != nil || out != tt.want {
					t.Errorf("%s: %q, %v; want %q", tt.script, out, err, tt.want)
				}
			}
		})
	}
}

// users are whom the root is entered by: this process's, and another without rights where this one may become it.
func users() map[string]*syscall.SysProcAttr {
	list := map[string]*syscall.SysProcAttr{"as this user": nil}
	if os.Getuid() == 0 {
		list["as nobody"] = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	return list
}

// entrance enters a root as dag.InRoot does: by the root's own loader and bubblewrap.
type entrance struct {
	root string
	user *syscall.SysProcAttr
}

func (e entrance) run(ctx context.Context, script string) (string, error) {
	lib := filepath.Join(e.root, "usr/lib/x86_64-linux-gnu")
	args := []string{"--library-path", lib, filepath.Join(e.root, "usr/bin/bwrap"), "--unshare-all", "--die-with-parent", "--uid", "1000", "--gid", "100", "--hostname", "localhost", "--clearenv"}
	args = append(args, "--ro-bind", filepath.Join(e.root, "usr"), "/usr", "--ro-bind", filepath.Join(e.root, "etc"), "/etc")
	for _, dir := range []string{"bin", "sbin", "lib", "lib64"} {
		args = append(args, "--symlink", "usr/"+dir, "/"+dir)
	}
	args = append(args, "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/home/build", "--chdir", "/home/build")
	args = append(args, "--setenv", "HOME", "/home/build", "--setenv", "LANG", "C.UTF-8", "--setenv", "PATH", "/usr/bin", "--", "sh", "-c", script)
	cmd := exec.CommandContext(ctx, filepath.Join(lib, "ld-linux-x86-64.so.2"), args...)
	cmd.SysProcAttr = e.user
	cmd.Dir = "/"
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%w: %s", err, stderr.String())
	}
	return stdout.String(), nil
}

// updateLock pins the newest packages that there are.
func updateLock(t *testing.T, file string) {
	t.Helper()
	now := time.Now().UTC().Truncate(time.Second)
	net, s := network(t, now)
	all, err := rootfs.NewResolver(rootfs.Options{Archive: net, At: now}).Resolve(t.Context(), recipe.Root{Suites: []string{"trixie"}})
	if err != nil {
		t.Fatal(err)
	}
	packages := slices.DeleteFunc(all, func(a lock.Artifact) bool { return !slices.Contains(small(), a.Name) })
	hash, err := rootfs.Pin(t.Context(), rootfs.PinRequest{Name: "small", Packages: packages, Archive: net, Store: s})
	if err != nil {
		t.Fatal(err)
	}
	f := lock.File{Date: now, Recipe: hash, Roots: map[string]lock.Root{"small": {NARHash: hash, Packages: packages}}}
	data, err := f.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, data, 0o644); err != nil {
		t.Fatal(err)
	}
}
