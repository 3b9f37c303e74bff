package registry_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"headwater/internal/nix"
	"headwater/internal/registry"
)

const digest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

var pages = map[string]registry.Document{
	"json": {URL: "https://i.example/simple/left/", ContentType: "application/vnd.pypi.simple.v1+json", Body: []byte(`{
		"meta": {"api-version": "1.3", "_last-serial": 1}, "name": "left", "versions": ["1.0"], "alternate-locations": [],
		"files": [
			{"filename": "left-1.0.tar.gz", "url": "https://f.example/a/left-1.0.tar.gz#x", "hashes": {"sha256": "` + digest + `", "blake2b": "00"},
			 "requires-python": ">=3.9", "size": 12, "upload-time": "2025-01-02T03:04:05.678Z", "yanked": false, "provenance": null},
			{"filename": "left-1.0-py3-none-any.whl", "url": "../../f/left.whl", "hashes": {}, "yanked": "broken", "core-metadata": {"sha256": "` + digest + `"}, "dist-info-metadata": false},
			{"filename": "left-0.9-py3-none-any.whl", "url": "left.whl", "hashes": {}, "yanked": true, "data-dist-info-metadata": true},
			{"filename": "left-0.8-py3-none-any.whl", "url": "left.whl", "hashes": {}, "yanked": "", "core-metadata": null},
			{"filename": "evil.whl", "url": "file:///etc/passwd", "hashes": {}},
			{"filename": "plain.whl", "url": "http://f.example/plain.whl", "hashes": {}}
		]}`)},
	"html": {URL: "https://i.example/simple/left/", ContentType: "text/html; charset=utf-8", Body: []byte(`<!DOCTYPE html>
		<html><head><base href="/base/"><title>left</title></head><body><h1>Links</h1>
		<a href="a/left-1.0.tar.gz#sha256=` + digest + `" data-requires-python="&gt;=3.9">left-1.0.tar.gz</a><br/>
		<a href="https://f.example/left.whl" data-yanked="broken" data-core-metadata="sha256=` + digest + `"> left-1.0-py3-none-any.whl </a>
		<a href="x.whl" data-dist-info-metadata="true" data-yanked>x.whl</a>
		<a href="javascript:alert(1)">y.whl</a> <a>z.whl</a></body></html>`)},
}

func TestParseProject(t *testing.T) {
	hash, err := nix.ParseHash(nix.SHA256, digest)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]*registry.Project{
		"json": {Name: "left", Files: []registry.ProjectFile{
			{Name: "left-1.0.tar.gz", URL: "https://f.example/a/left-1.0.tar.gz", Hash: hash, RequiresPython: ">=3.9", Size: 12,
				UploadTime: time.Date(2025, 1, 2, 3, 4, 5, 678e6, time.UTC)},
			{Name: "left-1.0-py3-none-any.whl", URL: "https://i.example/f/left.whl", Yanked: true, YankedReason: "broken", Metadata: true, MetadataHash: hash},
			{Name: "left-0.9-py3-none-any.whl", URL: "https://i.example/simple/left/left.whl", Yanked: true, Metadata: true},
			{Name: "left-0.8-py3-none-any.whl", URL: "https://i.example/simple/left/left.whl", Yanked: true},
		}},
		"html": {Files: []registry.ProjectFile{
			{Name: "left-1.0.tar.gz", URL: "https://i.example/base/a/left-1.0.tar.gz", Hash: hash, RequiresPython: ">=3.9"},
			{Name: "left-1.0-py3-none-any.whl", URL: "https://f.example/left.whl", Yanked: true, YankedReason: "broken", Metadata: true, MetadataHash: hash},
			{Name: "x.whl", URL: "https://i.example/base/x.whl", Yanked: true, Metadata: true},
		}},
	}
	sameHash := cmp.Comparer(func(a, b nix.Hash) bool { return a == b })
	for kind, page := range pages {
		got, err := registry.ParseProject(page)
		if err != nil {
			t.Errorf("%s: %v", kind, err)
			continue
		}
		if diff := cmp.Diff(want[kind], got, sameHash); diff != "" {
			t.Errorf("%s (-want +got):\n%s", kind, diff)
		}
		text, err := got.JSON()
		if err != nil {
			t.Errorf("%s: %v", kind, err)
			continue
		}
		again, err := registry.ParseProject(registry.Document{URL: "https://i.example/", Body: text})
		if diff := cmp.Diff(got, again, sameHash, cmpopts.EquateEmpty()); diff != "" || err != nil {
			t.Errorf("%s: read back (-want +got):\n%s%v", kind, diff, err)
		}
	}
}

func TestParseProjectRefuses(t *testing.T) {
	for text, want := range map[string]string{
		`{"meta":{"api-version":"2.0"}}`: `api-version "2.0"`,
		`{}`:                             "api-version",
		`{"meta":`:                       "unexpected end",
		`{"meta":{"api-version":"1.0"},"files":[{"filename":"a","url":"a","hashes":{"sha256":"zz"}}]}`: "a: ",
		`<a href="x">left`: "ends within a link",
	} {
		_, err := registry.ParseProject(registry.Document{URL: "https://i.example/", Body: []byte(text)})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", text, err, want)
		}
	}
}

func FuzzParseProject(f *testing.F) {
	for _, page := range pages {
		f.Add(page.ContentType, page.Body)
	}
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		p, err := registry.ParseProject(registry.Document{URL: "https://i.example/simple/left/", ContentType: contentType, Body: body})
		if err != nil {
			return
		}
		for _, file := range p.Files {
			if !strings.HasPrefix(file.URL, "https://") {
				t.Errorf("file %q has address %q", file.Name, file.URL)
			}
		}
		text, err := p.JSON()
		if err != nil {
			t.Fatal(err)
		}
		again, err := registry.ParseProject(registry.Document{URL: "https://i.example/simple/left/", Body: text})
		if err != nil || len(again.Files) != len(p.Files) {
			t.Errorf("read back: %d files of %d, %v", len(again.Files), len(p.Files), err)
		}
	})
}
