package roottest

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"headwater/internal/dag"
	"headwater/internal/lock"
)

var entered = flag.Bool("roottest.entered", false, "this process is in the root already")

// Run calls run inside a root, in a process that replaces this one: its /usr is the root's, and with it its programs; all else is
// the machine's. lockFile pins the root. It returns what run does; a TestMain exits with it.
func Run(lockFile, name string, run func() int) int {
	flag.Parse()
	if *entered {
		return run()
	}
	fmt.Fprintln(os.Stderr, "enter root "+name+":", enter(lockFile, name))
	return 1
}

// insideAt is where the machine's own root stands inside.
const insideAt = "/.machine"

// MachineRoot is the machine's own root folder, wherever this process is: what its user's settings say of registries stands there, some
// of it in /usr.
func MachineRoot() string {
	if *entered {
		return insideAt
	}
	return "/"
}

// enter replaces this process by the same one inside the root. It returns only if that fails.
func enter(lockFile, name string) error {
	data, err := os.ReadFile(lockFile)
	if err != nil {
		return err
	}
	locked, err := lock.Parse(data)
	if err != nil {
		return err
	}
	dir, err := Unpacked(context.Background(), locked, name)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	args, err := Inside(dir)
	if err != nil {
		return err
	}
	args = append(args, self, "-roottest.entered")
	return syscall.Exec(args[0], append(args, os.Args[1:]...), os.Environ())
}

// Inside is the start of a command line that runs what follows it inside the root that is unpacked in dir: /usr is the root's, and with
// it the programs of PATH; all else is the machine's.
func Inside(dir string) ([]string, error) {
	lib := filepath.Join(dir, dag.LibDir)
	args := []string{
		filepath.Join(lib, "ld-linux-x86-64.so.2"), "--library-path", lib, filepath.Join(dir, "usr/bin/bwrap"), "--ro-bind", filepath.Join(dir, "usr"), "/usr",
	}
	for _, link := range []string{"bin", "sbin", "lib", "lib64"} {
		args = append(args, "--symlink", "usr/"+link, "/"+link)
	}
	machine, err := machineFolders()
	if err != nil {
		return nil, err
	}
	wd, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	args = append(append(args, machine...), "--ro-bind", "/", insideAt)
	return append(args, "--chdir", wd, "--setenv", "PATH", "/usr/bin:/usr/sbin", "--"), nil
}

// machineFolders are the options that bind what is in the machine's / and not the root's.
func machineFolders() ([]string, error) {
	entries, err := os.ReadDir("/")
	if err != nil {
		return nil, err
	}
	var args []string
	for _, e := range entries {
		at := "/" + e.Name()
		switch {
		case e.Name() == "usr" || e.Name() == "bin" || e.Name() == "sbin" || strings.HasPrefix(e.Name(), "lib"):
		case e.Name() == "dev":
			args = append(args, "--dev-bind", at, at)
		case e.Type()&os.ModeSymlink != 0:
			to, err := os.Readlink(at)
			if err != nil {
				return nil, err
			}
			args = append(args, "--symlink", to, at)
		default:
			args = append(args, "--bind", at, at)
		}
	}
	if len(args) == 0 {
		return nil, errors.New("the machine's / is empty")
	}
	return args, nil
}
