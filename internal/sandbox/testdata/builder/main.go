// Command builder looks at its sandbox from inside and says what it sees. Its first argument says what to look at.
package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

func main() {
	commands := map[string]func(){
		"nothing":   func() {},
		"hello":     func() { fmt.Println("hello") },
		"exit":      func() { os.Exit(7) },
		"kill":      func() { panicOn(syscall.Kill(forked("sleep"), syscall.SIGKILL)) },
		"sleep":     func() { time.Sleep(time.Hour) },
		"orphan":    func() { forked("chatter") },
		"chatter":   chatter,
		"argv":      func() { fmt.Printf("%q\n", os.Args) },
		"env":       func() { fmt.Printf("%q\n", os.Environ()) },
		"identity":  identity,
		"status":    status,
		"tree":      tree,
		"modes":     modes,
		"inputs":    inputs,
		"processes": processes,
		"network":   network,
		"metadata":  metadata,
		"modeset":   modeset,
		"files":     descriptors,
		"signals":   signals,
		"terminal":  func() { fmt.Print("a\nb\r\n\tc\x03\x04d") },
		"devices":   devices,
		"escape":    escape,
		"syscall32": syscall32,
		"fill":      fill,
	}
	commands[os.Args[1]]()
}

func panicOn(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func forked(command string) int {
	c := exec.Command("/proc/self/exe", command)
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	panicOn(c.Start())
	fmt.Println("started")
	return c.Process.Pid
}

func chatter() {
	for {
		fmt.Println("still here")
		time.Sleep(time.Millisecond)
	}
}

func identity() {
	groups, err := syscall.Getgroups()
	panicOn(err)
	var u syscall.Utsname
	panicOn(syscall.Uname(&u))
	text := func(b [65]int8) string {
		var s strings.Builder
		for _, c := range b {
			if c == 0 {
				break
			}
			s.WriteByte(byte(c))
		}
		return s.String()
	}
	cwd, err := os.Getwd()
	panicOn(err)
	old := syscall.Umask(0)
	sid, _, errno := syscall.Syscall(syscall.SYS_GETSID, 0, 0, 0)
	if errno != 0 {
		panicOn(errno)
	}
	var core syscall.Rlimit
	panicOn(syscall.Getrlimit(syscall.RLIMIT_CORE, &core))
	extra := slices.DeleteFunc(groups, func(g int) bool { return g == os.Getgid() || g == 65534 })
	fmt.Printf("uid %d gid %d extra groups %v pid %d ppid %d sid %d host %s domain %s cwd %s umask %o core %d\n", os.Getuid(), os.Getgid(),
		extra, os.Getpid(), os.Getppid(), sid, text(u.Nodename), text(u.Domainname), cwd, old, core.Cur)
	stdin, err := os.Readlink("/proc/self/fd/0")
	panicOn(err)
	fmt.Println("stdin", stdin)
}

// status prints the privileges that the kernel names.
func status() {
	b, err := os.ReadFile("/proc/self/status")
	panicOn(err)
	for line := range strings.Lines(string(b)) {
		for _, key := range []string{"CapInh", "CapPrm", "CapEff", "CapAmb", "NoNewPrivs", "Seccomp:", "SigBlk"} {
			if strings.HasPrefix(line, key) {
				fmt.Print(line)
			}
		}
	}
	b, err = os.ReadFile("/proc/self/personality")
	panicOn(err)
	fmt.Print("personality ", string(b))
	b, err = os.ReadFile("/proc/self/gid_map")
	panicOn(err)
	fmt.Println("gid_map inside", strings.Fields(string(b))[0])
}

// tree lists all names but those of processes, of the kernel's own in /proc, and below inputs.
func tree() {
	panicOn(filepath.WalkDir("/", func(p string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if p == "/proc" {
			fmt.Println(p)
			return fs.SkipDir
		}
		fmt.Println(p)
		return nil
	}))
}

func modes() {
	for _, p := range os.Args[2:] {
		fi, err := os.Lstat(p)
		panicOn(err)
		st := fi.Sys().(*syscall.Stat_t)
		fmt.Printf("%s %v %d:%d\n", p, fi.Mode(), st.Uid, st.Gid)
	}
}

func inputs() {
	for _, p := range os.Args[2:] {
		b, err := os.ReadFile(p)
		if err == nil {
			fmt.Printf("%s %q\n", filepath.Base(p), b)
		} else {
			fmt.Println(filepath.Base(p), errors.Unwrap(err))
		}
		if target, err := os.Readlink(p); err == nil {
			fmt.Println(filepath.Base(p), "->", target)
		}
		if f, err := os.OpenFile(p, os.O_WRONLY, 0); err == nil {
			fmt.Println(filepath.Base(p), "can be written")
			f.Close()
		}
		if err := os.Chmod(p, 0o777); err == nil {
			fmt.Println(filepath.Base(p), "can be changed")
		}
		if err := os.Remove(p); err == nil {
			fmt.Println(filepath.Base(p), "can be removed")
		}
	}
}

func processes() {
	entries, err := os.ReadDir("/proc")
	panicOn(err)
	for _, e := range entries {
		if strings.Trim(e.Name(), "0123456789") == "" {
			fmt.Println(e.Name())
		}
	}
}

func network() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	panicOn(err)
	go func() {
		c, err := l.Accept()
		panicOn(err)
		io.WriteString(c, "over the loopback\n")
		c.Close()
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	panicOn(err)
	_, err = io.Copy(os.Stdout, c)
	panicOn(err)
	interfaces, err := net.Interfaces()
	panicOn(err)
	for _, i := range interfaces {
		fmt.Println(i.Name)
	}
	for _, address := range os.Args[2:] {
		c, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			fmt.Println("reached", address)
			c.Close()
		}
	}
}

