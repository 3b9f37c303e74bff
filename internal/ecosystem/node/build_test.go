package node_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/ecosystem/ecosystemtest"
	"headwater/internal/ecosystem/node"
)

func TestMain(m *testing.M) { ecosystemtest.Main(m) }

// Projects of each manager but npm (which the examples have), built twice by the real one: a workspace, a patch, a folder that is
// copied as a package and has an install script, a package of another platform; the project's own postinstall, which fails, is not
// run with the dependencies'.
func TestBuild(t *testing.T) {
	for name, want := range map[string]string{
		"pnpm":  `{"odd":true,"patched":true,"lib":"array","vendored":true}`,
		"yarn":  `{"odd":true,"patched":false,"lib":"array","vendored":true}`, // yarn 1 has no patches
		"berry": `{"odd":true,"patched":true,"lib":"array","vendored":true}`,
	} {
		t.Run(name, func(t *testing.T) {
			p := ecosystemtest.Open(t, filepath.Join("testdata", name), node.New())
			p.Build("node_modules of web", "web")
			got, err := os.ReadFile(filepath.Join(p.Output("web"), "seen.json"))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want+"\n", string(got)); diff != "" {
				t.Error(diff)
			}
			if refs, err := p.Store.Query(t.Context(), p.Node("node_modules of web").Path()); err != nil || len(refs.Refs) > 0 {
				t.Errorf("node_modules refer to %v (%v)", refs, err)
			}
		})
	}
}
