package run

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"headwater/internal/dag"
	"headwater/internal/recipe"
)

// server is a PostgreSQL server in its root.
type server struct {
	root string // where the root really is
	bin  string // folder of the server's programs, inside the root
	dir  string // its folder in the state: data/, run/ and the password
	port int
}

// usualPort is where a PostgreSQL server is looked for by who is told no port (PostgreSQL, "libpq, Parameter Key Words", port).
const usualPort = 5432

// usual tells whether a service's port has to be the usual one, since the recipe hands none on.
func usual(s recipe.Service) bool {
	for _, v := range s.Env {
		named := false
		os.Expand(v, func(name string) string { named = named || name == "port"; return "" })
		if named {
			return false
		}
	}
	return true
}

// startPostgreSQL starts a server on a free loopback port, or on the usual one where the recipe does not hand the port on, makes the database on first use, and adds what the recipe asks
// for to the service's environment.
func (r *Runner) startPostgreSQL(ctx context.Context, name string, s recipe.Service) error {
	bins, err := filepath.Glob(r.Roots[s.Root] + "/usr/lib/postgresql/*/bin/postgres")
	if err != nil || len(bins) != 1 {
		return errors.Join(fmt.Errorf("root %s has %d PostgreSQL servers, want one", s.Root, len(bins)), err)
	}
	port := usualPort
	if !usual(s) {
		if port, err = freePort(); err != nil {
			return err
		}
	}
	pg := server{root: r.Roots[s.Root], bin: strings.TrimPrefix(filepath.Dir(bins[0]), r.Roots[s.Root]),
		dir: filepath.Join(r.State, "services", name), port: port}
	password, err := r.secret(name + "-password")
	if err != nil {
		return err
	}
	if err := pg.init(ctx, password); err != nil {
		return err
	}
	p, err := r.spawnInside(ctx, name, pg.inside("postgres", "-D", "/var/lib/postgresql/data", "-c", "listen_addresses=127.0.0.1",
		"-c", "port="+strconv.Itoa(port), "-c", "unix_socket_directories=/run/postgresql"), syscall.SIGINT)
	if err != nil {
		return err
	}
	if err := pg.ready(ctx, p); err != nil {
		return err
	}
	if err := pg.createDatabase(ctx, password); err != nil {
		return err
	}
	r.servers[name] = pg
	values := map[string]string{"host": "127.0.0.1", "port": strconv.Itoa(port), "user": superuser, "password": password, "database": database}
	for _, k := range slices.Sorted(maps.Keys(s.Env)) {
		r.env[k] = os.Expand(s.Env[k], func(v string) string { return values[v] })
	}
	return nil
}

// The names in a server that is there for one service alone.
const (
	superuser = "app"
	database  = "app"
)

// inside is a command of the server's in its root: the root's own loader starts its bubblewrap, as for builds.
func (s server) inside(program string, args ...string) *exec.Cmd {
	lib := s.root + dag.LibDir
	argv := []string{
		"--library-path", lib, s.root + "/usr/bin/bwrap", "--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts",
		"--as-pid-1", "--die-with-parent", "--uid", "1000", "--gid", "1000", "--clearenv", "--setenv", "PATH", s.bin + ":/usr/bin",
		"--setenv", "LANG", "C.UTF-8", "--setenv", "PGPASSFILE", "/run/postgresql/pgpass", "--ro-bind", s.root + "/usr", "/usr", "--ro-bind", s.root + "/etc", "/etc",
		"--symlink", "usr/bin", "/bin", "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64",
		"--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--bind", s.dir + "/data", "/var/lib/postgresql/data",
		"--bind", s.dir + "/run", "/run/postgresql", "--", s.bin + "/" + program,
	}
	cmd := exec.Command(lib+"/ld-linux-x86-64.so.2", append(argv, args...)...)
	cmd.Env = []string{} // not even LD_PRELOAD
	return cmd
}

// once runs a command of the server's to its end. What it prints is told with an error.
func (s server) once(ctx context.Context, cmd *exec.Cmd) error {
	var out bytes.Buffer
	if cmd.Stdout == nil {
		cmd.Stdout = &out
	}
	cmd.Stderr = &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })()
	if err := cmd.Wait(); err != nil {
		return errors.Join(ctx.Err(), fmt.Errorf("%w\n%s", err, out.String()))
	}
	return nil
}

