package golang_test

import (
	"strings"
	"testing"

	"golang.org/x/mod/module"

	"headwater/internal/lock"
)

// Whatever the files say that tell which modules there are, locking ends, and asks for what has a place in a registry alone.
func FuzzLock(f *testing.F) {
	f.Add("module hello\nrequire a.example/Log v1.2.0\n", "a.example/Log v1.2.0"+h1, "", "")
	f.Add("module hello\nreplace a.example/Log => ./x\n", "", "go 1.24\nuse ./x\n", "# a.example/Log v1.2.0 => ./x\n")
	f.Add("module hello\nreplace a.example/Log => ../../x\n", "", "use /x", "#")
	s := newService(f)
	f.Fuzz(func(t *testing.T, mod, sum, work, vendored string) {
		s.files = files("go.mod", mod, "go.sum", sum)
		for name, data := range map[string]string{"go.work": work, "vendor/modules.txt": vendored} {
			if data != "" {
				s.files[name] = files("f", data)["f"]
			}
		}
		c, err := s.lock(t, lock.Component{})
		if err != nil {
			return
		}
		for _, a := range c.Artifacts {
			if err := module.Check(a.Name, a.Version); err != nil {
				t.Error(err)
			}
		}
	})
}

// Whatever is in a Go file, deriving ends, and what it hands to the go command are import paths.
func FuzzDerive(f *testing.F) {
	f.Add("package main\nimport (\n\"-toolexec=sh\"\n`a\nb`\n\"./x\"\n\"a.example/text/sub\"\n)\n", "package page")
	f.Add("//go:build !extra || linux\npackage main\nimport \"C\"\nimport \"hello/internal/page\"", "package page; import \"hello/cmd/hello\"")
	s := newService(f)
	locked, err := s.lock(f, lock.Component{})
	if err != nil {
		f.Fatal(err)
	}
	tools := []lock.Artifact{{Ecosystem: "go", Name: toolchain.Path, Version: toolchain.Version, File: "go.zip", Hash: someHash}}
	f.Fuzz(func(t *testing.T, main, page string) {
		s.files["cmd/hello/main.go"].Data = []byte(main)
		s.files["internal/page/page.go"].Data = []byte(page)
		_, nodes, err := s.deriveLocked(t, locked, tools)
		if err != nil {
			t.Fatal(err)
		}
		if nodes[deps] == nil {
			return
		}
		for line := range strings.Lines(nodes[deps].Drv.Env["imports"]) {
			if err := module.CheckImportPath(strings.TrimSuffix(line, "\n")); err != nil {
				t.Error(err)
			}
		}
	})
}
