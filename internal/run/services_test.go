package run_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"headwater/internal/event"
	"headwater/internal/lock"
	"headwater/internal/proctest"
	"headwater/internal/recipe"
	"headwater/internal/roottest"
	"headwater/internal/run"
)

// bed is a recipe's services with their real roots.
type bed struct {
	recipe *recipe.Recipe
	roots  map[string]string
	state  string
}

// newBed has those of the services of testdata that are named.
func newBed(t *testing.T, names ...string) *bed {
	t.Helper()
	var text [2][]byte
	for i, name := range []string{"headwater.yaml", "headwater.lock"} {
		var err error
		if text[i], err = os.ReadFile(filepath.Join("testdata", name)); err != nil {
			t.Fatal(err)
		}
	}
	r, err := recipe.Parse(text[0])
	if err != nil {
		t.Fatal(err)
	}
	locked, err := lock.Parse(text[1])
	if err != nil {
		t.Fatal(err)
	}
	b := &bed{recipe: r, roots: map[string]string{}, state: filepath.Join(t.TempDir(), "state")}
	all := r.Services
	r.Services = map[string]recipe.Service{}
	for _, name := range names {
		s := all[name]
		r.Services[name] = s
		if b.roots[s.Root], err = roottest.Unpacked(t.Context(), locked, s.Root); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// start starts the services.
func (b *bed) start(t *testing.T) *run.Runner {
	t.Helper()
	r, err := run.Open(run.Config{Recipe: b.recipe, Roots: b.roots, State: b.state, Logs: t.Output(), Events: event.Discard})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() }) // where the test did not come as far
	if err := r.StartServices(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

// talk asks a service as the package would, by what its environment says.
type talk func(t *testing.T, b *bed, env map[string]string, statement string) (string, error)

// bySQL asks a database by its own client.
func bySQL(name, program string, args func(env map[string]string) (args, variables []string)) talk {
	return func(t *testing.T, b *bed, env map[string]string, statement string) (string, error) {
		inside, err := roottest.Inside(b.roots[b.recipe.Services[name].Root])
		if err != nil {
			t.Fatal(err)
		}
		list, variables := args(env)
		argv := append(append(inside, program), list...)
		cmd := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
		cmd.Env = append(os.Environ(), variables...)
		cmd.Stdin = strings.NewReader(statement)
		out, err := cmd.Output()
		return strings.TrimSpace(string(out)), err
	}
}

// byRESP asks Redis by its protocol (Redis serialization protocol, "Inline commands").
func byRESP(prefix string) talk {
	return func(t *testing.T, _ *bed, env map[string]string, statement string) (string, error) {
		c, err := net.DialTimeout("tcp", env[prefix+"_ADDRESS"], 5*time.Second)
		if err != nil {
			return "", err
		}
		defer c.Close()
		answers := bufio.NewReader(c)
		ask := func(line string) (string, error) {
			fmt.Fprintf(c, "%s\r\n", line)
			s, err := answers.ReadString('\n')
			if strings.HasPrefix(s, "-") {
				return "", errors.New(s)
			}
			if strings.HasPrefix(s, "$") {
				s, err = answers.ReadString('\n')
			}
			return strings.TrimSpace(s), err
		}
		if password := env[prefix+"_PASSWORD"]; password != "" {
			if _, err := ask("AUTH " + password); err != nil {
				return "", err
			}
		}
		return ask(statement)
	}
}

// Every kind of service starts, keeps what it is told, has its password where it has one, shows nobody what it is, and ends.
func TestServices(t *testing.T) {
	postgresql := bySQL("postgresql", "psql", func(env map[string]string) ([]string, []string) {
		return []string{"-qAt", "-v", "ON_ERROR_STOP=1", env["DATABASE_URL"]}, nil
	})
	mariadb := bySQL("mariadb", "mariadb", func(env map[string]string) ([]string, []string) {
		return []string{
			"--no-defaults", "--protocol=tcp", "-N", "-h", env["MARIADB_HOST"], "-P", env["MARIADB_PORT"], "-u", env["MARIADB_USER"], env["MARIADB_DATABASE"],
		}, []string{"MYSQL_PWD=" + env["MARIADB_PASSWORD"]}
	})
	for _, c := range []struct {
		name               string
		ask                talk
		write, read, shape string
		wrong              func(env map[string]string) // spoils the password
	}{
		{"postgresql", postgresql, "CREATE TABLE a (b int); INSERT INTO a VALUES (5)", "SELECT b FROM a", "CREATE TABLE public.a",
			func(env map[string]string) {
				env["DATABASE_URL"] = strings.Replace(env["DATABASE_URL"], ":", ":x", 2)
			}},
		{"mariadb", mariadb, "CREATE TABLE a (b int primary key); INSERT INTO a VALUES (5)", "SELECT b FROM a", "\tint(11)\t",
			func(env map[string]string) { env["MARIADB_PASSWORD"] += "x" }},
		{"redis", byRESP("REDIS"), "SET a 5", "GET a", "", func(env map[string]string) { env["REDIS_PASSWORD"] += "x" }},
		{"valkey", byRESP("VALKEY"), "SET a 5", "GET a", "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, c.name)
			r := b.start(t)
			env := r.Environment()
			empty, err := r.Shape(t.Context(), c.name)
			if err != nil {
				t.Error(err)
			}
			if _, err := c.ask(t, b, env, c.write); err != nil {
				t.Fatal(err)
			}
			one, err := r.Shape(t.Context(), c.name)
			two, again := r.Shape(t.Context(), c.name)
			if err != nil || again != nil || one != two || !strings.Contains(one, c.shape) || c.shape != "" && one == empty {
				t.Errorf("%v, %v: its tables are %q, then %q, at first %q", err, again, one, two, empty)
			}
			for _, secret := range r.Secrets() {
				if pids, err := proctest.With(secret); err != nil || len(pids) > 0 {
					t.Errorf("the password is in the arguments of %v: %v", pids, err)
				}
			}
			if has := len(r.Secrets()) > 0; has != (c.wrong != nil) {
				t.Errorf("it has a password: %t", has)
			}
			if c.wrong != nil {
				c.wrong(env)
				if got, err := c.ask(t, b, env, c.read); err == nil {
					t.Errorf("with another password it answers %q", got)
				}
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
			r = b.start(t)
			if got, err := c.ask(t, b, r.Environment(), c.read); err != nil || got != "5" {
				t.Errorf("after a new start it has %q: %v", got, err)
			}
			if err := syscall.Kill(r.PID(c.name), syscall.SIGKILL); err != nil {
				t.Error(err)
			}
			select {
			case <-r.Died():
			case <-time.After(time.Minute):
			}
			var ended *run.EndedError
			if err := r.Death(); !errors.As(err, &ended) || ended.Process != c.name {
				t.Errorf("once it was killed: %v", err)
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
			if pids, err := proctest.With(b.state); err != nil || len(pids) > 0 {
				t.Errorf("processes %v are left: %v", pids, err)
			}
			r = b.start(t)
			if got, err := c.ask(t, b, r.Environment(), c.read); err != nil || got != "5" {
				t.Errorf("after it was killed it has %q: %v", got, err)
			}
		})
	}
}

// A first start that was broken off is no start: the next one begins again.
func TestServiceBrokenOff(t *testing.T) {
	b := newBed(t, "postgresql")
	for _, after := range []time.Duration{50 * time.Millisecond, 700 * time.Millisecond} {
		ctx, cancel := context.WithTimeout(t.Context(), after)
		r, err := run.Open(run.Config{Recipe: b.recipe, Roots: b.roots, State: b.state, Logs: t.Output(), Events: event.Discard})
		if err != nil {
			t.Fatal(err)
		}
		_ = r.StartServices(ctx) // it may have come to its end
		cancel()
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := b.start(t).Close(); err != nil {
		t.Error(err)
	}
}

// A root without the server says which package is missing.
func TestServiceNotInItsRoot(t *testing.T) {
	b := newBed(t, "redis")
	for kind, want := range map[string]string{"mariadb": "mariadb-server-core", "postgresql": "postgresql-17"} {
		s := b.recipe.Services["redis"]
		s.Kind = kind
		b.recipe.Services["redis"] = s
		r, err := run.Open(run.Config{Recipe: b.recipe, Roots: b.roots, State: b.state, Logs: t.Output(), Events: event.Discard})
		if err != nil {
			t.Fatal(err)
		}
		var e *run.ServiceError
		if err := r.StartServices(t.Context()); !errors.As(err, &e) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", kind, err)
		}
	}
}
