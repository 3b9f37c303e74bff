package sandbox_test

import (
	"encoding/json"
	"errors"
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
	System     bool   // it could change what is the machine's, in /proc
	Folders    string // why its folders are of no use, "" if they are
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
	if f, err := os.OpenFile("/proc/sys/kernel/core_pattern", os.O_WRONLY, 0); err == nil {
		f.Close()
		s.System = true
	}
	if len(os.Args) > 2 {
		own, reach := os.Args[2], os.Args[3]
		err := os.WriteFile(filepath.Join(own, "written"), []byte("b"), 0o600)
		if text, readErr := os.ReadFile(filepath.Join(own, "kept")); err == nil && (readErr != nil || string(text) != "kept") {
			err = fmt.Errorf("%q: %w", text, readErr)
		}
		if _, readErr := os.ReadFile(filepath.Join(reach, "read")); err == nil {
			err = readErr
		}
		if err == nil && os.WriteFile(filepath.Join(reach, "more"), nil, 0o600) == nil && os.Args[4] == "0" {
			err = fmt.Errorf("%s can be written to", reach)
		}
		if err != nil {
			s.Folders = err.Error()
		}
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
	own, reach := filepath.Join(t.TempDir(), "closed", "own"), filepath.Join(t.TempDir(), "closed", "reach")
	for dir, file := range map[string]string{own: "kept", reach: "read"} {
		if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, file), []byte(file), 0o444), os.Chmod(filepath.Dir(dir), 0o700)); err != nil {
			t.Fatal(err)
		}
	}
	marker := fmt.Sprint("HEADWATER_TEST_ROOM=", time.Now().UnixNano())
	p, err := sandbox.Room{Args: []string{roomProgram, tmp, own, reach, fmt.Sprint(os.Getuid())}, Own: []string{own}, Reach: []string{reach}, Env: []string{marker, "PATH=/usr/bin:/bin"}, Tmp: map[string]int64{tmp: 8 << 20},
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
	if s.PID != 1 || s.UID != sandbox.UID || s.Caps != "" || len(s.Interfaces) != 1 || s.Processes != 1 || s.Listen != "" || s.Nested != "" || s.Tmp != 8<<20 || s.System || s.Folders != "" {
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
