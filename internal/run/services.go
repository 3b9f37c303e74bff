package run

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"headwater/internal/dag"
	"headwater/internal/freeport"
	"headwater/internal/recipe"
	"headwater/internal/service"
)

// server is a service's server in its root.
type server struct {
	service.Server
	root string // where the root really is
	dir  string // its folder in the state: data/, run/ and a note that all was made
}

// startService starts a server on a free loopback port, or on the usual one where the recipe does not hand the port on, makes on first use
// what there is to make, and adds what the recipe asks for to the package's environment.
func (r *Runner) startService(ctx context.Context, name string, s recipe.Service) error {
	kind, ok := service.Find(s.Kind)
	if !ok {
		return fmt.Errorf("kind %q is not known", s.Kind)
	}
	facts := kind.Facts()
	i := service.Instance{Root: r.Roots[s.Root], Port: facts.Port}
	var err error
	if service.Hands(s.Env, service.Port) {
		if i.Port, err = freeport.Get(); err != nil {
			return err
		}
	}
	if !facts.Open || service.Hands(s.Env, service.Password) {
		if i.Password, err = r.secret(name + "-password"); err != nil {
			return err
		}
	}
	made, err := kind.Server(i)
	if err != nil {
		return err
	}
	v := server{Server: made, root: i.Root, dir: filepath.Join(r.State, "services", name)}
	if err := v.prepare(ctx); err != nil {
		return fmt.Errorf("make its data: %w", err)
	}
	p, err := r.spawnInside(ctx, name, v.command(v.Run), v.Stop)
	if err != nil {
		return err
	}
	if err := v.ready(ctx, p); err != nil {
		return err
	}
	if err := v.complete(ctx); err != nil {
		return fmt.Errorf("make its data: %w", err)
	}
	r.servers[name] = v
	values := map[string]string{service.Host: "127.0.0.1", service.Port: strconv.Itoa(i.Port), service.Password: i.Password}
	maps.Copy(values, v.Values)
	for _, k := range slices.Sorted(maps.Keys(s.Env)) {
		r.env[k] = os.Expand(s.Env[k], func(name string) string { return values[name] })
	}
	return nil
}

// command is a command of the server's in its root: the root's own loader starts its bubblewrap, as for builds.
func (s server) command(c service.Command) *exec.Cmd {
	lib := s.root + dag.LibDir
	argv := []string{
		"--library-path", lib, s.root + "/usr/bin/bwrap", "--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts",
		"--as-pid-1", "--die-with-parent", "--uid", "1000", "--gid", "1000",
		"--ro-bind", s.root + "/usr", "/usr", "--ro-bind", s.root + "/etc", "/etc",
		"--symlink", "usr/bin", "/bin", "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64",
		"--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--bind", s.dir + "/data", service.DataDir,
		"--bind", s.dir + "/run", service.RunDir, "--remount-ro", "/", "--", c.Program,
	}
	cmd := exec.Command(lib+"/ld-linux-x86-64.so.2", append(argv, c.Args...)...)
	cmd.Env = append([]string{"PATH=" + s.Path, "LANG=C.UTF-8"}, c.Env...) // and not even LD_PRELOAD
	if c.Stdin != "" {
		cmd.Stdin = strings.NewReader(c.Stdin)
	}
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

// all runs commands one after another.
func (s server) all(ctx context.Context, list []service.Command) error {
	for _, c := range list {
		if err := s.once(ctx, s.command(c)); err != nil {
			return fmt.Errorf("%s: %w", c.Program, err)
		}
	}
	return nil
}

// note is there once all was made that is made on first use.
func (s server) note() string { return filepath.Join(s.dir, "initialised") }

func (s server) made() bool {
	_, err := os.Stat(s.note())
	return err == nil
}

// prepare writes the server's files, and makes its data on first use. Where that did not get to its end, the next run starts over.
func (s server) prepare(ctx context.Context) error {
	made := s.made()
	if !made {
		if err := os.RemoveAll(filepath.Join(s.dir, "data")); err != nil {
			return err
		}
	}
	for _, d := range []string{"data", "run"} {
		if err := os.MkdirAll(filepath.Join(s.dir, d), 0o700); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Files)) {
		if err := os.WriteFile(filepath.Join(s.dir, "run", name), []byte(s.Files[name]), 0o600); err != nil {
			return err
		}
	}
	if made {
		return nil
	}
	return s.all(ctx, s.Init)
}

// complete makes what a server that runs has to make, on first use, and notes that the server is complete.
func (s server) complete(ctx context.Context) error {
	if s.made() {
		return nil
	}
	if err := s.all(ctx, s.Create); err != nil {
		return err
	}
	return os.WriteFile(s.note(), nil, 0o600)
}

// Shape is what a service's data look like, without the data themselves: the same text for the same tables; "" where data have no shape.
func (r *Runner) Shape(ctx context.Context, name string) (string, error) {
	s, ok := r.servers[name]
	if !ok {
		return "", fmt.Errorf("look at the tables of %s: it does not run", name)
	}
	if s.Server.Shape == nil {
		return "", nil
	}
	var out bytes.Buffer
	cmd := s.command(*s.Server.Shape)
	cmd.Stdout = &out
	if err := s.once(ctx, cmd); err != nil {
		return "", fmt.Errorf("look at the tables of %s: %w", name, err)
	}
	var b strings.Builder
	for line := range strings.Lines(out.String()) {
		if s.Noise == nil || !s.Noise.MatchString(line) {
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
		err := s.once(ctx, s.command(s.Ready))
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
