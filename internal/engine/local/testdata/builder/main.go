// Command builder is the tests' one builder: its first argument says what it does.
package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	commands := map[string]func(args []string) error{
		"write":  func(args []string) error { return write("out", strings.Join(args, " ")) },
		"concat": concat,
		"fail":   fail,
		"shell":  shell,
		"hang":   hang,
		"fork":   fork,
		"flood":  flood,
		"sleep":  sleep,
		"files":  files,
		"report": report,
		"look":   look,
	}
	command, ok := commands[os.Args[1]]
	if !ok {
		fmt.Println("unknown command", os.Args[1])
		os.Exit(2)
	}
	if err := command(os.Args[2:]); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func write(output, text string) error { return os.WriteFile(os.Getenv(output), []byte(text), 0o644) }

// concat writes the files that are named, one after the other.
func concat(args []string) error {
	var all []byte
	for _, a := range args {
		b, err := os.ReadFile(a)
		if err != nil {
			return err
		}
		all = append(all, b...)
	}
	return write("out", string(all))
}

// fail writes lines and exits with a status.
func fail(args []string) error {
	status, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	for _, line := range args[1:] {
		fmt.Println(line)
	}
	if err := write("out", "half"); err != nil {
		return err
	}
	os.Exit(status)
	return nil
}

// shell obeys lines of "verb path [text]": mkdir, write, link, chmod, fifo. "$x" begins a path with a variable's value.
func shell(lines []string) error {
	for _, line := range lines {
		words := strings.SplitN(line, " ", 3)
		path := os.ExpandEnv(words[1])
		text := ""
		if len(words) > 2 {
			text = os.ExpandEnv(words[2])
		}
		var err error
		switch words[0] {
		case "mkdir":
			err = os.MkdirAll(path, 0o755)
		case "write":
			err = os.WriteFile(path, []byte(text), 0o644)
		case "link":
			err = os.Symlink(text, path)
		case "hardlink":
			err = os.Link(text, path)
		case "report":
			err = report([]string{path})
		case "fifo":
			err = syscall.Mkfifo(path, 0o644)
		case "chmod":
			var mode uint64
			if mode, err = strconv.ParseUint(text, 8, 32); err == nil {
				err = syscall.Chmod(path, uint32(mode))
			}
		default:
			err = fmt.Errorf("unknown verb %s", words[0])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// hang says so and sleeps for ever.
func hang([]string) error {
	fmt.Println("hanging")
	if err := write("out", "half"); err != nil {
		return err
	}
	time.Sleep(time.Hour)
	return nil
}

// fork leaves a process in a session of its own behind, which goes on writing to the output.
func fork(args []string) error {
	if len(args) > 0 {
		for {
			time.Sleep(time.Millisecond)
			os.WriteFile(os.Getenv("out"), []byte(time.Now().String()), 0o644)
		}
	}
	c := exec.Command("/proc/self/exe", "fork", "child")
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := c.Start(); err != nil {
		return err
	}
	time.Sleep(20 * time.Millisecond)
	return write("out", "done")
}

// flood writes for ever.
func flood([]string) error {
	line := bytes.Repeat([]byte("flood "), 1000)
	for {
		os.Stdout.Write(append(line, '\n'))
	}
}

// sleep takes a while, talking or not.
func sleep(args []string) error {
	d, err := time.ParseDuration(args[0])
	if err != nil {
		return err
	}
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(d / 20) {
		if len(args) > 1 {
			fmt.Println(args[1])
		}
	}
	return write("out", "slept")
}

// files copies what is in the build folder to the output, a folder.
func files([]string) error {
	entries, err := os.ReadDir(".")
	if err != nil {
		return err
	}
	out := os.Getenv("out")
	if out == "" {
		out = os.Args[2]
	}
	if err := os.Mkdir(out, 0o755); err != nil {
		return err
	}
	for _, e := range entries {
		b, err := os.ReadFile(e.Name())
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(out, e.Name()), b, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// report writes the arguments and the environment, as the process got them, to the path that the first argument is.
func report(args []string) error {
	env, err := os.ReadFile("/proc/self/environ")
	if err != nil {
		return err
	}
	text := strings.Join(os.Args, "\n") + "\n\n" + strings.ReplaceAll(string(env), "\x00", "\n")
	return os.WriteFile(args[0], []byte(text), 0o644)
}

// look prints what can be seen of the sandbox.
func look([]string) error {
	for _, dir := range []string{"/", "/dev", "/etc", "/build", "/tmp", "/nix", "/nix/store", "/dev/shm", "/dev/pts"} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if e.Name() == "kvm" { // there are machines with and without
				continue
			}
			fi, err := e.Info()
			if err != nil {
				return err
			}
			target, _ := os.Readlink(filepath.Join(dir, e.Name()))
			fmt.Println(filepath.Join(dir, e.Name()), fi.Mode().Type(), target)
		}
	}
	for _, p := range []string{"/build", "/tmp", "/nix/store", "/dev/shm"} {
		fi, err := os.Stat(p)
		if err != nil {
			return err
		}
		st := fi.Sys().(*syscall.Stat_t)
		fmt.Println(p, fi.Mode(), st.Uid, st.Gid)
	}
	for _, p := range []string{"/etc/passwd", "/etc/group", "/etc/hosts", "/proc/sys/kernel/hostname", "/proc/sys/kernel/domainname",
		"/proc/self/personality", "/proc/net/dev"} {
		b, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		fmt.Printf("%s %q\n", p, b)
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(status)) {
		for _, key := range []string{"Uid", "Gid", "NSpid", "NSsid", "CapEff", "CapPrm", "CapAmb", "NoNewPrivs", "Seccomp:", "SigIgn", "Umask"} {
			if strings.HasPrefix(line, key) {
				fmt.Print(line)
			}
		}
	}
	var core syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_CORE, &core); err != nil {
		return err
	}
	cwd, err := os.Getwd()
	if err != nil {
		return err
	}
	fmt.Println("core", core.Cur, "cwd", cwd, "argv0", os.Args[0])
	return write("out", "seen")
}
