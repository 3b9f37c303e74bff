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
	"sync"
	"syscall"
	"time"

	"headwater/internal/event"
	"headwater/internal/recipe"
	"headwater/internal/sandbox"
)

// Config says what to run.
type Config struct {
	Recipe   *recipe.Recipe
	Launcher string            // the package's launcher, where it really is
	Roots    map[string]string // services' roots, where they really are, by the recipe's name
	Store    string            // folder of the store that launcher and roots are in; "" means that everybody may enter it
	State    string            // folder for what is kept, by an absolute path; created with mode 0700
	Env      []string          // environment that is handed on to the service, NAME=value; PATH is for the launcher itself
	Logs     io.Writer         // what the processes print, each line with the process's name in front
	Events   event.Sink
	Ready    func(Service) // called once everything is healthy
	Wait     time.Duration // how long to wait for each health check; 0 means two minutes
	StopWait time.Duration // how long a process may take to end once it was asked to; 0 means stopTime
	Volumes  string        // folder of the package's volumes; "" means volumes in State
	LogDir   string        // folder of the processes' logs; "" means log in State
	LogLimit int64         // bytes that one process may print; 0 means no limit
}

// Service is what is told about a running service.
type Service struct {
	Addresses map[string]string // of processes that listen: http://127.0.0.1:9000, by process name
	SignIn    string            // how to sign in, "" if the recipe does not say
}

// stopTime is how long a process may take to end once it was asked to.
const stopTime = 20 * time.Second

// Run starts everything, calls Ready, and blocks until ctx is done or a process ends by itself, which is an error. It
// returns when all processes are gone. Where the caller is root, all is run as a user whom the machine does not know (see sandbox.Room), and
// the state folder becomes that user's.
func Run(ctx context.Context, c Config) error {
	own, err := sandbox.Lends()
	switch {
	case err != nil:
	case own:
		err = run(ctx, c)
	default:
		err = inRoom(ctx, c, true)
	}
	if err != nil {
		return fmt.Errorf("run %s: %w", c.Recipe.Name, err)
	}
	return nil
}

