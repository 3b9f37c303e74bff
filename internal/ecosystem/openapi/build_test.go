package openapi_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"headwater/internal/ecosystem/ecosystemtest"
	"headwater/internal/ecosystem/openapi"
)

func TestMain(m *testing.M) { ecosystemtest.Main(m) }

// The real generator makes two clients in the sandbox, each twice with the same result.
func TestBuild(t *testing.T) {
	p := ecosystemtest.Open(t, "testdata/clients", openapi.New())
	p.Build("go", "typescript")
	for name, wants := range map[string]map[string]string{
		"go": {
			"api_notes.go":  "package client\n",
			"model_note.go": "Written *time.Time",
		},
		"typescript": {
			"package.json":           `"name": "@notes/client"`,
			"src/models/Note.ts":     "written?: Date",
			"src/apis/NotesApi.ts":   "async readNote(",
			"src/apis/index.ts":      "made by our own template",
			"src/models/index.ts":    "",
			"src/index.ts":           "",
			".openapi-generator":     "absent",
			"web":                    "absent",
			"docs":                   "absent",
			"src/.openapi-generator": "absent",
		},
	} {
		for file, want := range wants {
			data, err := os.ReadFile(filepath.Join(p.Output(name), file))
			if want == "absent" {
				if !os.IsNotExist(err) {
					t.Errorf("%s: %s is there (%v)", name, file, err)
				}
				continue
			}
			if err != nil || !strings.Contains(string(data), want) {
				t.Errorf("%s: %s does not say %q (%v):\n%.400s", name, file, want, err, data)
			}
		}
	}
}
