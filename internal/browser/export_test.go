package browser

import "github.com/chromedp/cdproto/domsnapshot"

// Lines is what is to be read on a page, from a snapshot of its layout.
func Lines(shot domsnapshot.CaptureSnapshotResult) []string {
	return read(shot.Strings, shot.Documents).lines
}
