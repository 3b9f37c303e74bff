package openapi_test

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"headwater/internal/artifact"
	"headwater/internal/dag"
	"headwater/internal/ecosystem"
	"headwater/internal/ecosystem/openapi"
	"headwater/internal/lock"
	"headwater/internal/nix"
	"headwater/internal/recipe"
)

// tree is a source of which a node is at hand.
type tree struct {
	fsys fs.FS
	node *dag.Node
}

func (t tree) FS() fs.FS                         { return t.fsys }
func (t tree) Node(...string) (*dag.Node, error) { return t.node, nil }

// shelf is an ecosystem.Network that has files by their names.
type shelf struct {
	dir   string
	files map[string]string
}

func (s shelf) Get(_ context.Context, a artifact.Artifact) (string, artifact.Artifact, error) {
	data, ok := s.files[a.File]
	if !ok || a.Name != "org.openapitools:openapi-generator-cli" {
		return "", a, fmt.Errorf("get %s: not on the shelf", a.Ref())
	}
	a.Hash, a.Size = nix.Sum(nix.SHA256, []byte(data)), int64(len(data))
	file := filepath.Join(s.dir, a.File)
	return file, a, os.WriteFile(file, []byte(data), 0o600)
}

func (s shelf) Index(context.Context, artifact.Ecosystem, string) ([]byte, error) {
	return nil, fmt.Errorf("no index is on the shelf")
}

const jar = "openapi-generator-cli-7.14.0.jar"

func TestLockToolchain(t *testing.T) {
	sum := sha1.Sum([]byte("jar"))
	good := hex.EncodeToString(sum[:])
	for name, c := range map[string]struct{ version, jar, sum, want string }{
		"a bare sum":                {"7.14.0", "jar", good + "\n", ""},
		"a sum with the file":       {"7.14.0", "jar", strings.ToUpper(good) + "  " + jar, ""},
		"another sum":               {"7.14.0", "jar", strings.Repeat("0", 40), "SHA-1"},
		"no sum":                    {"7.14.0", "jar", "<html>", "not a SHA-1"},
		"a truncated jar":           {"7.14.0", "ja", good, "SHA-1"},
		"a version that is not one": {"latest", "jar", good, "exact version"},
		"a version that moves":      {"7.15.0-SNAPSHOT", "jar", good, "exact version"},
		"a version out of the path": {"7.14.0/../x", "jar", good, "exact version"},
		"a version not there":       {"7.13.0", "jar", good, "not on the shelf"},
	} {
		t.Run(name, func(t *testing.T) {
			net := shelf{t.TempDir(), map[string]string{jar: c.jar, jar + ".sha1": c.sum}}
			got, err := openapi.New().LockToolchain(t.Context(), "openapi-generator", c.version, net)
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("want an error that says %q, got %v", c.want, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != 1 || got[0].File != jar || got[0].Hash != nix.Sum(nix.SHA256, []byte("jar")) {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func derive(t *testing.T, c recipe.Component) (*dag.Node, error) {
	t.Helper()
	maker := new(dag.Maker)
	root, err := maker.Text("root", "root")
	if err != nil {
		t.Fatal(err)
	}
	src, err := maker.Text("source", "source")
	if err != nil {
		t.Fatal(err)
	}
	tools := map[string][]lock.Artifact{"openapi-generator": {{
		Ecosystem: artifact.Maven, Name: "org.openapitools:openapi-generator-cli", Version: "7.14.0", File: jar, Hash: nix.Sum(nix.SHA256, []byte("jar")),
	}}}
	files := fstest.MapFS{"api/schema.yml": {}, "api/config.yaml": {}, "templates/x.mustache": {}}
	return openapi.New().Derive(ecosystem.DeriveRequest{
		Name: "client", Component: c, Recipe: &recipe.Recipe{Name: "hello", Release: "1.0"}, Toolchains: tools, Maker: maker, Root: root, Source: tree{files, src},
	})
}

func component(more map[string]any) recipe.Component {
	c := recipe.Component{Dir: "api", Options: map[string]any{"schema": "schema.yml", "generator": "go"}}
	maps.Copy(c.Options, more)
	return c
}

func TestDerive(t *testing.T) {
	n, err := derive(t, component(map[string]any{
		"properties": map[string]any{"packageName": "client", "withGoMod": false, "apiLevel": 3},
		"config":     "config.yaml", "templates": "../templates", "args": []any{"--git-repo-id", "it's"}, "into": "out/go",
	}))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"cd '/build/src/api'",
		"'--input-spec' 'schema.yml' '--generator-name' 'go' '--output' 'out/go' '--config' 'config.yaml' '--template-dir' '../templates'",
		"'--additional-properties=apiLevel=3,hideGenerationTimestamp=true,packageName=client,withGoMod=false' '--git-repo-id' 'it'\\''s'",
		`cp -a 'out/go'/. "$out"`,
	} {
		if !strings.Contains(n.Drv.Env["script"], want) {
			t.Errorf("the script does not say %s:\n%s", want, n.Drv.Env["script"])
		}
	}
	var inputs []string
	for _, in := range n.Inputs {
		inputs = append(inputs, in.Name)
	}
	if got := strings.Join(inputs, " "); len(inputs) != 3 || !strings.HasPrefix(got, "root source ") || !strings.HasSuffix(got, jar) {
		t.Errorf("inputs %s, want root, source and %s", got, jar)
	}
}

func TestRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		options map[string]any
		want    string
		derived bool // only deriving can tell, since it sees the component's files
	}{
		"unknown option":         {map[string]any{"generators": "go"}, "generators", false},
		"no schema":              {map[string]any{"schema": ""}, "schema is missing", false},
		"no generator":           {map[string]any{"generator": ""}, "generator is missing", false},
		"generator is a flag":    {map[string]any{"generator": "-x"}, "generator", false},
		"schema out of source":   {map[string]any{"schema": "../../x"}, "schema", false},
		"config out of source":   {map[string]any{"config": "/x"}, "config", false},
		"into out of the folder": {map[string]any{"into": "../x"}, "into", false},
		"property with a comma":  {map[string]any{"properties": map[string]any{"a": "b,c"}}, "comma", false},
		"property with a list":   {map[string]any{"properties": map[string]any{"a": []any{}}}, "a is neither", false},
		"property's bad name":    {map[string]any{"properties": map[string]any{"a=b": "c"}}, "a=b", false},
		"schema not selected":    {map[string]any{"schema": "other.yml"}, "api/other.yml is not among the files", true},
	} {
		t.Run(name, func(t *testing.T) {
			comp := component(c.options)
			_, err := derive(t, comp)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("derive: want an error that says %q, got %v", c.want, err)
			}
			r := &recipe.Recipe{Toolchains: map[string]string{"openapi-generator": "7.14.0"}}
			if _, err := openapi.New().Lock(t.Context(), ecosystem.LockRequest{Component: comp, Recipe: r}); (err == nil) != c.derived {
				t.Errorf("lock: %v", err)
			}
		})
	}
	if _, err := openapi.New().Lock(t.Context(), ecosystem.LockRequest{Component: component(nil), Recipe: &recipe.Recipe{}}); err == nil {
		t.Error("locked without a toolchain")
	}
}

func FuzzParseSum(f *testing.F) {
	f.Add([]byte("da39a3ee5e6b4b0d3255bfef95601890afd80709  x.jar\n"))
	f.Add([]byte("<html>"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if sum, err := openapi.ParseSum(data); err == nil && len(sum) != 40 {
			t.Errorf("%q is no SHA-1", sum)
		}
	})
}
