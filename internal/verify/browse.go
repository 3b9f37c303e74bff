package verify

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"headwater/internal/browser"
	"headwater/internal/proof"
	"headwater/internal/recipe"
)

// chrome is the browser of a checker, started when a check first needs it.
type chrome struct{ b *browser.Browser }

func (c *chrome) close() error {
	if c.b == nil {
		return nil
	}
	b := c.b
	c.b = nil
	return b.Close()
}

// stepsInTime is how many steps that each wait as long as they may fit into the time of a check: whoever gives checks more time, on a slow
// machine, gives it to steps.
const stepsInTime = 8

// newPage opens a page with cookies of its own. The browser lives until close, not as long as ctx.
func (c *checker) newPage(ctx context.Context) (*browser.Page, error) {
	if c.chrome.b == nil {
		root, ok := c.roots[c.recipe.Browser]
		if !ok {
			return nil, fmt.Errorf("root %q, which has the browser, is not there", c.recipe.Browser)
		}
		dir := filepath.Join(c.work, stateDir, "browser")
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
		log, err := os.Create(filepath.Join(c.work, LogDir, "browser.log"))
		if err != nil {
			return nil, err
		}
		if c.chrome.b, err = browser.Start(context.WithoutCancel(ctx), browser.Config{Root: root, Dir: dir, Logs: log, Wait: c.limit / stepsInTime}); err != nil {
			return nil, err
		}
	}
	return c.chrome.b.NewPage(ctx)
}

// browse does what a person does, in a page of their own.
func (c *checker) browse(ctx context.Context, base string, check recipe.Check) outcome {
	page, err := c.newPage(ctx)
	if err != nil {
		return failed("a browser to look with", err.Error())
	}
	defer page.Close()
	o := c.steps(ctx, page, base, check)
	list := c.unwelcome(page.Problems())
	switch {
	case o.failure == nil && len(list) > 0:
		bad := failed("the page has no errors and loads all that it refers to", strings.Join(list, "\n"))
		bad.shots, bad.likely = o.shots, brokenPage(list)
		return bad
	case o.failure != nil && len(list) > 0:
		o.failure.Seen += "\nthe page tells of: " + strings.Join(list, "\n")
		o.likely = brokenPage(list)
	case o.failure != nil:
		o.likely = []proof.Cause{{Class: "page of another release", Change: "components", Text: "the page meets no error and does not show that: " +
			"it, or a client that it is built with, may be of another release or schema than what answers it, or the check of another release's page"}}
	}
	return o
}

// turnedAway is a page's request that was answered that one must sign in, or may not.
var turnedAway = regexp.MustCompile(`^request: .*: answers 40[13]\b`)

// brokenPage is what a page's own errors speak for.
func brokenPage(problems []string) []proof.Cause {
	if !slices.ContainsFunc(problems, func(p string) bool { return !turnedAway.MatchString(p) }) {
		return []proof.Cause{{Class: "refused request", Change: "allow-logs", Text: "the page asks for what it is refused: " +
			"where it does so before anybody has signed in, to see whether somebody has, that is no fault, and the line may be allowed"}}
	}
	return []proof.Cause{{Class: "broken page", Change: "package.layout", Text: "the page's scripts fail, or what it loads is not there: " +
		"it may be built for another path, lack files that the layout is to bring, or be kept from loading them by a policy"}}
}

// unwelcome leaves out what the recipe allows.
func (c *checker) unwelcome(problems []string) []string {
	var list []string
	for _, p := range problems {
		if !c.allowed(p) {
			list = append(list, p)
		}
	}
	return list
}

// steps does a check's steps in a page, until one fails. What a person is to see is kept as a picture, and how it ends.
func (c *checker) steps(ctx context.Context, page *browser.Page, base string, check recipe.Check) outcome {
	var o outcome
	shoot := func(what string) {
		if shot, err := c.shoot(ctx, page, check.Name+": "+what); err == nil { // a page that has ended is told of by the step
			o.shots = append(o.shots, shot)
		}
	}
	for i, s := range check.Browser {
		step, text, err := c.step(base, s)
		if err == nil {
			err = page.Do(ctx, step)
		}
		if err != nil {
			o.failure = &proof.Failure{Expected: fmt.Sprintf("step %d: %s", i+1, text), Seen: err.Error()}
		}
		if err != nil || s.See != "" || i == len(check.Browser)-1 {
			shoot(text)
		}
		if err != nil {
			break
		}
	}
	return o
}

// step makes a step for the browser, and tells it in words.
func (c *checker) step(base string, s recipe.Step) (step browser.Step, text string, err error) {
	switch {
	case s.Open != "":
		text = "open " + s.Open
		step.Open, err = c.expand(s.Open)
		step.Open = base + step.Open
	case s.Press != "":
		text = fmt.Sprintf("press %q", s.Press)
		step.Press, err = c.expand(s.Press)
	case s.See != "":
		text = fmt.Sprintf("see %q", s.See)
		step.See, err = c.expand(s.See)
	default:
		text = fmt.Sprintf("fill in %q", slices.Sorted(maps.Keys(s.Fill)))
		step.Fill = map[string]string{}
		for _, label := range slices.Sorted(maps.Keys(s.Fill)) {
			if step.Fill[label], err = c.expand(s.Fill[label]); err != nil {
				break
			}
		}
	}
	return step, text, err
}

// shoot takes a screenshot.
func (c *checker) shoot(ctx context.Context, page *browser.Page, title string) (proof.Shot, error) {
	png, err := page.Screenshot(ctx)
	if err != nil {
		return proof.Shot{}, err
	}
	return c.keepShot(title, png)
}
