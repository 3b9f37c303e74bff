package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/module"

	"headwater/internal/dag"
	"headwater/internal/lock"
)

// step is one bare tool's work in a root.
type step struct {
	name, root string
	script     string
}

// bare are the tools with the files that they take, in a folder that steps see as /bench. The chains' steps need one another in order;
// chains do not.
type bare struct {
	service *service
	dir     string
	chains  [][]step
}

// tools lays out what the bare tools take: a Go proxy's files, wheels and sdists, npm's tarballs.
func (s *service) tools(dir string) (*bare, error) {
	b := &bare{service: s, dir: dir}
	if err := errors.Join(b.goProxy(), b.pip(), b.npm()); err != nil {
		return nil, err
	}
	const generate = "java -jar /bench/generator.jar generate -i /src/schema.yml"
	b.chains = [][]step{
		{
			{"openapi-generator, Go client", "openapi", generate + " -g go -c /src/clients/go.yaml -o /made/client-go"},
			{"go build", "go", `cp -r /src/go.mod /src/go.sum /src/cmd /src/internal . && cp -r /made/client-go internal/api
export PATH=/toolchain/bin:$PATH GOPROXY=file:///bench/go GOSUMDB=off GOTOOLCHAIN=local GOFLAGS=-modcacherw GOCACHE=/made/go-cache GOPATH=/made/go CGO_ENABLED=0
go build -trimpath -ldflags '-s -w -X main.version=1.4.0' -o /made/server ./cmd/gatehouse-server`},
		},
		{
			{"openapi-generator, TypeScript client", "openapi", generate + " -g typescript-fetch -c /src/clients/typescript.yaml -o /made/client-ts"},
			{"npm ci, npm run build", "node", `cp -r /src/web . && cd web && cp /bench/package-lock.json . && cp -r /made/client-ts src/api
export PATH=/toolchain/bin:$PATH CI=true npm_config_offline=true npm_config_cache=/made/npm npm_config_update_notifier=false
npm ci && npm run build`},
		},
		{
			{"pip install", "pip", `mkdir -p /app && cp -r /src/backend /app/backend && cd /app/backend
python3.13 -m venv /opt/venv && export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INDEX=1 PIP_FIND_LINKS=/bench/wheels PIP_NO_CACHE_DIR=1
/opt/venv/bin/pip install -q --require-hashes --no-deps -r /bench/requirements.txt
/opt/venv/bin/pip install -q --no-deps -e packages/gatehouse-audit -e packages/gatehouse-core
/opt/venv/bin/python -m compileall -q -j 2 gatehouse packages`},
		},
	}
	return b, nil
}