// metadata tries what a store object cannot keep.
func metadata() {
	f := filepath.Join("/build", "f")
	panicOn(os.WriteFile(f, nil, 0o644))
	fd, err := syscall.Open(f, syscall.O_RDWR, 0)
	panicOn(err)
	at := func(number uintptr, mode uint32) error {
		name, err := syscall.BytePtrFromString(f)
		panicOn(err)
		dir := -100 // AT_FDCWD
		_, _, errno := syscall.Syscall6(number, uintptr(dir), uintptr(unsafe.Pointer(name)), uintptr(mode), 0, 0, 0)
		if errno != 0 {
			return errno
		}
		return nil
	}
	const fchmodat2 = 452
	for _, mode := range []uint32{0o4755, 0o2755, 0o6755} {
		fmt.Printf("%o: %v, %v, %v, %v\n", mode, syscall.Chmod(f, mode), syscall.Fchmod(fd, mode), at(syscall.SYS_FCHMODAT, mode), at(fchmodat2, mode))
	}
	fmt.Println("1755:", syscall.Chmod(f, 0o1755))
	fmt.Println("setxattr:", syscall.Setxattr(f, "user.x", []byte("y"), 0))
	_, err = syscall.Getxattr(f, "user.x", make([]byte, 9))
	fmt.Println("getxattr:", err)
	_, err = syscall.Listxattr(f, make([]byte, 9))
	fmt.Println("listxattr:", err)
}

func modeset() {
	for _, p := range []string{"/", "/etc/passwd", "/dev/null", "/dev/tty"} {
		fmt.Println(p, os.Chmod(p, 0o777) == nil)
	}
	fmt.Println("/new", os.WriteFile("/new", nil, 0o644) == nil)
	fmt.Println("/etc/new", os.WriteFile("/etc/new", nil, 0o644) == nil)
	for _, p := range []string{"/proc/sys/kernel/hostname", "/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/proc/sys/vm/drop_caches"} {
		f, err := os.OpenFile(p, os.O_WRONLY, 0)
		if err == nil {
			f.Close()
		}
		fmt.Println(p, err == nil)
	}
}

func descriptors() {
	// Go's runtime opens descriptors of its own, all above these.
	for fd := range 20 {
		target, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
		if err == nil && !strings.HasPrefix(target, "anon_inode:") && !strings.HasPrefix(target, "/proc/") {
			fmt.Println(fd, strings.TrimRight(target, "0123456789"))
		}
	}
}

func signals() {
	b, err := os.ReadFile("/proc/self/status")
	panicOn(err)
	for line := range strings.Lines(string(b)) {
		if strings.HasPrefix(line, "SigIgn") {
			fmt.Print(line)
		}
	}
	fmt.Println("hangup ignored:", signal.Ignored(syscall.SIGHUP))
}

func devices() {
	for _, d := range []string{"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"} {
		f, err := os.OpenFile(d, os.O_RDWR, 0)
		if err != nil {
			f, err = os.Open(d)
		}
		panicOn(err)
		_, err = f.Write([]byte("x"))
		n, readErr := f.Read(make([]byte, 4))
		var write, read string
		if err != nil {
			write = errors.Unwrap(err).Error()
		}
		if readErr != nil {
			read = readErr.Error()
		}
		if strings.HasSuffix(d, "random") { // who may add entropy is all one
			write = ""
		}
		fmt.Println(d, write, n, read)
	}
	f, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	panicOn(err)
	f.Close()
	panicOn(os.WriteFile("/dev/shm/x", []byte("y"), 0o644))
	fmt.Println("terminals and shared memory work")
}

// escape tries to get out, or at something that is the host's.
func escape() {
	try := func(what string, err error) {
		if err == nil {
			fmt.Println(what)
		}
	}
	try("mounts", syscall.Mount("none", "/tmp", "tmpfs", 0, ""))
	try("unmounts", syscall.Unmount("/proc", 0))
	try("chroots", syscall.Chroot("/tmp"))
	try("sets the host's name", syscall.Sethostname([]byte("x")))
	try("becomes root", syscall.Setuid(0))
	try("makes a device", syscall.Mknod("/build/dev", syscall.S_IFBLK|0o666, 8<<8))
	try("traces process 1's parent", syscall.PtraceAttach(os.Getppid()))
	_, err := os.Stat("/proc/1/root/root")
	try("sees the host's root", err)
	for _, p := range os.Args[2:] {
		_, err := os.Stat(p)
		try("sees "+p, err)
	}
	// A user namespace of one's own must be possible, and must not help.
	c := exec.Command("/proc/self/exe", "modeset")
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}}
	out, err := c.CombinedOutput()
	panicOn(err)
	fmt.Print(string(out))
}

// fill writes more to the output than one read takes, and ends at once.
func fill() {
	for i := range 50000 {
		fmt.Println(i)
	}
}
