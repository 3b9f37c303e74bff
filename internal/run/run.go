// Package run starts a built package with the services it needs, waits until it is healthy, and stops all of it again.
//
// Services come out of pinned roots. Everything listens on loopback. What must outlive a run (data, secrets, logs) is kept
// in one state folder; a run leaves no process behind.
package run

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"headwater/internal/event"
	"headwater/internal/recipe"
)

// Config says what to run.
type Config struct {
	Recipe   *recipe.Recipe
	Launcher string            // the package's launcher, where it really is
	Roots    map[string]string // services' roots, where they really are, by the recipe's name
	State    string            // folder for what is kept; created with mode 0700
	Env      []string          // environment that is handed on to the service, NAME=value; PATH is for the launcher itself
	Logs     io.Writer         // what the processes print, each line with the process's name in front
	Events   event.Sink
	Ready    func(Service) // called once everything is healthy
	Wait     time.Duration // how long to wait for each health check; 0 means two minutes
}

// Service is what is told about a running service.
type Service struct {
	Addresses map[string]string // of processes that listen: http://127.0.0.1:9000, by process name
	SignIn    string            // how to sign in, "" if the recipe does not say
}

// stopTime is how long a process may take to end once it was asked to.
const stopTime = 20 * time.Second

// Run starts everything, calls Ready, and blocks until ctx is done or a process ends by itself, which is an error. It
// returns when all processes are gone.
func Run(ctx context.Context, c Config) (err error) {
	if c.Wait == 0 {
		c.Wait = 2 * time.Minute
	}
	if err := os.MkdirAll(c.State, 0o700); err != nil {
		return fmt.Errorf("run %s: %w", c.Recipe.Name, err)
	}
	r := &runner{Config: c, env: map[string]string{}, ended: make(chan ended, len(c.Recipe.Services)+len(c.Recipe.Package.Processes)+1)}
	// Processes are stopped after those that were started later.
	defer func() {
		for _, p := range slices.Backward(r.running) {
			err = errors.Join(err, p.stop(stopTime))
		}
	}()
	if err := r.start(ctx); err != nil {
		return fmt.Errorf("run %s: %w", c.Recipe.Name, err)
	}
	c.Ready(r.service())
	select {
	case <-ctx.Done():
		return nil
	case e := <-r.ended:
		return fmt.Errorf("run %s: %w", c.Recipe.Name, r.endedError(e))
	}
}

// EndedError says that a process ended that should not have.
type EndedError struct {
	Process string
	Cause   error  // nil if it ended with 0
	Log     string // path of its whole log
	Tail    string // the end of it
}

func (e *EndedError) Error() string {
	how := "ended"
	if e.Cause != nil {
		how += ": " + e.Cause.Error()
	}
	return fmt.Sprintf("%s %s; the whole log: %s\n%s", e.Process, how, e.Log, e.Tail)
}

// Unwrap gives the cause.
func (e *EndedError) Unwrap() error { return e.Cause }

func (r *runner) endedError(e ended) error {
	return &EndedError{Process: e.name, Cause: e.err, Log: r.logPath(e.name), Tail: r.tailOf(e.name)}
}

// UnhealthyError says that a process did not get healthy in time.
type UnhealthyError struct {
	Process, URL string
	Cause        error // of the last try
	Log, Tail    string
}

func (e *UnhealthyError) Error() string {
	return fmt.Sprintf("%s is not healthy: GET %s: %v; the whole log: %s\n%s", e.Process, e.URL, e.Cause, e.Log, e.Tail)
}

// Unwrap gives the cause.
func (e *UnhealthyError) Unwrap() error { return e.Cause }

type runner struct {
	Config
	env     map[string]string // of the service's processes
	running []*process
	ended   chan ended
}

type ended struct {
	name string
	err  error
}

func (r *runner) start(ctx context.Context) error {
	if err := r.checkPorts(); err != nil {
		return err
	}
	maps.Copy(r.env, environment(r.Env))
	if err := r.secrets(); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(r.Recipe.Services)) {
		r.tell("starting " + name)
		if err := r.startPostgreSQL(ctx, name, r.Recipe.Services[name]); err != nil {
			return fmt.Errorf("service %s: %w", name, err)
		}
	}
	if m := r.Recipe.Package.Migrate; len(m) > 0 {
		r.tell("running migrations")
		if err := r.migrate(ctx, m); err != nil {
			return err
		}
	}
	processes := r.Recipe.Package.Processes
	for _, name := range slices.Sorted(maps.Keys(processes)) {
		r.tell("starting " + name)
		if _, err := r.launch(ctx, name, processes[name].Args); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(processes)) {
		if err := r.healthy(ctx, name, processes[name]); err != nil {
			return err
		}
	}
	return nil
}

