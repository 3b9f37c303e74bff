package openapi_test

import (
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/ecosystem/openapi"
	"headwater/internal/plan"
)

// A configuration for a generator in a container names its templates by where they are there; the tree has them all the same.
func TestTemplatesOfAContainer(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ config, want string }{
		"a mount of the tree":         {"templateDir: /local/api/templates/\n", "api/templates"},
		"somewhere else":              {"templateDir: /opt/templates\n", ""},
		"seen from the working place": {"templateDir: api/templates\n", ""},
	} {
		fsys := fstest.MapFS{
			"Dockerfile": {Data: []byte("FROM openapitools/openapi-generator-cli:v7.17.0 AS gen\nWORKDIR /src\nCOPY . .\nRUN openapi-generator generate -i schema.yml -g go -c go.yaml -o /out\nFROM debian:trixie\nCOPY --from=gen /out /client\nCMD [\"/bin/true\"]\n")},
			"schema.yml": {Data: []byte("openapi: 3.0.0\n")}, "go.yaml": {Data: []byte(c.config)}, "api/templates/model.mustache": {},
		}
		p, err := plan.New(plan.NewTree(fsys, []string{"Dockerfile", "api/templates/model.mustache", "go.yaml", "schema.yml"}), plan.Options{
			Name: "shop", Release: "1", Recognisers: []plan.Recogniser{openapi.Recogniser{}},
		})
		if err != nil {
			t.Fatal(err)
		}
		got, _ := p.Recipe.Components["client-go"].Options["templates"].(string)
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}
