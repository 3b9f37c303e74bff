package browser_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"image/png"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"headwater/internal/browser"
	"headwater/internal/lock"
	"headwater/internal/proctest"
	"headwater/internal/roottest"
	"headwater/internal/sandbox"
)

// root is the folder of the root with Chromium.
func root(ctx context.Context) (string, error) {
	data, err := os.ReadFile("testdata/headwater.lock")
	if err != nil {
		return "", err
	}
	locked, err := lock.Parse(data)
	if err != nil {
		return "", err
	}
	return roottest.Unpacked(ctx, locked, suite)
}

// start starts a browser for a test, which fails if it leaves a process.
func start(t *testing.T, wait time.Duration) *browser.Browser {
	t.Helper()
	root, err := root(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var logs bytes.Buffer
	b, err := browser.Start(context.WithoutCancel(t.Context()), browser.Config{Root: root, Dir: dir, Logs: &logs, Wait: wait})
	if err != nil {
		t.Fatalf("%v\n%s", err, &logs)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		gone(t, dir)
	})
	return b
}

// gone waits until no process has dir in its arguments.
func gone(t *testing.T, dir string) {
	t.Helper()
	for end := time.Now().Add(3 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		left := processes(t, dir)
		if len(left) == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("processes are left: %v", left)
		}
	}
}

// processes lists the processes that have dir in their arguments: those that hold the namespace in which Chromium runs.
func processes(t *testing.T, dir string) []string {
	t.Helper()
	pids, err := proctest.With(dir)
	if err != nil {
		t.Fatal(err)
	}
	return pids
}

