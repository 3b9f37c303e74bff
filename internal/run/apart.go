package run

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.yaml.in/yaml/v3"

	"headwater/internal/event"
	"headwater/internal/recipe"
	"headwater/internal/sandbox"
	"headwater/internal/service"
)

// InitName is argv[0] of the child of a run that is apart.
const InitName = "headwater-run"

// NeedsRoom says why a recipe cannot be run on the machine itself, "" if it can: a process listens on a port below first, where an
// ordinary user may not (what /proc/sys/net/ipv4/ip_unprivileged_port_start says; Linux, "ip-sysctl"), a service's usual port is taken, or
// a service without a password would be there for everybody on the machine.
func NeedsRoom(r *recipe.Recipe, first int) string {
	for _, name := range slices.Sorted(maps.Keys(r.Package.Processes)) {
		if port := r.Package.Processes[name].Port; port != 0 && port < first {
			return fmt.Sprintf("%s listens on port %d, and an ordinary user may from %d on", name, port, first)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.Services)) {
		s := r.Services[name]
		kind, ok := service.Find(s.Kind)
		if !ok {
			continue // no recipe that was checked has such
		}
		facts := kind.Facts()
		if facts.Open && !service.Hands(s.Env, service.Password) {
			return fmt.Sprintf("the recipe hands no password of %s on, so that it has none, and is for nobody else", name)
		}
		if service.Hands(s.Env, service.Port) {
			continue
		}
		l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(facts.Port))
		if err != nil {
			return fmt.Sprintf("the recipe hands no port of %s on, and its usual one, %d, is taken here", name, facts.Port)
		}
		_ = l.Close() // it was listening
	}
	return ""
}

// Apart is Run in a room of its own (sandbox.Room), where a process may listen on any port as it may in a container. What listens there
// on a port below 1024 is on the machine's loopback at 8000 above it. Nothing there reaches the network.
func Apart(ctx context.Context, c Config) error {
	if err := inRoom(ctx, c, false); err != nil {
		return fmt.Errorf("run %s: %w", c.Recipe.Name, err)
	}
	return nil
}

// apartPlan is what the child is told. It is JSON on its standard input, which stays open until the child is to end.
type apartPlan struct {
	Recipe   []byte
	Launcher string
	Roots    map[string]string
	State    string
	Env      []string
	Wait     time.Duration
	Doors    map[int]string // socket of each port
}

// apartMessage is a line of what the child tells.
type apartMessage struct {
	Text  string     `json:"text,omitempty"`
	Ready *Service   `json:"ready,omitempty"`
	Err   *toldError `json:"err,omitempty"` // why it ended
}

// inRoom runs all in a room, whose network is the machine's where it is shared.
func inRoom(ctx context.Context, c Config, shared bool) (err error) {
	text, err := yaml.Marshal(c.Recipe)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(c.State, 0o700); err != nil {
		return err
	}
	doors := new(doors)
	room := sandbox.Room{Args: []string{InitName}, Own: []string{c.State}, Shared: shared}
	if c.Store != "" {
		room.Reach = []string{c.Store}
	}
	if !shared {
		if doors, err = openDoors(c.Recipe); err != nil {
			return err
		}
		room.Own = append(room.Own, doors.dir)
	}
	defer func() { err = errors.Join(err, doors.close()) }()
	child, pipes, err := room.StartPiped()
	if err != nil {
		return err
	}
	defer pipes.Close()
	var copying sync.WaitGroup
	copying.Go(func() { _, _ = io.Copy(c.Logs, pipes.Err) }) // a terminal that went away does not stop the service
	ended := make(chan struct{})
	defer func() {
		child.Kill()
		werr := child.Wait()
		close(ended)
		copying.Wait()
		if err == nil && ctx.Err() == nil {
			err = fmt.Errorf("the child ended: %w", werr)
		}
	}()
	// Closing its input asks the child to stop all; one that does not is killed.
	defer context.AfterFunc(ctx, func() {
		_ = pipes.In.Close()
		select {
		case <-ended:
		case <-time.After(stopTime + 10*time.Second):
			child.Kill()
		}
	})()
	if err := json.NewEncoder(pipes.In).Encode(apartPlan{text, c.Launcher, c.Roots, c.State, c.Env, c.Wait, doors.sockets}); err != nil {
		return err
	}
	dec := json.NewDecoder(pipes.Out)
	for {
		var m apartMessage
		if err := dec.Decode(&m); err != nil {
			if errors.Is(err, io.EOF) || ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("read what the child tells: %w", err)
		}
		switch {
		case m.Ready != nil:
			c.Ready(doors.outside(*m.Ready))
		case m.Err != nil:
			return m.Err
		default:
			c.Events(event.Message{Text: m.Text})
		}
	}
}

