package recipe_test

import (
	"bytes"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"headwater/internal/recipe"
	"headwater/internal/service"
)

func compiled(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(recipe.Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("recipe.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("recipe.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// keysOf lists a struct's YAML keys.
func keysOf(v any) []string {
	var keys []string
	for f := range reflect.TypeOf(v).Fields() {
		key, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// The schema has the keys of the types that Parse fills, no more and no fewer.
func TestSchemaHasTheTypesKeys(t *testing.T) {
	s := compiled(t)
	def := func(name string) *jsonschema.Schema {
		for _, p := range []*jsonschema.Schema{s.Properties["roots"], s.Properties["components"], s.Properties["services"], s.Properties["replace"]} {
			if d := p.AdditionalProperties.(*jsonschema.Schema).Ref; strings.HasSuffix(d.Location, "/"+name) {
				return d
			}
		}
		return s.Properties["package"].Ref
	}
	component, pkg := def("component"), def("package")
	check := s.Properties["checks"].Items2020.Ref
	for name, c := range map[string]struct {
		schema *jsonschema.Schema
		value  any
	}{
		"recipe": {s, recipe.Recipe{}}, "root": {def("root"), recipe.Root{}}, "component": {component, recipe.Component{}},
		"service": {def("service"), recipe.Service{}}, "package": {pkg, recipe.Package{}}, "replacement": {def("replacement"), recipe.Replacement{}},
		"use":   {component.Properties["uses"].Items2020.Ref, recipe.Use{}},
		"check": {check, recipe.Check{}}, "request": {check.Properties["request"].Ref, recipe.Request{}},
		"step": {check.Properties["browser"].Items2020.Ref, recipe.Step{}}, "oauth2": {check.Properties["oauth2"].Ref, recipe.OAuth2{}},
		"process": {pkg.Properties["processes"].AdditionalProperties.(*jsonschema.Schema).Ref, recipe.Process{}},
	} {
		if diff := cmp.Diff(keysOf(c.value), slices.Sorted(maps.Keys(c.schema.Properties))); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// The schema has the kinds of services that there are.
func TestSchemaHasTheKinds(t *testing.T) {
	var have []string
	for _, v := range compiled(t).Properties["services"].AdditionalProperties.(*jsonschema.Schema).Ref.Properties["kind"].Enum.Values {
		have = append(have, v.(string))
	}
	if diff := cmp.Diff(service.Names(), have); diff != "" {
		t.Error(diff)
	}
}

func TestSchemaAcceptsAndRefuses(t *testing.T) {
	const good = `{headwater: 1, name: a, release: "1", roots: {r: {suites: [trixie]}}, components: {c: {ecosystem: plain, root: r, src: [x]}}, package: {root: r, layout: {/a: c}, command: [/a]}}`
	for name, c := range map[string]struct {
		yaml string
		ok   bool
	}{
		"good":          {good, true},
		"unknown key":   {strings.Replace(good, "src:", "sources:", 1), false},
		"wrong format":  {strings.Replace(good, "headwater: 1", "headwater: 2", 1), false},
		"store paths":   {strings.Replace(good, "roots: {", "roots: {p: {paths: [/nix/store/0123456789abcdfghijklmnpqrsvwxyz-go], cache: \"https://cache.example\", keys: [\"a:b\"]}, ", 1), true},
		"no store path": {strings.Replace(good, "roots: {", "roots: {p: {paths: [/nix/store/go]}, ", 1), false},
		"mixed root":    {strings.Replace(good, "suites: [trixie]", "suites: [trixie], paths: [/nix/store/0123456789abcdfghijklmnpqrsvwxyz-go]", 1), false},
		"empty root":    {strings.Replace(good, "suites: [trixie]", "", 1), false},
		"labels":        {strings.Replace(good, "package: {", "package: {labels: {org.opencontainers.image.licenses: MIT}, ", 1), true},
		"no label":      {strings.Replace(good, "package: {", "package: {labels: {\"a b\": MIT}, ", 1), false},
		"replacement":   {strings.Replace(good, "package:", "replace: {\"npm:a@1\": {version: \"2\"}}, package:", 1), true},
		"no key":        {strings.Replace(good, "package:", "replace: {\"a@1\": {version: \"2\"}}, package:", 1), false},
		"two places":    {strings.Replace(good, "package:", "replace: {\"npm:a@1\": {version: \"2\", file: a}}, package:", 1), false},
		"checks":        {strings.Replace(good, "package:", `browser: r, checks: [{name: a, request: {path: /, capture: {A: /b, B: "cookie:c"}}}, {name: b, browser: [{open: /}]}], allow-logs: [x], package:`, 1), true},
		"no check":      {strings.Replace(good, "package:", "checks: [{name: a}], package:", 1), false},
		"two in one":    {strings.Replace(good, "package:", "browser: r, checks: [{name: a, request: {path: /}, browser: [{open: /}]}], package:", 1), false},
		"two in a step": {strings.Replace(good, "package:", "browser: r, checks: [{name: a, browser: [{open: /, see: x}]}], package:", 1), false},
		"odd capture":   {strings.Replace(good, "package:", "checks: [{name: a, request: {path: /, capture: {A: b}}}], package:", 1), false},
		"relative path": {strings.Replace(good, "/a: c", "a: c", 1), false},
	} {
		var doc any
		if err := yaml.Unmarshal([]byte(c.yaml), &doc); err != nil {
			t.Fatal(err)
		}
		_, parse := recipe.Parse([]byte(c.yaml))
		if err := compiled(t).Validate(doc); (err == nil) != c.ok || (parse == nil) != c.ok {
			t.Errorf("%s: schema says %v, Parse says %v", name, err, parse)
		}
	}
}
