package service

import (
	"fmt"
	"regexp"
	"strconv"
	"syscall"
)

// postgresql is PostgreSQL (PostgreSQL, "Server Applications" and "Client Applications").
type postgresql struct{}

func (postgresql) Facts() Facts {
	f := Facts{
		Name: "postgresql", Title: "PostgreSQL", Port: 5432, // "libpq, Parameter Key Words", port
		Values: []string{User, Database},
		Faults: regexp.MustCompile(`\bPANIC:|was terminated by signal|out of memory`),
	}
	for _, name := range []string{"postgres", "postgresql", "postgis", "pgvector", "timescaledb", "pgautoupgrade", "postgres-ha"} {
		f.Images = append(f.Images, Image{Name: name, Packages: []string{"postgresql-17"}, Version: "17"})
	}
	return f
}

func (postgresql) Server(i Instance) (Server, error) {
	dir, name, ok := program(i.Root, "/usr/lib/postgresql/*/bin/postgres")
	if !ok {
		return Server{}, fmt.Errorf("the root has none or several of /usr/lib/postgresql/*/bin/postgres, want one: add postgresql-17 to its packages")
	}
	port := strconv.Itoa(i.Port)
	login := []string{"PGPASSFILE=" + RunDir + "/pgpass"}
	client := func(program string, args ...string) Command {
		return Command{Program: program, Args: append(append([]string{}, args...), "-h", RunDir, "-p", port, "-U", user, database), Env: login}
	}
	shape := client("pg_dump", "--schema-only", "--no-owner")
	return Server{
		Path: dir + ":/usr/bin",
		// Arguments can be seen by others, so the password goes by a file.
		Files: map[string]string{"pgpass": fmt.Sprintf("*:*:*:%s:%s\n", user, i.Password)},
		Init: []Command{{
			Program: "initdb", Stdin: i.Password + "\n",
			Args: []string{"-D", DataDir, "-U", user, "-E", "UTF8", "--locale=C.UTF-8", "--auth=scram-sha-256", "--pwfile=/dev/stdin"},
		}},
		Run: Command{Program: name, Args: []string{
			"-D", DataDir, "-c", "listen_addresses=127.0.0.1", "-c", "port=" + port, "-c", "unix_socket_directories=" + RunDir,
		}},
		Stop:   syscall.SIGINT, // fast: it does not wait for who is connected ("Shutting Down the Server")
		Ready:  Command{Program: "pg_isready", Args: []string{"-q", "-h", "127.0.0.1", "-p", port}},
		Create: []Command{client("createdb")},
		Shape:  &shape,
		// These hold a random word, against what a database may smuggle into psql.
		Noise:  regexp.MustCompile(`^\\(?:un)?restrict `),
		Values: map[string]string{User: user, Database: database},
	}, nil
}
