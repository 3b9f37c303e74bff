package openapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"headwater/internal/plan"
)

// Document is an OpenAPI document (OpenAPI Specification, "OpenAPI Object"; "Swagger Object" in version 2), as far as it tells which
// one it is.
type Document struct {
	File           string
	Title, Version string // info's; both as written, and there
	Line           int    // of the version
}

// evidence is where the version stands.
func (d Document) evidence() plan.Evidence { return plan.Evidence{File: d.File, Line: d.Line} }

// errNoDocument says that a file is no OpenAPI document with a title and a version.
var errNoDocument = errors.New("is no OpenAPI document with a title and a version")

var (
	markPattern = regexp.MustCompile(`(?m)^["']?(?:openapi|swagger)["']?[ \t]*:`)
	infoPattern = regexp.MustCompile(`(?m)^["']?info["']?[ \t]*:`)
	topPattern  = regexp.MustCompile(`(?m)^[^\s#\]}-]`)
)

// ReadDocument reads what a document is, from YAML or JSON. Of YAML, only the part that tells it is parsed: documents are large.
func ReadDocument(name string, data []byte) (Document, error) {
	d := Document{File: name}
	var info yaml.Node
	if path.Ext(name) == ".json" {
		return d, d.readJSON(data)
	}
	at := infoPattern.FindIndex(data)
	if at == nil || !markPattern.Match(data) {
		return d, errNoDocument
	}
	part := data[at[0]:]
	if end := topPattern.FindIndex(data[at[1]:]); end != nil {
		part = data[at[0] : at[1]+end[0]]
	}
	if err := yaml.Unmarshal(part, &info); err != nil || info.Kind != yaml.DocumentNode || info.Content[0].Kind != yaml.MappingNode {
		return d, errors.Join(errNoDocument, err)
	}
	fields := info.Content[0].Content[1]
	for i := 0; fields.Kind == yaml.MappingNode && i+1 < len(fields.Content); i += 2 {
		switch v := fields.Content[i+1]; fields.Content[i].Value {
		case "title":
			d.Title = strings.TrimSpace(v.Value)
		case "version":
			d.Version, d.Line = strings.TrimSpace(v.Value), bytes.Count(data[:at[0]], []byte("\n"))+v.Line
		}
	}
	return d, d.check()
}

func (d *Document) readJSON(data []byte) error {
	if !bytes.Contains(data, []byte(`"openapi"`)) && !bytes.Contains(data, []byte(`"swagger"`)) {
		return errNoDocument
	}
	var doc struct {
		OpenAPI, Swagger string
		Info             struct{ Title, Version string }
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		return errors.Join(errNoDocument, err)
	}
	if doc.OpenAPI+doc.Swagger == "" {
		return errNoDocument
	}
	d.Title, d.Version = strings.TrimSpace(doc.Info.Title), strings.TrimSpace(doc.Info.Version)
	if at := regexp.MustCompile(`"version"\s*:\s*"\s*` + regexp.QuoteMeta(d.Version)).FindIndex(data); at != nil {
		d.Line = bytes.Count(data[:at[0]], []byte("\n")) + 1
	}
	return d.check()
}

func (d *Document) check() error {
	if d.Title == "" || !telling(d.Version) {
		return errNoDocument
	}
	return nil
}

// telling tells whether a version is one, and not what stands in for one until it is known.
func telling(version string) bool {
	return version != "" && version != "0.0.0" && !strings.ContainsAny(version, "${}<>%") && strings.ContainsAny(version, "0123456789")
}

// operations lists what a document's paths offer, "GET /users", sorted.
func operations(name string, data []byte) ([]string, error) {
	var doc struct {
		Paths map[string]any `json:"paths" yaml:"paths"` // with extensions, which may be anything
	}
	read := func() error { return yaml.Unmarshal(data, &doc) }
	if path.Ext(name) == ".json" {
		read = func() error { return json.Unmarshal(data, &doc) }
	}
	if err := read(); err != nil {
		return nil, err
	}
	methods := []string{"get", "put", "post", "delete", "options", "head", "patch", "trace"}
	var out []string
	for _, p := range slices.Sorted(maps.Keys(doc.Paths)) {
		item, _ := doc.Paths[p].(map[string]any)
		for _, m := range methods {
			if _, ok := item[m]; ok {
				out = append(out, strings.ToUpper(m)+" "+p)
			}
		}
	}
	return out, nil
}

// documents finds a tree's OpenAPI documents, shallow ones first.
func documents(t *plan.Tree) []Document {
	var out []Document
	for _, name := range t.Files() {
		base := path.Base(name)
		switch path.Ext(base) {
		case ".yaml", ".yml", ".json":
		default:
			continue
		}
		if strings.HasPrefix(base, "package") || strings.HasPrefix(base, "tsconfig") || strings.HasPrefix(base, "pnpm-") || othersCode(name) {
			continue
		}
		data, err := t.Read(name)
		if err != nil {
			continue
		}
		if d, err := ReadDocument(name, data); err == nil {
			out = append(out, d)
		}
	}
	slices.SortStableFunc(out, func(a, b Document) int { return strings.Count(a.File, "/") - strings.Count(b.File, "/") })
	return out
}

// othersCode tells whether a file belongs to an installed or vendored dependency.
func othersCode(name string) bool {
	return slices.ContainsFunc(strings.Split(path.Dir(name), "/"), func(d string) bool {
		return d == "node_modules" || d == "vendor" || d == "third_party"
	})
}
