package golang_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/module"

	"headwater/internal/artifact"
	"headwater/internal/dag"
	"headwater/internal/ecosystem/golang"
	"headwater/internal/lock"
	"headwater/internal/nix"
	"headwater/internal/recipe"
)

type nixHash = nix.Hash

var someHash = nix.Sum(nix.SHA256, nil)

func TestLock(t *testing.T) {
	s := newService(t)
	c, err := s.lock(t, lock.Component{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, a := range c.Artifacts {
		if a.Hash.IsZero() || a.Hint != "" {
			t.Errorf("%s: hash %v, hint %q", a.File, a.Hash, a.Hint)
		}
		got = append(got, a.Name+" "+a.File)
	}
	slices.Sort(got)
	want := []string{
		"a.example/Log v1.2.0.mod", "a.example/Log v1.2.0.zip", "a.example/text v0.1.0.mod", "a.example/text v0.1.0.zip", "b.example/graph v1.0.0.mod",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}

	// What the lock has is not asked for again while the sums are the same.
	c.Inputs = map[string]nix.Hash{"go.sum": nix.Sum(nix.SHA256, s.files["go.sum"].Data)}
	s.shelf.asked = nil
	again, err := s.lock(t, lock.Component{Inputs: c.Inputs, Artifacts: c.Artifacts[1:]})
	if err != nil {
		t.Fatal(err)
	}
	if len(s.shelf.asked) != 1 {
		t.Errorf("asked for %q, want the one that was not known", s.shelf.asked)
	}
	if diff := cmp.Diff(c.Artifacts, again.Artifacts, cmp.Comparer(func(a, b nix.Hash) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
}

// A zip whose go.mod go.sum does not have, and whose module go.mod does not require, is left over from another time: no registry is asked for it.
func TestLockLeavesWhatNothingUses(t *testing.T) {
	s := newService(t)
	before, err := s.lock(t, lock.Component{})
	if err != nil {
		t.Fatal(err)
	}
	s.files["go.sum"].Data = append(s.files["go.sum"].Data, "c.example/gone v1.0.0 h1:"+base64.StdEncoding.EncodeToString(make([]byte, 32))+"\n"...)
	s.shelf.asked = nil
	after, err := s.lock(t, lock.Component{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before.Artifacts, after.Artifacts, cmp.Comparer(func(a, b nix.Hash) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
	if slices.ContainsFunc(s.shelf.asked, func(asked string) bool { return strings.Contains(asked, "gone") }) {
		t.Errorf("asked for %q", s.shelf.asked)
	}
}

// A version that was published anew has another sum in go.sum, which the previous lock must not hide.
func TestLockNoticesAnotherSum(t *testing.T) {
	s := newService(t)
	before, err := s.lock(t, lock.Component{})
	if err != nil {
		t.Fatal(err)
	}
	before.Inputs = map[string]nix.Hash{"go.sum": nix.Sum(nix.SHA256, s.files["go.sum"].Data)}
	old := string(s.files["go.sum"].Data)
	sums := s.shelf.add(t, module.Version{Path: "a.example/Log", Version: "v1.2.0"}, map[string]string{"go.mod": "module a.example/Log\n", "log.go": "package log // anew\n"})
	rest := old[strings.Index(old, "a.example/text"):]
	s.files["go.sum"].Data = []byte(sums + rest)
	after, err := s.lock(t, before)
	if err != nil {
		t.Fatal(err)
	}
	changed := 0
	for i := range after.Artifacts {
		if after.Artifacts[i].Hash != before.Artifacts[i].Hash {
			changed++
		}
	}
	if changed != 1 {
		t.Errorf("%d artifacts changed, want the zip alone", changed)
	}
}

// Each case changes one thing in a service that can be locked.
func TestLockRefuses(t *testing.T) {
	put := func(name, content string) func(*service) {
		return func(s *service) { s.files[name] = files("f", content)["f"] }
	}
	option := func(name string, value any) func(*service) {
		return func(s *service) { s.component.Options[name] = value }
	}
	for name, c := range map[string]struct {
		change func(*service)
		want   string
	}{
		"no toolchain":          {func(s *service) { s.recipe.Toolchains = nil }, "go: 1.26.8"},
		"no go.mod":             {func(s *service) { delete(s.files, "go.mod") }, "no go.mod"},
		"a broken go.mod":       {put("go.mod", "modul hello"), "go.mod:1"},
		"a nameless go.mod":     {put("go.mod", "go 1.24\n"), "names no module"},
		"a broken go.sum":       {put("go.sum", "a.example/Log\n"), "line 1"},
		"a zip without go.mod":  {put("go.sum", "a.example/Log v1.2.0"+h1), "none of its go.mod"},
		"an empty go.sum":       {put("go.sum", ""), "go mod tidy"},
		"a newer Go":            {put("go.mod", "module hello\ngo 1.99\n"), "ask for Go 1.99"},
		"replaced from outside": {put("go.mod", "module hello\nreplace a.example/Log => ../log\n"), "out of the source"},
		"a stale vendor folder": {put("vendor/modules.txt", "# a.example/Log v1.1.0\n"), "a.example/Log@v1.2.0"},
		"a broken go.work":      {put("go.work", "us ./x"), "go.work:1"},
		"go.work from outside":  {put("go.work", "go 1.24\nuse ../x\n"), "out of the source"},
		"unknown option":        {option("package", "./x"), "package"},
		"wrong type":            {option("packages", "./x"), "packages is a string"},
		"package out of source": {option("packages", []any{"./../x"}), "./../x"},
		"package is a flag":     {option("packages", []any{"-toolexec=sh"}), "-toolexec"},
		"dots in the middle":    {option("packages", []any{"./.../x"}), "at its end"},
		"bad tag":               {option("tags", []any{"a b"}), "not a build tag"},
		"bad import":            {option("imports", []any{"../x"}), "imports"},
		"vendor wanted":         {option("vendor", true), "vendor/modules.txt"},
		"GOFLAGS":               {func(s *service) { s.component.Env = map[string]string{"GOFLAGS": "-x"} }, "GOFLAGS is not the recipe's to set"},
		"a go.work elsewhere":   {func(s *service) { s.component.Env = map[string]string{"GOWORK": "/x/go.work"} }, "GOWORK"},
		"a file that is gone":   {func(s *service) { clear(s.shelf.files) }, "not on the shelf"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newService(t)
			c.change(s)
			if _, err := s.lock(t, lock.Component{}); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("want an error that says %q, got %v", c.want, err)
			}
		})
	}
}

func TestLockChecksSums(t *testing.T) {
	for _, ext := range []string{"zip", "mod"} {
		s := newService(t)
		ref := "headwater:go/a.example%2FLog/v1.2.0/v1.2.0." + ext
		other := strings.NewReplacer("Log", "text", "v1.2.0", "v0.1.0").Replace(ref)
		if s.shelf.files[ref] == nil || s.shelf.files[other] == nil {
			t.Fatalf("no %s on the shelf", ref)
		}
		s.shelf.files[ref] = s.shelf.files[other]
		var mismatch *golang.MismatchError
		_, err := s.lock(t, lock.Component{})
		if err == nil || ext == "mod" && !errors.As(err, &mismatch) {
			t.Errorf("%s: got %v", ext, err)
		}
	}
}

// Of all that is gone is told at once.
func TestLockTellsOfAllThatIsGone(t *testing.T) {
	s := newService(t)
	for ref := range s.shelf.files {
		if strings.Contains(ref, "a.example%2FLog") || strings.Contains(ref, "b.example") {
			delete(s.shelf.files, ref)
		}
	}
	_, err := s.lock(t, lock.Component{})
	for _, want := range []string{"a.example/Log v1.2.0 (v1.2.0.mod)", "a.example/Log v1.2.0 (v1.2.0.zip)", "b.example/graph v1.0.0 (v1.0.0.mod)"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error that tells of %s", err, want)
		}
	}
}

// What the recipe has in place of a module may have another sum: builds see that in place of go.sum's.
func TestLockTakesStandIns(t *testing.T) {
	s := newService(t)
	before, nodes, err := s.derive(t)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := s.lock(t, lock.Component{})
	if err != nil {
		t.Fatal(err)
	}
	s.recipe.Replace = map[string]recipe.Replacement{"go:a.example/text@v0.1.0": {URL: "https://old.example/text.zip"}, "go:b.example/graph@v1.0.0": {File: "{file}"}}
	sums := s.shelf.add(t, module.Version{Path: "a.example/text", Version: "v0.1.0"}, map[string]string{"go.mod": "module a.example/text\n", "sub/sub.go": "package sub // another\n"})
	sum := strings.Fields(sums)[2]

	c, err := s.lock(t, plain)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, line := range (&lock.File{Components: map[string]lock.Component{"server": c}}).Replaced() {
		got = append(got, regexp.MustCompile(`(sha256-|h1:)\S+?=`).ReplaceAllString(line, "SUM"))
	}
	want := []string{
		"go a.example/text v0.1.0: url https://old.example/text.zip (v0.1.0.zip SUM) instead of SUM",
		"go b.example/graph v1.0.0: file v1.0.0.mod, the same bytes (v1.0.0.mod)",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the lock notes %s", diff)
	}
	again, err := s.lock(t, c)
	if diff := cmp.Diff(c, again, cmp.Comparer(func(a, b nix.Hash) bool { return a == b })); diff != "" || err != nil {
		t.Errorf("locked again: %v %s", err, diff)
	}
	after, others, err := s.derive(t)
	if err != nil {
		t.Fatal(err)
	}
	if after.Path() == before.Path() || others["Go modules"].Path() == nodes["Go modules"].Path() {
		t.Error("the module that stands in is not in the build")
	}
	if sums := others["Go modules"].Drv.Env["sums"]; !strings.Contains(sums, "a.example/text v0.1.0 "+sum+"\n") {
		t.Errorf("the modules are checked against %s", sums)
	}
	edit := "a.example/text v0.1.0 " + sum + "|' '/build/src/go.sum'"
	for _, n := range []*dag.Node{after, others["compiled dependencies of server"]} {
		if text := fmt.Sprint(n.Drv.Env, n.Drv.Args); !strings.Contains(text, edit) {
			t.Errorf("%s does not change go.sum by %s:\n%s", n.Name, edit, text)
		}
	}
	// Without the replacement, the other bytes are none of upstream's.
	s.recipe.Replace = nil
	var mismatch *golang.MismatchError
	if _, err := s.lock(t, lock.Component{}); !errors.As(err, &mismatch) {
		t.Errorf("without replacement: %v", err)
	}
}

// Another version may stand in for a module's: builds see it in go.sum, in go.mod and in go.work.
func TestLockTakesOtherVersions(t *testing.T) {
	text := module.Version{Path: "a.example/text", Version: "v0.1.1"}
	graph := module.Version{Path: "b.example/graph", Version: "v0.9.0"}
	content := map[string]string{"go.mod": "module a.example/text\n", "sub/sub.go": "package sub // newer\n"}
	single := []string{"go mod edit '-replace=a.example/text@v0.1.0=a.example/text@v0.1.1' '-require=a.example/text@v0.1.1' '-replace=b.example/graph@v1.0.0=b.example/graph@v0.9.0' '/build/src/go.mod'"}
	for name, c := range map[string]struct {
		change func(s *service)
		edits  []string
	}{
		"a module": {func(*service) {}, single},
		"a version that go.sum has": {func(s *service) {
			sums := s.shelf.add(t, text, content)
			s.files["go.sum"].Data = append(s.files["go.sum"].Data, sums[strings.Index(sums, "\n")+1:]...)
		}, single},
		"a workspace": {func(s *service) {
			s.files["go.work"] = &fstest.MapFile{Data: []byte("go 1.24\n\nuse .\n\nreplace a.example/Log => b.example/graph v1.0.0\n")}
		}, []string{
			"go work edit '-replace=a.example/text@v0.1.0=a.example/text@v0.1.1' '-replace=a.example/Log=b.example/graph@v0.9.0' '-replace=b.example/graph@v1.0.0=b.example/graph@v0.9.0' '/build/src/go.work'",
			"go mod edit '-require=a.example/text@v0.1.1' '/build/src/go.mod'",
		}},
		"a version that go.mod does not take": {func(s *service) {
			s.files["go.mod"].Data = append(s.files["go.mod"].Data, "\nreplace a.example/text v0.1.0 => ./text\n"...)
			s.files["text/go.mod"] = &fstest.MapFile{Data: []byte("module a.example/text\n")}
		}, []string{"go mod edit '-replace=b.example/graph@v1.0.0=b.example/graph@v0.9.0' '/build/src/go.mod'"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newService(t)
			s.recipe.Replace = map[string]recipe.Replacement{"go:a.example/text@v0.1.0": {Version: text.Version}, "go:b.example/graph@v1.0.0": {Version: graph.Version}}
			c.change(s)
			var gone artifact.Gone
			if _, err := s.lock(t, lock.Component{}); !errors.As(err, &gone) {
				t.Errorf("versions that the proxy lacks: %v", err)
			}
			sums := s.shelf.add(t, text, content) + s.shelf.add(t, graph, map[string]string{"go.mod": "module b.example/graph\n"})
			locked, err := s.lock(t, lock.Component{})
			if err != nil {
				t.Fatal(err)
			}
			again, err := s.lock(t, locked)
			if diff := cmp.Diff(locked, again, cmp.Comparer(func(a, b nix.Hash) bool { return a == b })); diff != "" || err != nil {
				t.Errorf("locked again: %v %s", err, diff)
			}
			replaced := strings.Join((&lock.File{Components: map[string]lock.Component{"server": locked}}).Replaced(), "\n")
			for _, want := range []string{"go a.example/text v0.1.0: version v0.1.1 (v0.1.1.zip sha256-", "go b.example/graph v1.0.0: version v0.9.0 (v0.9.0.mod sha256-", " instead of version v1.0.0 h1:"} {
				if !strings.Contains(replaced, want) {
					t.Errorf("the lock does not tell of %q:\n%s", want, replaced)
				}
			}
			n, nodes, err := s.derive(t)
			if err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(sums) {
				had := nodes["Go modules"].Drv.Env["sums"]
				if of := strings.Fields(line); of[0] == graph.Path && !strings.HasSuffix(of[1], "/go.mod") {
					continue
				}
				if !strings.Contains(had, line) {
					t.Errorf("the modules are checked against %s, which lacks %s", had, line)
				}
			}
			if had := nodes["Go modules"].Drv.Env["sums"]; strings.Contains(had, "text v0.1.0") {
				t.Errorf("the modules still have the version that is replaced: %s", had)
			}
			for _, node := range []*dag.Node{n, nodes["compiled dependencies of server"]} {
				if node == nil {
					continue // the workspace's other module has nothing else to compile
				}
				script := fmt.Sprint(node.Drv.Env, node.Drv.Args)
				var edits []string
				for line := range strings.Lines(script) {
					if strings.HasPrefix(line, "go mod edit") || strings.HasPrefix(line, "go work edit") {
						edits = append(edits, strings.TrimSpace(line))
					}
				}
				if diff := cmp.Diff(c.edits, edits); diff != "" {
					t.Errorf("%s edits %s", node.Name, diff)
				}
			}
		})
	}
	s := newService(t)
	s.recipe.Replace = map[string]recipe.Replacement{"go:a.example/text@v0.1.0": {Version: "v2.0.0"}}
	if _, err := s.lock(t, lock.Component{}); err == nil || !strings.Contains(err.Error(), "replace a.example/text@v0.1.0: a.example/text@v2.0.0: ") {
		t.Errorf("a version that is none of the module's: %v", err)
	}

	// What it requires in newer versions is replaced as well.
	content["go.mod"] = "module a.example/text\n\nrequire (\n\ta.example/Log v1.2.1\n\tc.example/other v1.0.0\n)\n"
	s.shelf.add(t, text, content)
	s.shelf.add(t, module.Version{Path: "a.example/Log", Version: "v1.2.1"}, map[string]string{"go.mod": "module a.example/Log\n"})
	s.recipe.Replace["go:a.example/text@v0.1.0"] = recipe.Replacement{Version: text.Version}
	if _, err := s.lock(t, lock.Component{}); err == nil || !strings.HasSuffix(err.Error(), "replace:\n    go:a.example/Log@v1.2.0: {version: v1.2.1}") {
		t.Errorf("a version that requires a newer module: %v", err)
	}
	s.recipe.Replace["go:a.example/Log@v1.2.0"] = recipe.Replacement{Version: "v1.2.1"}
	if _, err := s.lock(t, lock.Component{}); err != nil {
		t.Errorf("a version that requires a newer module, which is replaced: %v", err)
	}
}

func TestLockToolchain(t *testing.T) {
	s := newService(t)
	got, err := golang.New().LockToolchain(t.Context(), "go", "1.26.8", s.shelf)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || got[0].Name != "golang.org/toolchain" || got[0].File != "v0.0.1-go1.26.8.linux-amd64.zip" {
		t.Errorf("got %+v", got)
	}
	if of, err := golang.New().LockToolchain(t.Context(), "go", "1.26", s.shelf); err != nil || len(of) != 1 || of[0] != got[0] {
		t.Errorf("the newest 1.26: got %+v, %v", of, err)
	}
	for v, want := range map[string]string{"1.27": "no release", "go1.26.8": "exact", "1.20.1": "older than", "latest": "exact", "1.26.8/../x": "exact", "1.25.0": "not on the shelf"} {
		if _, err := golang.New().LockToolchain(t.Context(), "go", v, s.shelf); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("version %q: want an error that says %q, got %v", v, want, err)
		}
	}
	s.shelf.files["headwater:go/golang.org%2Ftoolchain/v0.0.1-go1.26.8.linux-amd64/v0.0.1-go1.26.8.linux-amd64.zip"] = []byte("<html>")
	if _, err := golang.New().LockToolchain(t.Context(), "go", "1.26.8", s.shelf); err == nil {
		t.Error("took a toolchain that is no zip")
	}
}

func TestLockNeedsRoot(t *testing.T) {
	s := newService(t)
	s.component.Options["cgo"] = true
	if _, err := s.lock(t, lock.Component{}); err != nil {
		t.Fatal(err)
	}
	all := s.root.Packages
	for _, missing := range []string{"unzip", "gcc"} {
		s.root.Packages = slices.DeleteFunc(slices.Clone(all), func(a lock.Artifact) bool { return a.Name == missing })
		if _, err := s.lock(t, lock.Component{}); err == nil || !strings.Contains(err.Error(), "package "+missing) {
			t.Errorf("without %s: got %v", missing, err)
		}
	}
}