func newPage(t *testing.T, b *browser.Browser) *browser.Page {
	t.Helper()
	p, err := b.NewPage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func do(t *testing.T, p *browser.Page, steps ...browser.Step) {
	t.Helper()
	for _, s := range steps {
		if err := p.Do(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
}

type fields = map[string]string

// Every kind of page is used by what is to be seen of it.
func TestSteps(t *testing.T) {
	b, base := start(t, 10*time.Second), serve(t)
	signIn := []browser.Step{{Fill: fields{"Username": "alice", "Password": "hunter22"}}, {Press: "Sign in"}, {See: "Signed in as alice"}, {See: "with 8 characters"}}
	for _, c := range []struct {
		name, path string
		steps      []browser.Step
	}{
		{"plain form", "/plain", signIn},
		{"labels of other kinds", "/labels", []browser.Step{
			{Fill: fields{"Account": "alice", "Secret word": "hunter22", "One-time code": "1"}}, {Press: "Continue"}, {See: "Signed in as alice"}}},
		{"fields of other kinds", "/kinds", []browser.Step{
			{Fill: fields{"Language": "French", "Birthday": "2001-02-03", "Number": "42", "Stay signed in": "true", "Remarks": "new", "Plan": "true"}},
			{Press: "Send it"}, {See: "language=fr&day=2001-02-03&number=42&stay=1&remarks=new&plan=big"}}},
		{"shadow roots", "/shadow", []browser.Step{
			{Fill: fields{"User name": "alice", "Password": "hunter22"}}, {Press: "Sign in"}, {See: "Signed in as alice with 8 characters"}}},
		{"closed shadow roots", "/shadow?mode=closed", []browser.Step{
			{Fill: fields{"User name": "alice", "Password": "hunter22"}}, {Press: "Sign in"}, {See: "Signed in as alice with 8 characters"}}},
		{"late", "/late", signIn},
		{"two steps", "/two", []browser.Step{
			{Fill: fields{"Username": "alice"}}, {Press: "Continue"}, {Fill: fields{"Password": "hunter22"}}, {Press: "Continue"}, {See: "Hello alice"}}},
		{"two steps in a hurry", "/two", []browser.Step{{Fill: fields{"Username": "alice"}}, {Press: "Continue"}, {Press: "Continue"}, {See: "Hello alice"}}},
		{"frame", "/frame", append([]browser.Step{{See: "Outside"}}, signIn...)},
		{"frame of another origin", "/frame-elsewhere", append([]browser.Step{{See: "Outside"}}, signIn...)},
		{"labels that only stand there", "/loose", signIn},
		{"a button before a link", "/prefer", []browser.Step{{Press: "Sign in"}, {See: "Signed in as"}}},
		{"what reacts to clicks", "/card", []browser.Step{{Press: "Open the card"}, {See: "Opened"}}},
		{"dialog", "/dialog", []browser.Step{{Press: "Ask"}, {See: "Agreed"}}},
		{"what is folded", "/hidden", []browser.Step{{Press: "More"}, {See: "Gone until opened"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPage(t, b)
			do(t, p, append([]browser.Step{{Open: base + c.path}}, c.steps...)...)
			if got := p.Problems(); got != nil {
				t.Errorf("problems: %q", got)
			}
		})
	}
}

// What can't be done says what was looked for, why not, and what there is.
func TestErrors(t *testing.T) {
	b, base := start(t, 3*time.Second), serve(t)
	for _, c := range []struct {
		name, path string
		step       browser.Step
		want       []string
	}{
		{"no such field", "/plain", browser.Step{Fill: fields{"E-mail": "geheim"}}, []string{
			`fill in "E-mail": there is no such field after 3s`, `fields: "Username *", "Password"`, `buttons: "Sign in"`, `text: Welcome`, `/plain "Plain"`}},
		{"no such button", "/plain", browser.Step{Press: "Log in"}, []string{`press "Log in": there is no such button or link`, `buttons: "Sign in"`}},
		{"no such text", "/plain", browser.Step{See: "Signed in"}, []string{`see "Signed in": it is not to be read`, "Welcome"}},
		{"disabled button", "/disabled", browser.Step{Press: "Sign in"}, []string{"it is disabled", `"Sign in" (disabled)`}},
		{"disabled field", "/disabled", browser.Step{Fill: fields{"Username": "geheim"}}, []string{"the field is disabled"}},
		{"read-only field", "/kinds", browser.Step{Fill: fields{"Read": "geheim"}}, []string{"the field is read-only"}},
		{"no such option", "/kinds", browser.Step{Fill: fields{"Language": "Latin"}}, []string{`it has ["German" "French"]`}},
		{"hidden by display", "/hidden", browser.Step{See: "Gone by display"}, []string{"not to be read", "text: To be read / More"}},
		{"hidden by visibility", "/hidden", browser.Step{See: "Gone by visibility"}, []string{"not to be read"}},
		{"hidden by opacity", "/hidden", browser.Step{See: "Gone by opacity"}, []string{"not to be read"}},
		{"out of the page", "/hidden", browser.Step{See: "Gone to the left"}, []string{"not to be read"}},
		{"for screen readers", "/hidden", browser.Step{See: "For screen readers"}, []string{"not to be read"}},
		{"typed in", "/hidden", browser.Step{See: "Typed in"}, []string{"not to be read"}},
		{"folded", "/hidden", browser.Step{See: "Gone until opened"}, []string{"not to be read"}},
		{"hidden button", "/hidden", browser.Step{Press: "Gone button"}, []string{"there is no such"}},
		{"pale button", "/hidden", browser.Step{Press: "Pale button"}, []string{"but not to be seen"}},
		{"two of that name", "/twice", browser.Step{Press: "Delete"}, []string{"2 button or links are called that"}},
		{"covered", "/covered", browser.Step{Press: "Accept"}, []string{"something covers it"}},
		{"cut off", "/short", browser.Step{Fill: fields{"PIN": "geheim"}}, []string{"does not take the value: of 6 characters it has 4"}},
		{"nothing answers", "/plain", browser.Step{Open: "http://127.0.0.1:" + closedPort(t) + "/?token=geheim"}, []string{"open http://127.0.0.1:", "/?…", "CONNECTION_REFUSED"}},
		{"never answers", "/plain", browser.Step{Open: base + "/hangs"}, []string{"has not loaded within 3s", "not answered yet: GET " + base + "/hangs"}},
		{"two in one step", "/plain", browser.Step{Press: "a", See: "b"}, []string{"2 of open"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newPage(t, b)
			do(t, p, browser.Step{Open: base + c.path})
			began := time.Now()
			err := p.Do(t.Context(), c.step)
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not in:\n%v", want, err)
				}
			}
			if strings.Contains(err.Error(), "geheim") {
				t.Errorf("a value is in:\n%v", err)
			}
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

// What was filled in is in no error and no problem later on, whatever the page does with it.
func TestValuesAreInNoError(t *testing.T) {
	b, base := start(t, 3*time.Second), serve(t)
	p := newPage(t, b)
	const value = `pa"ss wo&rd`
	do(t, p, browser.Step{Open: base + "/plain"}, browser.Step{Fill: fields{"Username": value, "Password": "x"}}, browser.Step{Press: "Sign in"})
	err := p.Do(t.Context(), browser.Step{See: "Welcome " + value})
	if err == nil || strings.Contains(err.Error(), "wo&rd") || !strings.Contains(err.Error(), "Signed in as •••") {
		t.Error(err)
	}
	do(t, p, browser.Step{Open: base + "/signed-in?user=pa%22ss+wo%26rd"})
}

func TestProblems(t *testing.T) {
	b, base := start(t, 5*time.Second), serve(t)
	p := newPage(t, b)
	do(t, p, browser.Step{Open: base + "/problems"})
	want := []string{"console: it hurts 7", "exception: Uncaught Error: uncaught", "request: GET " + base + "/missing?…: answers 404",
		"/: net::ERR_CONNECTION_REFUSED", "security: Loading the script 'http://other.invalid/x.js'", "cookie: elsewhere is not accepted: InvalidDomain"}
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		all := strings.Join(p.Problems(), "\n")
		missing := ""
		for _, w := range want {
			if !strings.Contains(all, w) {
				missing = w
			}
		}
		if strings.Contains(all, "t0psecret") {
			t.Fatalf("a token is in\n%s", all)
		}
		if missing == "" {
			t.Log(all)
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%q is not in\n%s", missing, all)
		}
	}
}

// Pages share no cookies, and steps of one page do.
func TestCookies(t *testing.T) {
	b, base := start(t, 5*time.Second), serve(t)
	p := newPage(t, b)
	do(t, p, browser.Step{Open: base + "/signed-in?user=alice"}, browser.Step{Open: base + "/whoami"}, browser.Step{See: "You send 1 cookies: [session=alice]"})
	do(t, newPage(t, b), browser.Step{Open: base + "/whoami"}, browser.Step{See: "You send 0 cookies"})
	p.Close()
	if err := p.Do(t.Context(), browser.Step{See: "You"}); err == nil || !strings.Contains(err.Error(), "the page was closed") {
		t.Error(err)
	}
}

// Where an application would be, nothing answers; the address is known all the same, each time anew.
func TestWaitURL(t *testing.T) {
	b, base := start(t, 3*time.Second), serve(t)
	p := newPage(t, b)
	for _, state := range []string{"one", "two"} {
		do(t, p, browser.Step{Open: base + "/authorize?state=" + state})
		got, err := p.WaitURL(t.Context(), "http://app.invalid/callback")
		if want := "http://app.invalid/callback?code=c0de&state=" + state; err != nil || got != want {
			t.Errorf("%q, %v, want %q", got, err, want)
		}
	}
	_, err := p.WaitURL(t.Context(), "http://app.invalid/callback?code=")
	if err == nil || !strings.Contains(err.Error(), "http://app.invalid/callback?…: the page does not go there after 3s") || strings.Contains(err.Error(), "c0de") {
		t.Error(err)
	}
	if got := p.Problems(); got != nil {
		t.Errorf("problems: %q", got)
	}
}

// A page that says no is not waited for to the end.
func TestWaitURLRefused(t *testing.T) {
	b, base := start(t, time.Minute), serve(t)
	p := newPage(t, b)
	do(t, p, browser.Step{Open: base + "/no-such-page"})
	_, err := p.WaitURL(t.Context(), "http://app.invalid/")
	if err == nil || !strings.Contains(err.Error(), "the page does not go there, but answers 404 Not Found") {
		t.Error(err)
	}
	err = p.Do(t.Context(), browser.Step{Press: "Allow"})
	if err == nil || !strings.Contains(err.Error(), "there is no such button or link, and the page answers 404 Not Found") {
		t.Error(err)
	}
}

func TestScreenshot(t *testing.T) {
	b, base := start(t, 5*time.Second), serve(t)
	p := newPage(t, b)
	do(t, p, browser.Step{Open: base + "/plain"})
	shot, err := p.Screenshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	picture, err := png.Decode(bytes.NewReader(shot))
	if err != nil {
		t.Fatal(err)
	}
	if size := picture.Bounds().Size(); size.X != 1280 || size.Y < 600 {
		t.Errorf("size %v", size)
	}
	if dir := os.Getenv("HEADWATER_KEEP_SCREENSHOTS"); dir != "" {
		if err := os.WriteFile(filepath.Join(dir, "plain.png"), shot, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// A caller that gives up is told at once, and can tell that it was it.
func TestCancel(t *testing.T) {
	b, base := start(t, time.Minute), serve(t)
	p := newPage(t, b)
	do(t, p, browser.Step{Open: base + "/plain"})
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	began := time.Now()
	err := p.Do(ctx, browser.Step{See: "never"})
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 2*time.Second {
		t.Errorf("after %v: %v", time.Since(began), err)
	}
	do(t, p, browser.Step{See: "Welcome"})
}

// A Chromium that dies ends a step at once, and leaves nothing.
func TestKilled(t *testing.T) {
	b, base := start(t, time.Minute), serve(t)
	p := newPage(t, b)
	do(t, p, browser.Step{Open: base + "/plain"})
	ended := make(chan error)
	go func() { ended <- p.Do(t.Context(), browser.Step{See: "never"}) }()
	time.Sleep(300 * time.Millisecond)
	if err := syscall.Kill(mainProcess(t), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err == nil || !strings.Contains(err.Error(), "Chromium has ended") {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the step does not end")
	}
}

// mainProcess is this test's Chromium itself: a descendant of this process that is of no other type.
func mainProcess(t *testing.T) int {
	t.Helper()
	for _, pid := range processes(t, "--user-data-dir=/profile") {
		command, err := os.ReadFile("/proc/" + pid + "/cmdline")
		if err != nil || !bytes.HasPrefix(command, []byte("/usr/lib/chromium/")) || bytes.Contains(command, []byte("--type=")) {
			continue
		}
		for p := pid; p != "1" && p != "0"; p = parent(p) {
			if p == strconv.Itoa(os.Getpid()) {
				n, err := strconv.Atoi(pid)
				if err != nil {
					t.Fatal(err)
				}
				return n
			}
		}
	}
	t.Fatal("there is no Chromium")
	return 0
}

// parent is the process that started another, "0" if it is gone.
func parent(pid string) string {
	b, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		return "0"
	}
	_, rest, _ := strings.Cut(string(b), "PPid:")
	return strings.Fields(rest)[0]
}

// Chromium runs on the machine and in a room, where the loopback is all there is of a network, and does not outlive who started it, however
// that ends.
func TestHeld(t *testing.T) {
	root, err := root(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		start func(dir string, args []string) (said io.Reader, kill func(), err error)
	}{
		{"on the machine", func(_ string, args []string) (io.Reader, func(), error) {
			cmd := exec.Command(args[0], args[1:]...)
			cmd.Stderr = os.Stderr
			said, err := cmd.StdoutPipe()
			if err == nil {
				err = cmd.Start()
			}
			return said, func() {
				_ = cmd.Process.Kill()
				_ = cmd.Wait() // killed
			}, err
		}},
		{"in a room", func(dir string, args []string) (io.Reader, func(), error) {
			p, pipes, err := sandbox.Room{Args: args, Env: os.Environ(), Own: []string{dir}, Reach: []string{root}}.StartPiped()
			if err != nil {
				return nil, nil, err
			}
			go func() { _, _ = io.Copy(os.Stderr, pipes.Err) }()
			return pipes.Out, func() {
				p.Kill()
				_ = p.Wait() // killed
				pipes.Close()
			}, nil
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			out, kill, err := c.start(dir, []string{os.Args[0], "-hold", dir, root})
			if err != nil {
				t.Fatal(err)
			}
			said, err := bufio.NewReader(out).ReadString('\n')
			if err != nil || said != "it is up\n" {
				t.Errorf("said %q, %v", said, err)
			}
			kill()
			gone(t, dir)
		})
	}
}

// A root without Chromium, and one in which it does not start, are told at once.
func TestNoChromium(t *testing.T) {
	empty := t.TempDir()
	if _, err := browser.Start(t.Context(), browser.Config{Root: empty, Dir: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "wants the package chromium-headless-shell or chromium") {
		t.Error(err)
	}
	if err := os.MkdirAll(filepath.Join(empty, "usr/lib/chromium"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(empty, "usr/lib/chromium/chromium-headless-shell"), nil, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := browser.Start(t.Context(), browser.Config{Root: empty, Dir: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "start Chromium") {
		t.Error(err)
	}
}

// A page whose process dies says so.
func TestCrashed(t *testing.T) {
	b, base := start(t, 5*time.Second), serve(t)
	p := newPage(t, b)
	do(t, p, browser.Step{Open: base + "/plain"})
	if err := p.Do(t.Context(), browser.Step{Open: "chrome://crash"}); err == nil {
		t.Error("the crash is no error")
	}
	if err := p.Do(t.Context(), browser.Step{See: "Welcome"}); err == nil || !strings.Contains(err.Error(), "the page crashed") {
		t.Error(err)
	}
	do(t, newPage(t, b), browser.Step{Open: base + "/plain"}, browser.Step{See: "Welcome"})
}