func (r *runner) tell(text string) { r.Events(event.Message{Text: text}) }

// checkPorts sees to it that what answers later is our process, not one that was there before.
func (r *runner) checkPorts() error {
	for _, name := range slices.Sorted(maps.Keys(r.Recipe.Package.Processes)) {
		port := r.Recipe.Package.Processes[name].Port
		if port == 0 {
			continue
		}
		l, err := net.Listen("tcp", ":"+strconv.Itoa(port))
		if err != nil {
			return &PortError{Process: name, Port: port, Cause: err}
		}
		if err := l.Close(); err != nil {
			return err
		}
	}
	return nil
}

// PortError says that a port that a process is to listen on is taken.
type PortError struct {
	Process string
	Port    int
	Cause   error
}

func (e *PortError) Error() string {
	return fmt.Sprintf("process %s needs TCP port %d: %v", e.Process, e.Port, e.Cause)
}

// Unwrap gives the cause.
func (e *PortError) Unwrap() error { return e.Cause }

// Hint says what to do.
func (e *PortError) Hint() string {
	return fmt.Sprintf("see what has it with: ss -ltnp 'sport = :%d'; end that, or change the port in the recipe", e.Port)
}

// migrate runs the launcher to its end.
func (r *runner) migrate(ctx context.Context, args []string) error {
	p, err := r.launch(ctx, "migrate", args)
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-p.done:
	}
	if e := <-r.ended; e.err != nil || e.name != p.name {
		return r.endedError(e)
	}
	r.running = slices.DeleteFunc(r.running, func(q *process) bool { return p == q })
	return nil
}

// launch starts the package's launcher with args.
func (r *runner) launch(ctx context.Context, name string, args []string) (*process, error) {
	cmd := exec.Command(r.Launcher, args...)
	cmd.Env = append(list(r.env), "HEADWATER_STATE="+filepath.Join(r.State, "volumes"))
	return r.spawn(ctx, name, cmd, syscall.SIGTERM)
}

// healthy waits until the process's health check answers 2xx.
func (r *runner) healthy(ctx context.Context, name string, p recipe.Process) error {
	if p.Health == "" {
		return nil
	}
	url := address(p) + p.Health
	ctx, cancel := context.WithTimeout(ctx, r.Wait)
	defer cancel()
	client := &http.Client{Timeout: 5 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	var last error
	for {
		if last = probe(ctx, client, url); last == nil {
			return nil
		}
		select {
		case e := <-r.ended:
			return r.endedError(e)
		case <-ctx.Done():
			return &UnhealthyError{Process: name, URL: url, Cause: last, Log: r.logPath(name), Tail: r.tailOf(name)}
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func probe(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("answers %s", res.Status)
	}
	return nil
}

func address(p recipe.Process) string { return "http://127.0.0.1:" + strconv.Itoa(p.Port) }

func (r *runner) service() Service {
	s := Service{Addresses: map[string]string{}}
	for name, p := range r.Recipe.Package.Processes {
		if p.Port != 0 {
			s.Addresses[name] = address(p)
		}
	}
	vars := maps.Clone(r.Recipe.Package.Env)
	if vars == nil {
		vars = map[string]string{}
	}
	maps.Copy(vars, r.env)
	s.SignIn = os.Expand(r.Recipe.Package.SignIn, func(k string) string { return vars[k] })
	return s
}

func (r *runner) logPath(name string) string { return filepath.Join(r.State, "log", name+".log") }

func (r *runner) tailOf(name string) string {
	for _, p := range r.running {
		if p.name == name {
			return p.tail()
		}
	}
	return ""
}

func environment(list []string) map[string]string {
	m := map[string]string{}
	for _, kv := range list {
		if k, v, ok := strings.Cut(kv, "="); ok {
			m[k] = v
		}
	}
	return m
}

func list(env map[string]string) []string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(env)) {
		out = append(out, k+"="+env[k])
	}
	return out
}