// init makes the server's data folder on first use. Where it did not get to its end, the next run starts over.
func (s server) init(ctx context.Context, password string) error {
	if _, err := os.Stat(filepath.Join(s.dir, "initialised")); err == nil {
		return nil
	}
	if err := os.RemoveAll(filepath.Join(s.dir, "data")); err != nil {
		return fmt.Errorf("make database: %w", err)
	}
	for _, d := range []string{"data", "run"} {
		if err := os.MkdirAll(filepath.Join(s.dir, d), 0o700); err != nil {
			return fmt.Errorf("make database: %w", err)
		}
	}
	cmd := s.inside("initdb", "-D", "/var/lib/postgresql/data", "-U", superuser, "-E", "UTF8", "--locale=C.UTF-8",
		"--auth=scram-sha-256", "--pwfile=/dev/stdin")
	cmd.Stdin = strings.NewReader(password + "\n")
	if err := s.once(ctx, cmd); err != nil {
		return fmt.Errorf("make database: initdb: %w", err)
	}
	return nil
}

// createDatabase makes the service's database and notes that the server is complete.
func (s server) createDatabase(ctx context.Context, password string) error {
	done := filepath.Join(s.dir, "initialised")
	if _, err := os.Stat(done); err == nil {
		return nil
	}
	// Arguments can be seen by others, so the password goes by a file, which the server's programs are told of.
	line := fmt.Sprintf("*:*:*:%s:%s\n", superuser, password)
	if err := os.WriteFile(filepath.Join(s.dir, "run", "pgpass"), []byte(line), 0o600); err != nil {
		return fmt.Errorf("make database: %w", err)
	}
	if err := s.once(ctx, s.inside("createdb", "-h", "/run/postgresql", "-p", strconv.Itoa(s.port), "-U", superuser, database)); err != nil {
		return fmt.Errorf("make database: createdb: %w", err)
	}
	return os.WriteFile(done, nil, 0o600)
}

// Schema is what the service's database looks like, without its data: SQL by pg_dump, the same for the same tables.
func (r *Runner) Schema(ctx context.Context, name string) (string, error) {
	s, ok := r.servers[name]
	if !ok {
		return "", fmt.Errorf("look at the database %s: it does not run", name)
	}
	var out bytes.Buffer
	cmd := s.inside("pg_dump", "--schema-only", "--no-owner", "-h", "/run/postgresql", "-p", strconv.Itoa(s.port), "-U", superuser, database)
	cmd.Stdout = &out
	if err := s.once(ctx, cmd); err != nil {
		return "", fmt.Errorf("look at the database %s: %w", name, err)
	}
	var b strings.Builder
	for line := range strings.Lines(out.String()) {
		// These hold a random word, against what a database may smuggle into psql.
		if !strings.HasPrefix(line, `\restrict `) && !strings.HasPrefix(line, `\unrestrict `) {
			b.WriteString(line)
		}
	}
	return b.String(), nil
}

// ready waits until the server answers.
func (s server) ready(ctx context.Context, p *process) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		err := s.once(ctx, s.inside("pg_isready", "-q", "-h", "127.0.0.1", "-p", strconv.Itoa(s.port)))
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("ended before it was ready: %w\n%s", p.err, p.tail())
		case <-ctx.Done():
			return fmt.Errorf("is not ready: %w\n%s", err, p.tail())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// spawnInside spawns a bubblewrap command whose signals must go to the process inside: bubblewrap itself would just die.
func (r *Runner) spawnInside(ctx context.Context, name string, cmd *exec.Cmd, stop syscall.Signal) (*process, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer read.Close()
	cmd.ExtraFiles = []*os.File{write}
	cmd.Args = slices.Insert(cmd.Args, slices.Index(cmd.Args, "--"), "--info-fd", "3")
	p, err := r.spawn(ctx, &process{name: name, cmd: cmd, signal: stop})
	if err := errors.Join(err, write.Close()); err != nil {
		return nil, err
	}
	var info struct {
		ChildPID int `json:"child-pid"`
	}
	if err := json.NewDecoder(io.LimitReader(read, 4096)).Decode(&info); err != nil {
		<-p.done
		return nil, fmt.Errorf("start %s: %w\n%s", name, errors.Join(err, p.err), p.tail())
	}
	p.target = info.ChildPID
	return p, nil
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
