package browser

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/chromedp"

	"headwater/internal/dag"
)

// Config says which browser to start.
type Config struct {
	Root string        // the root with Chromium, where it really is
	Dir  string        // folder for the profile and what Chromium keeps; made if it is not there
	Logs io.Writer     // what Chromium itself prints; nil means nowhere
	Wait time.Duration // how long a step may wait; 0 means 15 seconds
}

// Limits on what a browser may take to start and to end.
const (
	startTime = 30 * time.Second
	stopTime  = 10 * time.Second
)

// Browser is a running Chromium.
type Browser struct {
	wait   time.Duration
	ctx    context.Context // chromedp's handle of the process, which this type is there to own
	cancel context.CancelFunc
	work   sync.WaitGroup // goroutines of pages
}

// programs are where Debian's packages have a Chromium, the smaller one first, and what makes it run without a screen.
var programs = [...]struct{ file, flag string }{
	{"/usr/lib/chromium/chromium-headless-shell", ""},
	{"/usr/lib/chromium/chromium", "headless"},
}

// Start starts Chromium inside its root and returns once it answers. It ends with ctx, with Close, and with this process.
func Start(ctx context.Context, c Config) (*Browser, error) {
	b, err := start(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("start Chromium: %w", err)
	}
	return b, nil
}

func start(ctx context.Context, c Config) (*Browser, error) {
	if c.Wait == 0 {
		c.Wait = 15 * time.Second
	}
	if c.Logs == nil {
		c.Logs = io.Discard
	}
	enter, headless, err := command(c)
	if err != nil {
		return nil, err
	}
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(enter[0]), chromedp.NoInheritEnv, chromedp.UserDataDir(profileAt), chromedp.CombinedOutput(c.Logs),
		chromedp.ModifyCmdFunc(func(cmd *exec.Cmd) {
			cmd.Args = append(enter[:len(enter):len(enter)], cmd.Args[1:]...)
			// Killed with this process; bubblewrap takes all that is inside along.
			cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
		}),
	}
	for _, f := range append(flags[:], headless) {
		if name, value, _ := strings.Cut(f, "="); name != "" && value != "" {
			options = append(options, chromedp.Flag(name, value))
		} else if name != "" {
			options = append(options, chromedp.Flag(name, true))
		}
	}
	ctx, stop := chromedp.NewExecAllocator(ctx, options...)
	ctx, cancel := chromedp.NewContext(ctx, chromedp.WithErrorf(func(string, ...any) {}))
	b := &Browser{wait: c.Wait, ctx: ctx, cancel: func() { cancel(); stop() }}
	// The context of the first call is the browser's life, so it has no deadline; the limit is kept from outside.
	late := time.AfterFunc(startTime, cancel)
	err = chromedp.Do(ctx)
	if !late.Stop() {
		err = errors.Join(fmt.Errorf("does not answer within %v", startTime), err)
	}
	if err != nil {
		b.cancel()
		return nil, err
	}
	return b, nil
}

// profileAt is where the profile stands inside.
const profileAt = "/profile"

// flags of Chromium's. Its own sandbox is off: it needs a setuid helper or user namespaces of its own, which there are not everywhere below
// those of the caller. The sandbox is bubblewrap, around all of Chromium: it sees its root, read-only, its profile, and the network of the
// caller. Frames of other origins stay in their page's process, so that one session reaches all of a page.
var flags = [...]string{
	"no-sandbox", "no-zygote", "disable-gpu", "no-first-run", "no-default-browser-check", "no-proxy-server", "mute-audio", "hide-scrollbars",
	"disable-background-networking", "disable-component-update", "disable-sync", "disable-default-apps", "disable-extensions",
	"disable-breakpad", "disable-crash-reporter", "disable-client-side-phishing-detection", "disable-domain-reliability",
	"disable-background-timer-throttling", "disable-backgrounding-occluded-windows", "disable-renderer-backgrounding",
	"disable-popup-blocking", "disable-hang-monitor", "disable-prompt-on-repost", "metrics-recording-only", "password-store=basic",
	"force-color-profile=srgb", "lang=en-US", "window-size=1280,900", "disable-site-isolation-trials",
	"disable-features=IsolateOrigins,site-per-process,Translate,OptimizationHints,MediaRouter,HttpsUpgrades,AutofillServerCommunication",
}

