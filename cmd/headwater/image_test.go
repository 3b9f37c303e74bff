package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/image/imagetest"
)

// container is an image that umoci unpacked, to be started.
type container struct {
	tools  *imagetest.Tools
	dir    string // the OCI bundle
	config []byte // as umoci made it
}

// unpack has umoci unpack an image of an OCI layout. Run by root, files have the owners that the image says; by another user they are the
// user's, who is the image's user inside.
func unpack(t *testing.T, tools *imagetest.Tools, layout, tag string) *container {
	t.Helper()
	c := &container{tools: tools, dir: filepath.Join(t.TempDir(), "bundle")}
	args := []string{"unpack", "--image", layout + ":" + tag, c.dir}
	if os.Getuid() != 0 {
		args = slices.Insert(args, 1, "--rootless")
	}
	tools.Run(t, "umoci", args...)
	var err error
	if c.config, err = os.ReadFile(filepath.Join(c.dir, "config.json")); err != nil {
		t.Fatal(err)
	}
	return c
}

// configure completes the configuration that umoci made of the image's: a user namespace, the machine's network, no control groups. args
// take the place of the image's if there are any.
func (c *container) configure(t *testing.T, env []string, args ...string) {
	t.Helper()
	var config map[string]any
	if err := json.Unmarshal(c.config, &config); err != nil {
		t.Fatal(err)
	}
	process, linux := config["process"].(map[string]any), config["linux"].(map[string]any)
	process["terminal"] = false
	list := process["env"].([]any)
	for _, v := range env {
		list = append(list, v)
	}
	process["env"] = list
	if len(args) > 0 {
		process["args"] = args
	}
	inside, size := 0, 65536
	if os.Getuid() != 0 {
		inside, size = int(process["user"].(map[string]any)["uid"].(float64)), 1
	}
	mapping := func(host int) any { return []any{map[string]any{"containerID": inside, "hostID": host, "size": size}} }
	linux["uidMappings"], linux["gidMappings"] = mapping(os.Getuid()), mapping(os.Getgid())
	var namespaces []any
	for _, kind := range []string{"user", "pid", "ipc", "uts", "mount"} {
		namespaces = append(namespaces, map[string]any{"type": kind})
	}
	linux["namespaces"] = namespaces
	delete(linux, "resources")
	// Volumes are what the image has there; /sys cannot be had anew in the machine's network namespace.
	config["mounts"] = slices.DeleteFunc(config["mounts"].([]any), func(m any) bool {
		at := m.(map[string]any)["destination"].(string)
		return !strings.HasPrefix(at, "/proc") && !strings.HasPrefix(at, "/dev")
	})
	data, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(c.dir, "config.json"), data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// command starts the container by runc or crun.
func (c *container) command(ctx context.Context, t *testing.T, runtime string) *exec.Cmd {
	t.Helper()
	args := []string{"--root", t.TempDir()}
	if runtime == "crun" {
		args = append(args, "--cgroup-manager=disabled")
	} else {
		args = append(args, "--rootless=true")
	}
	return c.tools.Command(ctx, runtime, append(args, "run", "-b", c.dir, strings.ReplaceAll(filepath.Base(t.TempDir())+runtime, "/", "-"))...)
}

// The image of the smallest example does under real runtimes what its launcher does.
func TestImageRuns(t *testing.T) {
	tools := imagetest.New(t)
	layout := filepath.Join(t.TempDir(), "oci")
	digest, _ := output(t, "image", "--store", sharedStore(t), "--oci", layout, "../../examples/hello")
	if got := tools.Run(t, "skopeo", "inspect", "--format", "{{.Digest}}", "oci:"+layout+":1"); strings.TrimSpace(got) != digest {
		t.Errorf("skopeo reads an image %s, headwater said %s", got, digest)
	}
	for _, runtime := range []string{"crun", "runc"} {
		box := unpack(t, tools, layout, "1")
		for _, c := range []struct{ args, want string }{
			{"", "hello from release 1, in /app, as 1000:1000\n"},
			{"greet count", "started 1 times\n"},
			{"greet count", "started 2 times\n"},
			{"greet look", "good day\ngood day\ngood day\nprocesses: /proc/1/\n"},
		} {
			box.configure(t, nil, strings.Fields(c.args)...)
			cmd := box.command(t.Context(), t, runtime)
			var errs bytes.Buffer
			cmd.Stderr = &errs
			out, err := cmd.Output()
			if err != nil {
				t.Errorf("%s %q: %v\n%s", runtime, c.args, err, errs.String())
			}
			if diff := cmp.Diff(c.want, string(out)); diff != "" {
				t.Errorf("%s %q: %s", runtime, c.args, diff)
			}
		}
	}
}