func run(ctx context.Context, c Config) (err error) {
	r, err := Open(c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	if err := r.start(ctx); err != nil {
		return err
	}
	c.Ready(r.service())
	select {
	case <-ctx.Done():
		return nil
	case <-r.Died():
		return r.Death()
	}
}

// Runner starts and stops a package's processes and the services they need, step by step. Its methods are for one goroutine, but for
// Died.
type Runner struct {
	Config
	env     map[string]string // of the service's processes
	running []*process
	servers map[string]server // services that were started, by the recipe's names
	kept    map[string]string // secrets by name, see Secrets
	logged  map[string]bool   // names of processes that have a log of this run
	once    sync.Once
	died    chan struct{}
	death   error // set before died is closed
}

// Open makes the state folder and the environment; nothing is started yet.
func Open(c Config) (*Runner, error) {
	if c.Wait == 0 {
		c.Wait = 2 * time.Minute
	}
	if c.StopWait == 0 {
		c.StopWait = stopTime
	}
	if c.Volumes == "" {
		c.Volumes = filepath.Join(c.State, "volumes")
	}
	if c.LogDir == "" {
		c.LogDir = filepath.Join(c.State, "log")
	}
	if err := os.MkdirAll(c.State, 0o700); err != nil {
		return nil, err
	}
	r := &Runner{Config: c, env: environment(c.Env), kept: map[string]string{}, servers: map[string]server{}, logged: map[string]bool{}, died: make(chan struct{})}
	return r, nil
}

// Died is closed when a process ended that was not asked to, or printed more than it may.
func (r *Runner) Died() <-chan struct{} { return r.died }

// Death says of the first such process what became of it, once Died is closed: an *EndedError or a *LogLimitError.
func (r *Runner) Death() error {
	select {
	case <-r.died:
		return r.death
	default:
		return nil
	}
}

// Close stops all that runs, each process after those that were started later.
func (r *Runner) Close() error {
	var err error
	for _, p := range slices.Backward(r.running) {
		err = errors.Join(err, p.stop(r.StopWait))
	}
	r.running = nil
	return err
}

// start is all that comes before the service is ready.
func (r *Runner) start(ctx context.Context) error {
	if err := r.checkPorts(); err != nil {
		return err
	}
	if err := r.StartServices(ctx); err != nil {
		return err
	}
	if err := r.Migrate(ctx); err != nil {
		return err
	}
	names := r.Processes()
	for _, name := range names {
		if err := r.Launch(ctx, name); err != nil {
			return err
		}
	}
	for _, name := range names {
		if err := r.Healthy(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// Processes lists the names of the package's processes, sorted.
func (r *Runner) Processes() []string { return slices.Sorted(maps.Keys(r.Recipe.Package.Processes)) }

// StartServices makes the secrets, starts what the package needs, and waits until it answers.
func (r *Runner) StartServices(ctx context.Context) error {
	if err := r.secrets(); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(r.Recipe.Services)) {
		r.tell("starting " + name)
		if err := r.startService(ctx, name, r.Recipe.Services[name]); err != nil {
			return &ServiceError{Service: name, Cause: err}
		}
	}
	return nil
}

// ServiceError says that something that the package needs could not be started.
type ServiceError struct {
	Service string
	Cause   error
}

func (e *ServiceError) Error() string { return fmt.Sprintf("service %s: %v", e.Service, e.Cause) }

// Unwrap gives the cause.
func (e *ServiceError) Unwrap() error { return e.Cause }

// Environment is what the package's processes are given beside the recipe's own environment: NAME → value.
func (r *Runner) Environment() map[string]string { return maps.Clone(r.env) }

// Secrets lists values that nobody is to see: those of the recipe's secrets and the services' passwords.
func (r *Runner) Secrets() []string { return slices.Sorted(maps.Values(r.kept)) }

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

func (r *Runner) endedError(p *process) error {
	return &EndedError{Process: p.name, Cause: p.err, Log: r.LogPath(p.name), Tail: p.tail()}
}

// UnhealthyError says that a process did not get healthy in time.
type UnhealthyError struct {
	Process, URL string // tcp://HOST:PORT where it was only to listen
	Cause        error  // of the last try
	Log, Tail    string
}

func (e *UnhealthyError) Error() string {
	if at, ok := e.Listening(); ok {
		return fmt.Sprintf("%s does not listen at %s: %v; the whole log: %s\n%s", e.Process, at, e.Cause, e.Log, e.Tail)
	}
	return fmt.Sprintf("%s is not healthy: GET %s: %v; the whole log: %s\n%s", e.Process, e.URL, e.Cause, e.Log, e.Tail)
}

// Listening is the HOST:PORT where the process was to listen, if no more was asked of it.
func (e *UnhealthyError) Listening() (string, bool) { return strings.CutPrefix(e.URL, listeningAt) }

const listeningAt = "tcp://"

// Unwrap gives the cause.
func (e *UnhealthyError) Unwrap() error { return e.Cause }

func (r *Runner) tell(text string) { r.Events(event.Message{Text: text}) }

// checkPorts sees to it that what answers later is our process, not one that was there before.
func (r *Runner) checkPorts() error {
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

// MigrateName is what migrations are called where processes are.
const MigrateName = "migrate"

// Migrate runs the recipe's migrations to their end, if there are any. The error is an *EndedError where they fail.
func (r *Runner) Migrate(ctx context.Context) error {
	args := r.Recipe.Package.Migrate
	if len(args) == 0 {
		return nil
	}
	r.tell("running migrations")
	p, err := r.launch(ctx, MigrateName, args, true)
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-r.died:
		return r.death
	case <-p.done:
	}
	if p.err != nil {
		return r.endedError(p)
	}
	r.forget(p)
	return nil
}

// Launch starts a process of the package's.
func (r *Runner) Launch(ctx context.Context, name string) error {
	r.tell("starting " + name)
	_, err := r.launch(ctx, name, r.Recipe.Package.Processes[name].Args, false)
	return err
}

// Stop asks a process to end, waits until it has, and tells its exit status, -1 if a signal ended it. The error says that it had to be
// killed.
func (r *Runner) Stop(name string) (status int, err error) {
	p := r.process(name)
	if p == nil {
		return 0, fmt.Errorf("stop %s: it does not run", name)
	}
	err = p.stop(r.StopWait)
	r.forget(p)
	return p.cmd.ProcessState.ExitCode(), err
}

// PID is the process id of a process's launcher or of a service, 0 if it does not run.
func (r *Runner) PID(name string) int {
	if p := r.process(name); p != nil {
		return p.cmd.Process.Pid
	}
	return 0
}

func (r *Runner) process(name string) *process {
	for _, p := range r.running {
		if p.name == name {
			return p
		}
	}
	return nil
}

func (r *Runner) forget(p *process) {
	r.running = slices.DeleteFunc(r.running, func(q *process) bool { return p == q })
}

// launch starts the package's launcher with args; once says that it is to end by itself.
func (r *Runner) launch(ctx context.Context, name string, args []string, once bool) (*process, error) {
	cmd := exec.Command(r.Launcher, args...)
	cmd.Env = append(list(r.env), "HEADWATER_STATE="+r.Volumes)
	return r.spawn(ctx, &process{name: name, cmd: cmd, signal: syscall.SIGTERM, once: once})
}

// Healthy waits until the process's health check answers 2xx; one without a health check is healthy once it listens on its port, one without
// a port at once. The error is an *UnhealthyError, or what Death says.
func (r *Runner) Healthy(ctx context.Context, name string) error {
	p := r.Recipe.Package.Processes[name]
	if p.Port == 0 {
		return nil
	}
	url, probe := Address(p)+p.Health, probe
	if p.Health == "" {
		url, probe = strings.Replace(Address(p), "http://", listeningAt, 1), probeListening
	}
	limit, cancel := context.WithTimeout(ctx, r.Wait)
	defer cancel()
	client := &http.Client{Timeout: 5 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer client.CloseIdleConnections()
	var last error
	for {
		if err := probe(limit, client, url); err == nil {
			return nil
		} else if last == nil || limit.Err() == nil { // being out of time is no news
			last = err
		}
		select {
		case <-r.died:
			return r.death
		case <-limit.Done():
			return &UnhealthyError{Process: name, URL: url, Cause: last, Log: r.LogPath(name), Tail: r.tailOf(name)}
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
		said, _ := io.ReadAll(io.LimitReader(res.Body, maxReason)) // as much of it as came
		text := Answers + res.Status
		// A page is for people who see it drawn.
		if reason := strings.Join(strings.Fields(strings.ToValidUTF8(string(said), "�")), " "); reason != "" && !strings.HasPrefix(reason, "<") {
			text += ": " + reason
		}
		return errors.New(text)
	}
	return nil
}

// probeListening tries whether something takes connections.
func probeListening(ctx context.Context, _ *http.Client, url string) error {
	conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp", strings.TrimPrefix(url, listeningAt))
	if err != nil {
		return err
	}
	return conn.Close()
}

// Answers begins an UnhealthyError's cause where something listens; the status and what is said of it follow.
const Answers = "answers "

// maxReason is how much of an answer that says why a service is not healthy is told, in bytes.
const maxReason = 300

// Address is where a process that has a port listens.
func Address(p recipe.Process) string { return "http://127.0.0.1:" + strconv.Itoa(p.Port) }

func (r *Runner) service() Service {
	s := Service{Addresses: map[string]string{}}
	for name, p := range r.Recipe.Package.Processes {
		if p.Port != 0 {
			s.Addresses[name] = Address(p)
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

// LogPath is the file with all that a process printed since Open.
func (r *Runner) LogPath(name string) string { return filepath.Join(r.LogDir, name+".log") }

func (r *Runner) tailOf(name string) string {
	if p := r.process(name); p != nil {
		return p.tail()
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