// command is what starts Chromium inside its root, up to Chromium's own arguments: the root's own loader starts its bubblewrap, as for
// builds and services. It makes the profile's folder.
func command(c Config) (args []string, headless string, err error) {
	program := ""
	for _, p := range programs {
		if _, err := os.Stat(c.Root + p.file); err == nil {
			program, headless = p.file, p.flag
			break
		}
	}
	if program == "" {
		return nil, "", fmt.Errorf("root %s has no Chromium: it wants the package chromium-headless-shell or chromium", c.Root)
	}
	profile := filepath.Join(c.Dir, "profile")
	if err := os.MkdirAll(profile, 0o700); err != nil {
		return nil, "", err
	}
	lib := c.Root + dag.LibDir
	args = []string{
		lib + "/ld-linux-x86-64.so.2", "--library-path", lib, c.Root + "/usr/bin/bwrap",
		"--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--die-with-parent", "--new-session", "--uid", "1000", "--gid", "1000",
		"--clearenv", "--setenv", "PATH", "/usr/bin", "--setenv", "LANG", "C.UTF-8", "--setenv", "HOME", profileAt, "--setenv", "TZ", "UTC",
		"--ro-bind", c.Root + "/usr", "/usr", "--ro-bind", c.Root + "/etc", "/etc",
		"--symlink", "usr/bin", "/bin", "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64",
		"--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--tmpfs", "/run", "--bind", profile, profileAt,
	}
	if os.Geteuid() == 0 { // who may write these, whatever namespaces it is in
		args = append(args, "--ro-bind-try", "/proc/sys", "/proc/sys", "--ro-bind-try", "/proc/sysrq-trigger", "/proc/sysrq-trigger")
	}
	for _, file := range []string{"/etc/resolv.conf", "/etc/hosts"} { // names are resolved as the caller does, whose network this is
		if exists(c.Root+file) && exists(file) {
			args = append(args, "--ro-bind", file, file)
		}
	}
	return append(args, "--remount-ro", "/", "--", program), headless, nil
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// ended tells that Chromium is there no more, by what was seen of it.
func ended(cause error) error { return fmt.Errorf("Chromium has ended: %w", cause) }

// Close ends Chromium and all of its processes, in the ordinary way where it still answers.
func (b *Browser) Close() error {
	ctx, cancel := context.WithTimeout(b.ctx, stopTime)
	defer cancel()
	err := chromedp.Cancel(ctx)
	b.cancel()
	b.work.Wait()
	if err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("stop Chromium: %w", err)
	}
	return nil
}

// NewPage opens an empty page that shares no cookies, storage or cache with another.
func (b *Browser) NewPage(ctx context.Context) (*Page, error) {
	pageCtx, _ := chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext())
	p := &Page{browser: b, watch: newWatch()}
	p.ctx, p.end = context.WithCancelCause(pageCtx)
	// The first call's context is the page's life, so the caller's is kept out of it.
	defer context.AfterFunc(ctx, func() { _ = chromedp.Cancel(pageCtx) })()
	if err := chromedp.Listen(pageCtx, p.event); err != nil {
		if b.ctx.Err() != nil && ctx.Err() == nil {
			err = ended(err)
		}
		return nil, fmt.Errorf("open a page: %w", errors.Join(ctx.Err(), err))
	}
	p.watch.of(cdp.FrameID(chromedp.FromContext(pageCtx).Target.TargetID)) // they are the same
	return p, nil
}
