package sandbox_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"headwater/internal/sandbox"
)

const (
	roomProgram = "headwater-test-room"
	roomNested  = "headwater-test-nested"
)

// seen is what a program in a room finds.
type seen struct {
	PID, UID   int
	Caps       string   // effective capabilities
	Interfaces []string // network
	Processes  int
	Listen     string // why it cannot listen there, "" if it can
	Nested     string // why it cannot make a user namespace, "" if it can
	Tmp        int64  // bytes of the file system in memory
}

// inRoom is the program that the test runs in a room.
func inRoom() {
	if os.Args[0] == roomNested {
		os.Exit(0)
	}
	if os.Args[0] != roomProgram {
		return
	}
	s := seen{PID: os.Getpid(), UID: os.Getuid()}
	b, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "CapEff:"); ok {
			s.Caps = strings.Trim(strings.TrimSpace(v), "0")
		}
	}
	list, _ := net.Interfaces()
	for _, i := range list {
		s.Interfaces = append(s.Interfaces, i.Name)
	}
	files, _ := filepath.Glob("/proc/[0-9]*")
	s.Processes = len(files)
	l, err := net.Listen("tcp", "127.0.0.1:8080")
	if err == nil {
		var c net.Conn
		if c, err = net.Dial("tcp", "127.0.0.1:8080"); err == nil {
			c.Close()
		}
		l.Close()
	}
	if err != nil {
		s.Listen = err.Error()
	}
	cmd := exec.Command("sleep", "600")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		s.Nested = err.Error()
	}
	nested := exec.Command("/proc/self/exe")
	nested.Args[0] = roomNested
	nested.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER, UidMappings: []syscall.SysProcIDMap{{ContainerID: 7, HostID: s.UID, Size: 1}}}
	if err := nested.Start(); err != nil {
		s.Nested = err.Error()
	}
	var fs unix.Statfs_t
	if unix.Statfs(os.Args[1], &fs) == nil && os.WriteFile(filepath.Join(os.Args[1], "a"), []byte("a"), 0o600) == nil {
		s.Tmp = int64(fs.Blocks) * fs.Bsize
	}
	json.NewEncoder(os.Stdout).Encode(s)
	io.Copy(io.Discard, os.Stdin)
	os.Exit(3)
}

func TestRoom(t *testing.T) {
	tmp := t.TempDir()
	in, inW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, outW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	marker := fmt.Sprint("HEADWATER_TEST_ROOM=", time.Now().UnixNano())
	p, err := sandbox.Room{Args: []string{roomProgram, tmp}, Env: []string{marker, "PATH=/usr/bin:/bin"}, Tmp: map[string]int64{tmp: 8 << 20},
		Stdin: in, Stdout: outW, Stderr: os.Stderr}.Start()
	if err != nil {
		t.Fatal(err)
	}
	in.Close()
	outW.Close()
	var s seen
	if err := json.NewDecoder(out).Decode(&s); err != nil {
		t.Fatal(err)
	}
	if s.PID != 1 || s.UID != sandbox.UID || s.Caps != "" || len(s.Interfaces) != 1 || s.Processes != 1 || s.Listen != "" || s.Nested != "" || s.Tmp != 8<<20 {
		t.Errorf("in the room: %+v", s)
	}
	inW.Close()
	if err := p.Wait(); err == nil || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("it ended with %v, want exit status 3", err)
	}
	if list, err := os.ReadDir(tmp); err != nil || len(list) != 0 {
		t.Errorf("what was in memory is left: %v %v", list, err)
	}
	files, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil && strings.Contains(string(b), marker) {
			t.Errorf("%s is left", filepath.Dir(f))
		}
	}
}