// fetched calls place with each artifact of a component and where it is.
func (b *bare) fetched(component string, place func(a lock.Artifact, file string) error) error {
	for _, a := range b.service.lock.Components[component].Artifacts {
		file, err := b.service.artifact(a.Artifact())
		if err == nil {
			err = place(a, file)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func copyTo(file, to string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return write(to, data)
}

func write(name string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, data, 0o644)
}

// goProxy lays out a file tree that is a Go proxy.
func (b *bare) goProxy() error {
	return b.fetched("gatehouse-server", func(a lock.Artifact, file string) error {
		name, err := module.EscapePath(a.Name)
		if err != nil {
			return err
		}
		dir := filepath.Join(b.dir, "go", filepath.FromSlash(name), "@v")
		info := fmt.Sprintf(`{"Version":%q,"Time":"2020-01-01T00:00:00Z"}`, a.Version)
		return errors.Join(copyTo(file, filepath.Join(dir, a.File)), write(filepath.Join(dir, a.Version+".info"), []byte(info)))
	})
}

func (b *bare) pip() error {
	var requirements strings.Builder
	err := b.fetched("env", func(a lock.Artifact, file string) error {
		if a.Role != "build" {
			fmt.Fprintf(&requirements, "%s==%s --hash=sha256:%s\n", a.Name, a.Version, a.Hash.Base16())
		}
		return copyTo(file, filepath.Join(b.dir, "wheels", a.File))
	})
	return errors.Join(err, write(filepath.Join(b.dir, "requirements.txt"), []byte(requirements.String())))
}

// npm writes the lock with each tarball's place in it, and the tarballs.
func (b *bare) npm() error {
	files := map[string]string{} // by integrity
	err := b.fetched("web", func(a lock.Artifact, file string) error {
		name := strings.ReplaceAll(strings.TrimPrefix(a.Name, "@"), "/", "-") + "-" + a.Version + ".tgz"
		files[a.Hash.SRI()] = "file:///bench/npm/" + name
		return copyTo(file, filepath.Join(b.dir, "npm", name))
	})
	if err != nil {
		return err
	}
	data, err := os.ReadFile(filepath.Join(b.service.source, "web/package-lock.json"))
	if err != nil {
		return err
	}
	var doc map[string]any
	if err := json.Unmarshal(data, &doc); err != nil {
		return err
	}
	packages, ok := doc["packages"].(map[string]any)
	if !ok {
		return errors.New("package-lock.json has no packages")
	}
	for _, p := range packages {
		if p, ok := p.(map[string]any); ok {
			if sri, ok := p["integrity"].(string); ok && files[sri] != "" {
				p["resolved"] = files[sri]
			}
		}
	}
	if data, err = json.MarshalIndent(doc, "", "  "); err != nil {
		return err
	}
	generator, err := b.service.artifact(b.service.lock.Toolchains["openapi-generator"][0].Artifact())
	if err != nil {
		return err
	}
	return errors.Join(write(filepath.Join(b.dir, "package-lock.json"), data), copyTo(generator, filepath.Join(b.dir, "generator.jar")))
}

func (b *bare) names() []string {
	var names []string
	for _, chain := range b.chains {
		for _, s := range chain {
			names = append(names, s.name)
		}
	}
	return names
}

// oneByOne runs all steps one after the other.
func (b *bare) oneByOne(ctx context.Context, work string) (sum float64, each map[string]float64, err error) {
	each = map[string]float64{}
	for _, chain := range b.chains {
		for _, s := range chain {
			seconds, err := b.run(ctx, s, work)
			if err != nil {
				return 0, nil, fmt.Errorf("%s: %w", s.name, err)
			}
			each[s.name] = seconds
			sum += seconds
		}
	}
	return sum, each, removeAll(work)
}

// together runs the chains at the same time.
func (b *bare) together(ctx context.Context, work string) (float64, error) {
	began := time.Now()
	errs := make([]error, len(b.chains))
	var group sync.WaitGroup
	for i, chain := range b.chains {
		group.Go(func() {
			for _, s := range chain {
				if _, err := b.run(ctx, s, work); err != nil {
					errs[i] = fmt.Errorf("%s: %w", s.name, err)
					return
				}
			}
		})
	}
	group.Wait()
	seconds := time.Since(began).Seconds()
	return seconds, errors.Join(errors.Join(errs...), removeAll(work))
}

// run does one step in its root, entered as Headwater's builds enter theirs. Steps share /made.
func (b *bare) run(ctx context.Context, s step, work string) (float64, error) {
	root := b.service.at["root "+s.root]
	if root == "" {
		return 0, fmt.Errorf("no root %s", s.root)
	}
	own := filepath.Join(work, strings.ReplaceAll(s.name, " ", "-"))
	for _, dir := range []string{"work", "build", "tmp", "opt", "app"} {
		at := filepath.Join(own, dir)
		if dir == "work" {
			at = filepath.Join(work, dir)
		}
		if err := os.MkdirAll(at, 0o755); err != nil {
			return 0, err
		}
	}
	source, err := filepath.Abs(b.service.source)
	if err != nil {
		return 0, err
	}
	lib := filepath.Join(root, dag.LibDir)
	args := []string{"--library-path", lib, filepath.Join(root, "usr/bin/bwrap"), "--unshare-all", "--die-with-parent", "--clearenv",
		"--ro-bind", root + "/usr", "/usr", "--symlink", "usr/bin", "/bin", "--symlink", "usr/sbin", "/sbin", "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64",
		"--ro-bind", root + "/etc", "/etc", "--proc", "/proc", "--dev", "/dev", "--ro-bind", source, "/src", "--ro-bind", b.dir, "/bench",
		"--bind", filepath.Join(work, "work"), "/made", "--bind", own + "/build", "/build", "--bind", own + "/tmp", "/tmp", "--bind", own + "/opt", "/opt", "--bind", own + "/app", "/app",
		"--setenv", "PATH", "/usr/bin:/bin", "--setenv", "HOME", "/tmp", "--setenv", "LANG", "C.UTF-8", "--chdir", "/build"}
	if toolchain := b.toolchain(s.root); toolchain != "" {
		args = append(args, "--ro-bind", toolchain, "/toolchain")
	}
	args = append(args, "--", "/usr/bin/bash", "-euo", "pipefail", "-c", s.script)
	return timed(exec.CommandContext(ctx, filepath.Join(lib, "ld-linux-x86-64.so.2"), args...))
}

// toolchain is the unpacked one that the components of a root use.
func (b *bare) toolchain(root string) string {
	prefix := map[string]string{"go": "Go ", "node": "toolchain node "}[root]
	for name, at := range b.service.at {
		if prefix != "" && strings.HasPrefix(name, prefix) {
			return at
		}
	}
	return ""
}
