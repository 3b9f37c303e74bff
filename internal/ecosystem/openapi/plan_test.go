package openapi_test

import (
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/ecosystem/openapi"
	"headwater/internal/plan"
	"headwater/internal/recipe"
)

// A client is a component of its own, however the generator is called; what the generator reads is all that it sees.
func TestRecognise(t *testing.T) {
	t.Parallel()
	const head = "FROM openapitools/openapi-generator-cli:v7.17.0 AS clients\nWORKDIR /src\nCOPY . .\nRUN "
	const tail = "\nFROM debian:trixie\nCOPY --from=clients /out /client\nCMD [\"cat\", \"/client/x\"]\n"
	want := recipe.Component{
		Ecosystem: "openapi", Root: "openapi", Src: []string{"api/schema.yml", "go.yaml"},
		Options: map[string]any{"schema": "api/schema.yml", "config": "go.yaml", "generator": "go"},
	}
	for name, call := range map[string]string{
		"jar":     "java -jar /opt/x/openapi-generator-cli.jar generate -i api/schema.yml -g go -c go.yaml -o /out",
		"wrapper": "openapi-generator-cli generate --input-spec=api/schema.yml --generator-name=go --config go.yaml --output /out",
		"make":    "make client",
		"docker":  "docker run --rm -v $PWD:/x openapitools/openapi-generator-cli:v7.17.0 generate -i /src/api/schema.yml -g go -c /src/go.yaml -o /out",
	} {
		fsys := fstest.MapFS{
			"Dockerfile": {Data: []byte(head + call + tail)}, "api/schema.yml": {Data: []byte("openapi: 3.0.0\n")}, "go.yaml": {Data: []byte("a: b\n")},
			"Makefile": {Data: []byte("client:\n\tcd api && openapi-generator generate -i schema.yml -g go -c ../go.yaml -o /out\n")},
		}
		p, err := plan.New(plan.NewTree(fsys, []string{"Dockerfile", "Makefile", "api/schema.yml", "go.yaml"}), plan.Options{
			Name: "shop", Release: "1", Recognisers: []plan.Recogniser{openapi.Recogniser{}},
		})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(want, p.Recipe.Components["client-go"]); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if v := p.Recipe.Toolchains["openapi-generator"]; v != "7.17.0" {
			t.Errorf("%s: version %q", name, v)
		}
		if at := p.Recipe.Package.Layout["/client"]; at != "client-go" {
			t.Errorf("%s: layout %v", name, p.Recipe.Package.Layout)
		}
	}
}
