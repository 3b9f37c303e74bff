// Package browser uses web pages as a person does, with a real headless Chromium out of a root of pinned Debian packages.
//
// A person finds a field by the label that stands at it, a button by what is written on it, and judges by what is to be read on the
// page. So do steps here: no selector, no id, and nothing that CSS hides. Labels are the browser's own accessible names, read from outside
// of the page, so open and closed shadow roots and frames are no obstacle. Every step waits until what it needs is there and can be used,
// within a limit; an error says what was looked for and what there was to be seen. Values that were filled in stand in no error.
//
//	b, err := browser.Start(ctx, browser.Config{Root: root, Dir: dir, Logs: os.Stderr})
//	defer b.Close()
//	p, err := b.NewPage(ctx)
//	err = p.Do(ctx, browser.Step{Open: "http://127.0.0.1:9000/"})
//	err = p.Do(ctx, browser.Step{Fill: map[string]string{"Username": "admin", "Password": password}})
//	err = p.Do(ctx, browser.Step{Press: "Sign in"})
//	err = p.Do(ctx, browser.Step{See: "Signed in as admin"})
package browser
