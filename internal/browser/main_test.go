package browser_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"testing"

	"headwater/internal/browser"
	"headwater/internal/roottest"
	"headwater/internal/sandbox"
)

var (
	relock = flag.Bool("lock", false, "pin the browser's packages anew")
	held   = flag.String("hold", "", "start a browser with this folder, out of the root after it, say so, and wait for the end")
)

// suite is what the browser's packages are of. Without the suite of security updates, whose packages are replaced within weeks and are
// then no longer to be had from a mirror.
const suite = "trixie"

func TestMain(m *testing.M) {
	sandbox.RunInit()
	flag.Parse()
	if *relock {
		if err := roottest.Pin(context.Background(), "testdata/headwater.lock", []string{"chromium-headless-shell", "fonts-dejavu-core"}, suite); err != nil {
			panic(err)
		}
	}
	if *held != "" {
		if err := hold(*held, flag.Arg(0)); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// hold keeps a browser running for as long as this process is.
func hold(dir, root string) error {
	ctx := context.Background()
	b, err := browser.Start(ctx, browser.Config{Root: root, Dir: dir, Logs: os.Stderr})
	if err != nil {
		return err
	}
	p, err := b.NewPage(ctx)
	if err != nil {
		return err
	}
	for _, s := range []browser.Step{{Open: "data:text/html,Hello"}, {See: "Hello"}} {
		if err := p.Do(ctx, s); err != nil {
			return err
		}
	}
	fmt.Println("it is up")
	select {}
}
