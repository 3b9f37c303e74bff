package browser_test

import (
	"encoding/json"
	"testing"

	"github.com/chromedp/cdproto/domsnapshot"
	"github.com/google/go-cmp/cmp"

	"headwater/internal/browser"
)

// snapshot is of <p>To <b>be</b></p><p style="opacity:0">not</p>.
const snapshot = `{
	"strings": ["#document", "P", "B", "#text", "To ", "be", "not", "block", "inline", "visible", "1", "0"],
	"documents": [{"documentURL": -1, "title": -1, "baseURL": -1, "contentLanguage": -1, "encodingName": -1, "publicId": -1, "systemId": -1, "frameId": -1,
		"nodes": {"parentIndex": [-1, 0, 1, 1, 3, 0, 5], "nodeType": [9, 1, 3, 1, 3, 1, 3], "nodeName": [0, 1, 3, 2, 3, 1, 3],
			"nodeValue": [-1, -1, 4, -1, 5, -1, 6], "backendNodeId": [1, 2, 3, 4, 5, 6, 7], "attributes": [[], [], [], [], [], [], []]},
		"layout": {"nodeIndex": [1, 2, 3, 4, 5, 6], "text": [-1, 4, -1, 5, -1, 6], "stackingContexts": {"index": []},
			"styles": [[7, 9, 10, 9], [], [8, 9, 10, 9], [], [7, 9, 11, 9], []],
			"bounds": [[8, 8, 90, 20], [8, 8, 20, 20], [28, 8, 20, 20], [28, 8, 20, 20], [8, 40, 90, 20], [8, 40, 20, 20]]}}]
}`

func TestLayout(t *testing.T) {
	var shot domsnapshot.CaptureSnapshotResult
	if err := json.Unmarshal([]byte(snapshot), &shot); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"To be"}, browser.Lines(shot)); diff != "" {
		t.Error(diff)
	}
}

// A snapshot whose lists do not fit together is read as far as it goes.
func FuzzLayout(f *testing.F) {
	f.Add([]byte(snapshot))
	f.Add([]byte(`{"documents": [{"nodes": {"nodeName": [1, 2], "parentIndex": [5, 1]}, "layout": {"nodeIndex": [0, 1, 9]}}]}`))
	f.Add([]byte(`{"documents": [null]}`))
	f.Add([]byte(`{"documents": [{"nodes": {"nodeName": [0], "contentDocumentIndex": {"index": [0], "value": [0]}}, "layout": {}}, null]}`))
	f.Fuzz(func(_ *testing.T, data []byte) {
		var shot domsnapshot.CaptureSnapshotResult
		if json.Unmarshal(data, &shot) == nil && len(shot.Documents) > 0 {
			browser.Lines(shot)
		}
	})
}
