package sandbox_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/nix"
	"headwater/internal/sandbox"
)

func TestMain(m *testing.M) {
	sandbox.RunInit()
	inRoom()
	runParent()
	runWithout()
	os.Exit(m.Run())
}

const tool = nix.StorePath("/nix/store/00000000000000000000000000000001-tool")

// compile compiles a program of testdata, statically, since there is no library in a sandbox.
func compile(name string) ([]byte, error) {
	dir, err := os.MkdirTemp("", name+"-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", dir, "./testdata/"+name)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("compile %s: %w\n%s", name, err, out)
	}
	return os.ReadFile(filepath.Join(dir, name))
}

var compileTool = sync.OnceValues(func() ([]byte, error) { return compile("builder") })

// folders are what a caller prepares for one run, where only the caller can reach them.
func folders(t testing.TB) sandbox.Spec {
	t.Helper()
	top := t.TempDir()
	if err := os.Chmod(top, 0o700); err != nil {
		t.Fatal(err)
	}
	program, err := compileTool()
	if err != nil {
		t.Fatal(err)
	}
	s := foldersAt(t, top)
	if err := os.WriteFile(filepath.Join(s.StoreDir, tool.Base()), program, 0o555); err != nil {
		t.Fatal(err)
	}
	return s
}

func foldersAt(t testing.TB, top string) sandbox.Spec {
	t.Helper()
	s := specAt(top)
	for _, dir := range []string{s.StoreDir, s.Outputs, s.Build, s.Tmp} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func specAt(top string) sandbox.Spec {
	return sandbox.Spec{
		Builder: string(tool), Inputs: []nix.StorePath{tool}, Env: []string{"A=b"},
		StoreDir: top + "/store", Outputs: top + "/outputs", Build: top + "/build", Tmp: top + "/tmp",
	}
}

func run(t testing.TB, s sandbox.Spec, args ...string) (string, sandbox.Exit) {
	t.Helper()
	var out bytes.Buffer
	s.Args = args
	e, err := new(sandbox.Runner).Run(t.Context(), s, &out)
	if err != nil {
		t.Fatal(err)
	}
	return out.String(), e
}

// says runs the builder and compares what it says.
func says(t testing.TB, s sandbox.Spec, want string, args ...string) {
	t.Helper()
	got, e := run(t, s, args...)
	if d := cmp.Diff(want, got); d != "" || !e.Success() {
		t.Errorf("%v: %v\n%s", args, e, d)
	}
}

func TestProcess(t *testing.T) {
	s := folders(t)
	s.Env = []string{"Z=1", "A=\xff", "EMPTY="}
	says(t, s, fmt.Sprintf("%q\n", []string{tool.Base(), "argv", "", "\xfe\n"}), "argv", "", "\xfe\n")
	clean := func() sandbox.Spec { return folders(t) }
	s = clean()
	s.Env = []string{"Z=1", "A=\xff", "EMPTY="}
	says(t, s, fmt.Sprintf("%q\n", s.Env), "env")
	says(t, clean(), "uid 1000 gid 100 extra groups [] pid 1 ppid 0 sid 1 host localhost domain (none) cwd /build umask 22 core 0\nstdin /dev/null\n", "identity")
	says(t, clean(), "0 /dev/null\n1 /dev/pts/\n2 /dev/pts/\n", "files")
	says(t, clean(), "a\nb\r\n\tc\x03\x04d", "terminal")
	const none = "0000000000000000\n"
	says(t, clean(), "SigBlk:\t"+none+"CapInh:\t"+none+"CapPrm:\t"+none+"CapEff:\t"+none+"CapAmb:\t"+none+
		"NoNewPrivs:\t1\nSeccomp:\t2\npersonality 00040000\ngid_map inside 100\n", "status")
}

func TestExit(t *testing.T) {
	if _, e := run(t, folders(t), "exit"); e != (sandbox.Exit{Code: 7}) || e.String() != "exit status 7" {
		t.Error(e)
	}
	s := folders(t)
	s.Builder = "/nix/store/none"
	_, err := new(sandbox.Runner).Run(t.Context(), s, io.Discard)
	var notStarted *sandbox.ExecError
	if !errors.As(err, &notStarted) || !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	s = folders(t)
	s.Builder = "/etc/passwd"
	if _, err := new(sandbox.Runner).Run(t.Context(), s, io.Discard); !errors.As(err, &notStarted) || !errors.Is(err, os.ErrPermission) {
		t.Error(err)
	}
}

func TestFileSystem(t *testing.T) {
	s := folders(t)
	for _, dir := range []string{"a-folder/sub", "another"} {
		if err := os.MkdirAll(filepath.Join(s.StoreDir, "00000000000000000000000000000002-"+dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	object := func(name string) nix.StorePath {
		return nix.StorePath("/nix/store/00000000000000000000000000000002-" + name)
	}
	if err := errors.Join(os.WriteFile(filepath.Join(s.StoreDir, object("a-folder").Base(), "f"), []byte("content"), 0o644),
		os.WriteFile(filepath.Join(s.StoreDir, object("hidden").Base()), []byte("secret"), 0o644),
		os.Symlink(string(object("a-folder")), filepath.Join(s.StoreDir, object("link").Base())),
		os.WriteFile(filepath.Join(s.Build, "given"), []byte("x"), 0o644)); err != nil {
		t.Fatal(err)
	}
	s.Inputs = append(s.Inputs, object("a-folder"), object("link"))
	want := `/
/build
/build/given
/dev
/dev/fd
/dev/full
/dev/null
/dev/ptmx
/dev/pts
/dev/pts/ptmx
/dev/random
/dev/shm
/dev/stderr
/dev/stdin
/dev/stdout
/dev/tty
/dev/urandom
/dev/zero
/etc
/etc/group
/etc/hosts
/etc/passwd
/nix
/nix/store
/nix/store/00000000000000000000000000000001-tool
/nix/store/00000000000000000000000000000002-a-folder
/nix/store/00000000000000000000000000000002-a-folder/f
/nix/store/00000000000000000000000000000002-a-folder/sub
/nix/store/00000000000000000000000000000002-link
/proc
/tmp
`
	says(t, s, want, "tree")

	again := func() sandbox.Spec {
		n := foldersAt(t, t.TempDir())
		n.StoreDir, n.Inputs = s.StoreDir, s.Inputs
		return n
	}
	says(t, again(), "/build drwx------ 1000:100\n/tmp dtrwxrwxrwx 1000:100\n/nix/store dtrwxrwxr-x 1000:100\n/etc/passwd -rw-r--r-- 1000:100\n"+
		string(tool)+" -r-xr-xr-x 1000:100\n", "modes", "/build", "/tmp", "/nix/store", "/etc/passwd", string(tool))
	says(t, again(), "00000000000000000000000000000002-hidden no such file or directory\n"+
		"00000000000000000000000000000002-link is a directory\n00000000000000000000000000000002-link -> "+string(object("a-folder"))+"\n"+
		"00000000000000000000000000000002-link can be removed\n"+ // a copy, in a folder that is the builder's
		"f \"content\"\npasswd "+fmt.Sprintf("%q", passwd)+"\n",
		"inputs", string(object("hidden")), string(object("link")), string(object("a-folder"))+"/f", "/etc/passwd")
	if _, err := os.Lstat(filepath.Join(s.StoreDir, object("link").Base())); err != nil {
		t.Error(err)
	}
}

const passwd = "root:x:0:0:Nix build user:/build:/noshell\nnixbld:x:1000:100:Nix build user:/build:/noshell\nnobody:x:65534:65534:Nobody:/:/noshell\n"

func TestCannotChangeWhatIsNotItsOwn(t *testing.T) {
	want := "/ false\n/etc/passwd false\n/dev/null false\n/dev/tty false\n/new false\n/etc/new false\n/proc/sys/kernel/hostname false\n" +
		"/proc/sys/kernel/core_pattern false\n/proc/sysrq-trigger false\n/proc/sys/vm/drop_caches false\n"
	says(t, folders(t), want, "modeset")
	host := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(host, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	says(t, folders(t), want, "escape", host, "/root", "/home", "/usr", "/sys", "/etc/shadow", "/run", "/var")
}

func TestSeesOnlyItsProcesses(t *testing.T) {
	says(t, folders(t), "1\n", "processes")
}

func TestNetworkIsALoopback(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // the host's loopback is not the sandbox's
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	addresses := []string{l.Addr().String()}
	if all, err := net.InterfaceAddrs(); err == nil {
		for _, a := range all {
			if n, ok := a.(*net.IPNet); ok {
				addresses = append(addresses, net.JoinHostPort(n.IP.String(), strconv.Itoa(l.Addr().(*net.TCPAddr).Port)))
			}
		}
	}
	says(t, folders(t), "over the loopback\nlo\n", append([]string{"network"}, addresses...)...)
}

// Fixed outputs keep the host's network.
func TestNetworkForFixedOutputs(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := folders(t)
	s.Network = true
	out, _ := run(t, s, "network", l.Addr().String())
	if !strings.Contains(out, "reached "+l.Addr().String()) {
		t.Error(out)
	}
	s = folders(t)
	s.Network = true
	says(t, s, "nsswitch.conf \"hosts: files dns\\nservices: files\\n\"\n", "inputs", "/etc/nsswitch.conf")
}

func TestRefusesMetadataThatAStoreCannotKeep(t *testing.T) {
	const no = "operation not permitted"
	refused := func(mode string) string { return mode + ": " + strings.Join([]string{no, no, no, no}, ", ") + "\n" }
	says(t, folders(t), refused("4755")+refused("2755")+refused("6755")+
		"1755: <nil>\nsetxattr: operation not supported\ngetxattr: operation not supported\nlistxattr: operation not supported\n", "metadata")
	says(t, folders(t), "-38\n", "syscall32") // ENOSYS
}

func TestDevices(t *testing.T) {
	says(t, folders(t), "/dev/null  0 EOF\n/dev/zero  4 \n/dev/full no space left on device 4 \n/dev/random  4 \n/dev/urandom  4 \n"+
		"terminals and shared memory work\n", "devices")
}

func TestOutputComesWhole(t *testing.T) {
	var want strings.Builder
	for i := range 50000 {
		fmt.Fprintln(&want, i)
	}
	says(t, folders(t), want.String(), "fill")
}

// What the builder started dies with it, and Run does not wait for it.
func TestOrphansDie(t *testing.T) {
	began := time.Now()
	out, e := run(t, folders(t), "orphan")
	if !strings.Contains(out, "started\n") || !e.Success() || time.Since(began) > 10*time.Second {
		t.Errorf("%q, %v after %v", out, e, time.Since(began))
	}
}

func TestCancelKills(t *testing.T) {
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	s := folders(t)
	s.Args = []string{"chatter"}
	_, err := new(sandbox.Runner).Run(ctx, s, writerFunc(func([]byte) error { cancel(why); return nil }))
	if !errors.Is(err, why) {
		t.Error(err)
	}
	s = folders(t)
	s.Args = []string{"chatter"}
	_, err = new(sandbox.Runner).Run(t.Context(), s, writerFunc(func([]byte) error { return why }))
	if !errors.Is(err, why) {
		t.Error(err)
	}
	if _, err = new(sandbox.Runner).Run(ctx, s, io.Discard); !errors.Is(err, why) {
		t.Error(err)
	}
}

type writerFunc func([]byte) error

func (f writerFunc) Write(b []byte) (int, error) { return len(b), f(b) }

// The test binary called with this name runs one sandbox: to be killed.
const parentName = "sandbox-test-parent"

func runParent() {
	if os.Args[0] != parentName {
		return
	}
	s := specAt(os.Args[1])
	s.Args = []string{"chatter"}
	_, err := new(sandbox.Runner).Run(context.Background(), s, os.Stdout)
	fmt.Println(err)
	os.Exit(1)
}

// kill -9 of the caller ends the builder and all that it started.
func TestDiesWithItsParent(t *testing.T) {
	s := folders(t)
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = []string{parentName, filepath.Dir(s.Build)}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, len("still here"))); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait() // it was killed
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		left := processesOf(t, "chatter")
		if len(left) == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("processes %v are left", left)
		}
	}
}

// processesOf are the tests' builders that run a command.
func processesOf(t *testing.T, command string) (pids []string) {
	t.Helper()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range lines {
		b, err := os.ReadFile(l)
		if err == nil && strings.HasPrefix(string(b), tool.Base()+"\x00"+command+"\x00") {
			pids = append(pids, strings.Split(l, "/")[2])
		}
	}
	return pids
}

// A caller that ignores signals (nohup, a shell's background job) does not pass that on.
func TestSignalsAreTheDefault(t *testing.T) {
	signal.Ignore(syscall.SIGHUP, syscall.SIGINT, syscall.SIGUSR1)
	defer signal.Reset()
	says(t, folders(t), "SigIgn:\t0000000000000000\nhangup ignored: false\n", "signals")
}

func TestRefusesBadSpecifications(t *testing.T) {
	for name, spoil := range map[string]func(*sandbox.Spec){
		"relative folder":    func(s *sandbox.Spec) { s.Build = "build" },
		"folder in a folder": func(s *sandbox.Spec) { s.Tmp = s.Build + "/tmp" },
		"same folder":        func(s *sandbox.Spec) { s.Tmp = s.Build },
		"no folder":          func(s *sandbox.Spec) { s.Outputs += "x" },
		"input not there":    func(s *sandbox.Spec) { s.Inputs = append(s.Inputs, tool+"x") },
		"input twice":        func(s *sandbox.Spec) { s.Inputs = append(s.Inputs, tool) },
		"input elsewhere":    func(s *sandbox.Spec) { s.Inputs = append(s.Inputs, "/nix/store/../../etc") },
		"NUL":                func(s *sandbox.Spec) { s.Args = []string{"a\x00b"} },
	} {
		t.Run(name, func(t *testing.T) {
			s := folders(t)
			s.Args = []string{"hello"}
			spoil(&s)
			var out bytes.Buffer
			if _, err := new(sandbox.Runner).Run(t.Context(), s, &out); err == nil || out.Len() > 0 {
				t.Errorf("error %v, output %q", err, &out)
			}
		})
	}
}

func TestProbe(t *testing.T) {
	program, err := compile("probe")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	exe := filepath.Join(t.TempDir(), "probe")
	if err := os.WriteFile(exe, program, 0o755); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(exe, dir).CombinedOutput()
	if want := "kernel true, sandbox <nil>, nested <nil>, error <nil>\n"; string(out) != want || err != nil {
		t.Errorf("%s%v", out, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("%v is left (%v)", left, err)
	}
}