// RunInit becomes the child of Apart if this program was started as such; it then does not return.
func RunInit() {
	if len(os.Args) == 0 || os.Args[0] != InitName {
		return
	}
	tell := json.NewEncoder(os.Stdout)
	var mu sync.Mutex
	say := func(m apartMessage) {
		mu.Lock()
		defer mu.Unlock()
		_ = tell.Encode(m) // a parent that is gone ends the child anyway
	}
	if err := insideApart(os.Stdin, say); err != nil {
		say(apartMessage{Err: tellError(err)})
		os.Exit(1)
	}
	os.Exit(0)
}

func insideApart(in io.Reader, say func(apartMessage)) error {
	var p apartPlan
	if err := json.NewDecoder(in).Decode(&p); err != nil {
		return fmt.Errorf("read plan: %w", err)
	}
	r, err := recipe.Parse(p.Recipe)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, in)
		cancel() // the parent says so, or is gone
	}()
	for port, file := range p.Doors {
		stop, err := forward("unix", file, "tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err != nil {
			return err
		}
		defer stop()
	}
	return run(ctx, Config{
		Recipe: r, Launcher: p.Launcher, Roots: p.Roots, State: p.State, Env: p.Env, Wait: p.Wait, Logs: os.Stderr,
		Events: func(e event.Event) {
			if m, ok := e.(event.Message); ok {
				say(apartMessage{Text: m.Text})
			}
		},
		Ready: func(s Service) { say(apartMessage{Ready: &s}) },
	})
}

// doors lead from the machine's loopback into the room: through sockets in a folder that both see.
type doors struct {
	dir     string         // short, as the path of a socket has to be
	sockets map[int]string // of each port there
	outer   map[int]int    // port there → here
	stop    []func()
}

func openDoors(r *recipe.Recipe) (d *doors, err error) {
	d = &doors{sockets: map[int]string{}, outer: map[int]int{}}
	if d.dir, err = os.MkdirTemp("", "headwater-"); err != nil {
		return nil, err
	}
	for name, p := range r.Package.Processes {
		if p.Port == 0 {
			continue
		}
		file, port := filepath.Join(d.dir, strconv.Itoa(p.Port)), p.Port
		if port < 1024 {
			port += 8000
		}
		stop, err := forward("tcp", "127.0.0.1:"+strconv.Itoa(port), "unix", file)
		if err != nil {
			return nil, errors.Join(&PortError{Process: name, Port: port, Cause: err}, d.close())
		}
		d.sockets[p.Port], d.outer[p.Port] = file, port
		d.stop = append(d.stop, stop)
	}
	return d, nil
}

func (d *doors) close() error {
	if d.dir == "" {
		return nil // there are none
	}
	for _, stop := range d.stop {
		stop()
	}
	return os.RemoveAll(d.dir)
}

// outside is a service's addresses as the machine sees them.
func (d *doors) outside(s Service) Service {
	if d.dir == "" {
		return s
	}
	out := Service{Addresses: map[string]string{}, SignIn: s.SignIn}
	for name, address := range s.Addresses {
		for there, here := range d.outer {
			if address == "http://127.0.0.1:"+strconv.Itoa(there) {
				out.Addresses[name] = "http://127.0.0.1:" + strconv.Itoa(here)
			}
		}
	}
	for there, here := range d.outer {
		for _, host := range []string{"127.0.0.1", "localhost"} {
			out.SignIn = strings.ReplaceAll(out.SignIn, host+":"+strconv.Itoa(there)+"/", host+":"+strconv.Itoa(here)+"/")
			if there == 80 {
				out.SignIn = strings.ReplaceAll(out.SignIn, "http://"+host+"/", "http://"+host+":"+strconv.Itoa(here)+"/")
			}
		}
	}
	return out
}

// forward hands each connection on, until it is stopped.
func forward(fromNet, from, toNet, to string) (stop func(), err error) {
	l, err := net.Listen(fromNet, from)
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			a, err := l.Accept()
			if err != nil {
				return // stopped
			}
			go join(a, toNet, to)
		}
	}()
	return func() { _ = l.Close() }, nil
}

// join copies both ways until both sides have said all, and ends each direction by itself, as long answers need.
func join(a net.Conn, network, to string) {
	defer a.Close()
	b, err := net.DialTimeout(network, to, 10*time.Second)
	if err != nil {
		return // the other side sees the connection end, as it would of a service that is not up
	}
	defer b.Close()
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{a, b}, {b, a}} {
		both.Go(func() {
			_, _ = io.Copy(way[0], way[1])
			if half, ok := way[0].(interface{ CloseWrite() error }); ok {
				_ = half.CloseWrite()
			}
		})
	}
	both.Wait()
}
