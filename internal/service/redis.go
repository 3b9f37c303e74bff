package service

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"syscall"
)

// redis is Redis, or Valkey, which goes on where it was free (both: the comments in their own redis.conf and valkey.conf).
type redis struct{}

func (redis) Facts() Facts {
	return Facts{
		Name: "redis", Title: "Redis", Port: 6379, Open: true,
		Images: []Image{
			{Name: "redis", Packages: []string{"redis-server"}, Version: "8"},
			{Name: "valkey", Packages: []string{"valkey-server"}, Version: "8"},
			{Name: "keydb", Packages: []string{"valkey-server"}, Product: "Valkey"},
			{Name: "dragonfly", Packages: []string{"valkey-server"}, Product: "Valkey"},
		},
		Faults: regexp.MustCompile(`REDIS BUG REPORT|VALKEY BUG REPORT|(?i)out of memory allocating|Can't save in background|Error (?:writing|trying to save)|MISCONF`),
	}
}

func (redis) Server(i Instance) (Server, error) {
	dir, name, ok := program(i.Root, "/usr/bin/redis-server", "/usr/bin/valkey-server")
	if !ok {
		return Server{}, fmt.Errorf("the root has neither redis-server nor valkey-server: add one of them to its packages")
	}
	client := strings.TrimSuffix(name, "server") + "cli"
	port := strconv.Itoa(i.Port)
	config := "bind 127.0.0.1\nport " + port + "\ndir " + DataDir + "\n" +
		"appendonly yes\n" + // what was answered is kept, also by a server that is killed a moment later
		"save 60 1\ndaemonize no\nloglevel notice\n"
	var login []string
	if i.Password != "" {
		config += "requirepass " + i.Password + "\n"
		login = []string{"REDISCLI_AUTH=" + i.Password}
	}
	return Server{
		Path:  dir,
		Files: map[string]string{"redis.conf": config}, // arguments can be seen by others
		Run:   Command{Program: name, Args: []string{RunDir + "/redis.conf"}},
		Stop:  syscall.SIGTERM,
		// It fails while data are loaded, and where the password is not right.
		Ready: Command{Program: client, Args: []string{"-e", "-h", "127.0.0.1", "-p", port, "ping"}, Env: login},
	}, nil
}
