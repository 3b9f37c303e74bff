package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/crypto/bcrypt"

	"headwater/internal/event"
	"headwater/internal/image/imagetest"
	"headwater/internal/nixtest"
	"headwater/internal/run"
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

// bundle completes the configuration that umoci made of the image's: a user namespace, files that cannot be written but for volumes (which
// have what the image has there) and /tmp, the machine's network, no control groups. args take the place of the image's if there are any.
// It is a folder of its own, over the same files.
func (c *container) bundle(t *testing.T, runtime string, env []string, args ...string) string {
	t.Helper()
	var config map[string]any
	if err := json.Unmarshal(c.config, &config); err != nil {
		t.Fatal(err)
	}
	process, linux := config["process"].(map[string]any), config["linux"].(map[string]any)
	process["terminal"] = false
	files := filepath.Join(c.dir, "rootfs")
	config["root"] = map[string]any{"path": files, "readonly": true}
	list := process["env"].([]any)
	for _, v := range env {
		list = append(list, v)
	}
	process["env"] = list
	if len(args) > 0 {
		process["args"] = args
	}
	user := process["user"].(map[string]any)
	for kind, host := range map[string]int{"uid": os.Getuid(), "gid": os.Getgid()} {
		inside, size := 0, 65536
		if os.Getuid() != 0 {
			inside, size = int(user[kind].(float64)), 1
			if runtime == "runc" { // wants the one id that an ordinary user has to give to be root's
				inside = 0
			}
			user[kind] = inside
		}
		linux[kind+"Mappings"] = []any{map[string]any{"containerID": inside, "hostID": host, "size": size}}
	}
	var namespaces []any
	for _, kind := range []string{"user", "pid", "ipc", "uts", "mount"} {
		namespaces = append(namespaces, map[string]any{"type": kind})
	}
	linux["namespaces"] = namespaces
	delete(linux, "resources")
	mounts := []any{map[string]any{"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": []string{"mode=1777"}}}
	for _, m := range config["mounts"].([]any) {
		at := m.(map[string]any)["destination"].(string)
		switch {
		case strings.HasPrefix(at, "/sys"): // cannot be had anew in the machine's network namespace
		case strings.HasPrefix(at, "/proc") || strings.HasPrefix(at, "/dev"):
			mounts = append(mounts, m)
		default:
			mounts = append(mounts, map[string]any{"destination": at, "type": "bind", "source": filepath.Join(files, at), "options": []string{"rbind", "rw"}})
		}
	}
	config["mounts"] = mounts
	data, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	bundle := t.TempDir()
	if err := os.WriteFile(filepath.Join(bundle, "config.json"), data, 0o644); err != nil {
		t.Fatal(err)
	}
	return bundle
}

// command starts a container by runc or crun; bundle has the rest. kill ends it: the runtime's end is not the container's.
func (c *container) command(t *testing.T, runtime string, env []string, args ...string) (cmd *exec.Cmd, kill func()) {
	t.Helper()
	bundle := c.bundle(t, runtime, env, args...)
	options := []string{"--root", t.TempDir()}
	if runtime == "crun" {
		options = append(options, "--cgroup-manager=disabled")
	} else {
		options = append(options, "--rootless=true")
	}
	ctx := context.WithoutCancel(t.Context()) // which ends before what is cleaned up
	kill = func() {
		_ = c.tools.Command(ctx, runtime, append(slices.Clone(options), "delete", "--force", "test")...).Run() // it may be gone
	}
	t.Cleanup(kill)
	return c.tools.Command(ctx, runtime, append(slices.Clone(options), "run", "-b", bundle, "test")...), kill
}

// The image of the smallest example does under real runtimes what its launcher does.
func TestImageRuns(t *testing.T) {
	tools := imagetest.New(t)
	layout := filepath.Join(t.TempDir(), "oci")
	digest, _ := output(t, "image", "--store", sharedStore(t), "--oci", layout, "../../examples/hello")
	if got := tools.Run(t, "skopeo", "inspect", "--format", "{{.Digest}}", "oci:"+layout+":1"); strings.TrimSpace(got) != digest {
		t.Errorf("skopeo reads an image %s, headwater said %s", got, digest)
	}
	user := map[string]int{"crun": 1000, "runc": 1000}
	if os.Getuid() != 0 {
		user["runc"] = 0 // see bundle
	}
	for _, runtime := range []string{"crun", "runc"} {
		box := unpack(t, tools, layout, "1")
		for _, c := range []struct{ args, want string }{
			{"greet", fmt.Sprintf("hello from release 1, in /app, as %[1]d:%[1]d\n", user[runtime])},
			{"greet count", "started 1 times\n"},
			{"greet count", "started 2 times\n"},
			{"greet look", "good day\ngood day\ngood day\nprocesses: /proc/1/\n"},
		} {
			cmd, _ := box.command(t, runtime, nil, strings.Fields(c.args)...)
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

// registryServer starts Debian's registry and returns its HOST:PORT.
func registryServer(t *testing.T, tools *imagetest.Tools, auth string) string {
	t.Helper()
	return registryIn(t, tools, auth, t.TempDir())
}

// registryIn is registryServer with what the registry is given in dir/data.
func registryIn(t *testing.T, tools *imagetest.Tools, auth, dir string) string {
	t.Helper()
	host := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	config := "version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: " + dir + "/data}}\nhttp: {addr: '" + host + "'}\n" + auth
	file := filepath.Join(dir, "config.yml")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	start(t, tools.Command(ctx, "docker-registry", "serve", file), cancel)
	waitFor(t, func() error {
		res, err := http.Get("http://" + host + "/v2/")
		if err == nil {
			res.Body.Close()
		}
		return err
	})
	return host
}

// start starts a server, which end is to end after the test; a test that failed shows its output.
func start(t *testing.T, cmd *exec.Cmd, end func()) {
	t.Helper()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		end()
		err := <-ended
		if t.Failed() {
			t.Logf("%s: %v\n%s", strings.Join(cmd.Args[len(cmd.Args)-3:], " "), err, out.String())
		}
	})
}

func waitFor(t *testing.T, ready func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(5 * time.Minute); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if err = ready(); err == nil {
			return
		}
	}
	t.Fatal(err)
}

// imagePushed is what image --json prints.
type imagePushed struct {
	Digest string
	Pushed []struct {
		Ref, Image string
		Sent       int64
		Layers     int
	}
}

func pushImage(t *testing.T, args ...string) imagePushed {
	t.Helper()
	out, _ := output(t, append([]string{"image", "--json", "--store", sharedStore(t), "../../examples/hello"}, args...)...)
	var p imagePushed
	if err := json.Unmarshal([]byte(out), &p); err != nil {
		t.Fatal(err)
	}
	return p
}

// A real registry takes an image, in both compressions, under several tags and in several repositories, each layer once; skopeo reads it.
func TestImageIsPushed(t *testing.T) {
	tools := imagetest.New(t)
	host := registryServer(t, tools, "")
	for _, compression := range []string{"gzip", "zstd"} {
		repository := host + "/" + compression + "/hello"
		first := pushImage(t, "--compression", compression, "--push", repository, "--push", repository+":latest", "--push", host+"/"+compression+"/copy")
		if len(first.Pushed) != 3 || first.Pushed[0].Layers != 3 || first.Pushed[0].Image != repository+"@"+first.Digest || first.Pushed[1].Sent != 0 || first.Pushed[2].Sent != 0 {
			t.Errorf("%s: pushed %+v", compression, first)
		}
		second := pushImage(t, "--compression", compression, "--push", repository)
		if second.Digest != first.Digest || second.Pushed[0].Sent != 0 {
			t.Errorf("%s: pushed again %+v", compression, second)
		}
		for _, ref := range []string{repository + ":1", repository + ":latest", host + "/" + compression + "/copy:1"} {
			if got := tools.Run(t, "skopeo", "inspect", "--tls-verify=false", "--format", "{{.Digest}}", "docker://"+ref); strings.TrimSpace(got) != first.Digest {
				t.Errorf("%s is %s, pushed was %s", ref, got, first.Digest)
			}
		}
		// Whoever pulls all of it checks every layer.
		tools.Run(t, "skopeo", "--insecure-policy", "copy", "--src-tls-verify=false", "docker://"+repository+":1", "dir:"+t.TempDir())
	}
	archive := filepath.Join(t.TempDir(), "hello.tar")
	pushImage(t, "--archive", archive)
	if got := tools.Run(t, "skopeo", "inspect", "--config", "--format", "{{.Config.Entrypoint}} {{.Config.User}}", "docker-archive:"+archive+":hello:1"); strings.TrimSpace(got) != "[greet] 1000:1000" {
		t.Errorf("skopeo reads from the archive %q", got)
	}
}

// What a real registry lost of an image that it still has a tag of is sent again, and the image is whole.
func TestImageIsPushedWhereABlobVanished(t *testing.T) {
	tools, dir := imagetest.New(t), t.TempDir()
	host := registryIn(t, tools, "", dir)
	layout := filepath.Join(t.TempDir(), "oci")
	first := pushImage(t, "--push", host+"/hello", "--oci", layout)
	m, err := openManifest(layout, first.Digest)
	if err != nil {
		t.Fatal(err)
	}
	for _, gone := range []v1.Descriptor{m.Layers[1], m.Config} {
		blob := filepath.Join(dir, "data/docker/registry/v2/blobs/sha256", gone.Digest.Hex[:2], gone.Digest.Hex)
		if err := os.RemoveAll(blob); err != nil {
			t.Fatal(err)
		}
		again := pushImage(t, "--push", host+"/hello")
		if _, err := os.Stat(blob); err != nil || again.Digest != first.Digest {
			t.Errorf("%s is not there again: %+v, %v", gone.MediaType, again, err)
		}
	}
	tools.Run(t, "skopeo", "--insecure-policy", "copy", "--src-tls-verify=false", "docker://"+host+"/hello:1", "dir:"+t.TempDir())
}

// openManifest reads a manifest of an OCI layout.
func openManifest(layout, digest string) (*v1.Manifest, error) {
	f, err := os.Open(filepath.Join(layout, "blobs", strings.Replace(digest, ":", "/", 1)))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return v1.ParseManifest(f)
}

// Passwords are those that docker login keeps.
func TestImageIsPushedWithAPassword(t *testing.T) {
	tools := imagetest.New(t)
	dir := t.TempDir()
	hash, err := bcrypt.GenerateFromPassword([]byte("open sesame"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	users := filepath.Join(dir, "htpasswd")
	if err := os.WriteFile(users, []byte("ann:"+string(hash)+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	host := registryServer(t, tools, "auth: {htpasswd: {realm: test, path: "+users+"}}\n")
	for password, want := range map[string]string{"": "docker login " + host, "wrong": "docker login " + host, "open sesame": ""} {
		config := "{}"
		if password != "" {
			config = `{"auths":{"` + host + `":{"auth":"` + base64.StdEncoding.EncodeToString([]byte("ann:"+password)) + `"}}}`
		}
		if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := headwater(t.Context(), t, "image", "--store", sharedStore(t), "../../examples/hello", "--push", host+"/hello")
		cmd.Env = append(os.Environ(), "DOCKER_CONFIG="+dir, "HOME="+dir)
		out, err := cmd.CombinedOutput()
		if (err == nil) != (want == "") || !strings.Contains(string(out), want) || err != nil && cmd.ProcessState.ExitCode() != exitEnvironment {
			t.Errorf("password %q: %v\n%s", password, err, out)
		}
	}
}

// The image of gatehouse migrates, serves, signs people in and lets applications use it, under a real runtime, with a PostgreSQL beside it.
func TestImageOfGatehouseRuns(t *testing.T) {
	tools := imagetest.New(t)
	g := newGatehouse(t)
	layout := filepath.Join(t.TempDir(), "oci")
	output(t, "image", "--store", g.store, "--oci", layout, g.dir)
	p, err := readProject([]string{g.dir})
	if err != nil {
		t.Fatal(err)
	}
	services, err := run.Open(run.Config{
		Recipe: p.recipe, Roots: map[string]string{"postgresql": tools.Dir()}, State: filepath.Join(t.TempDir(), "state"), Logs: t.Output(), Events: event.Discard,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := services.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := services.StartServices(t.Context()); err != nil {
		t.Fatal(err)
	}
	env := []string{fmt.Sprint("GATEHOUSE_LISTEN=0.0.0.0:", g.port)}
	for name, value := range services.Environment() {
		env = append(env, name+"="+value)
	}
	box := unpack(t, tools, layout, p.recipe.Release)
	migrate, _ := box.command(t, "runc", env, append(slices.Clone(p.recipe.Package.Command), p.recipe.Package.Migrate...)...)
	if out, err := migrate.CombinedOutput(); err != nil {
		t.Fatalf("migrate: %v\n%s", err, out)
	}
	serve, kill := box.command(t, "runc", env) // without arguments it is the server
	start(t, serve, kill)
	work, kill := box.command(t, "crun", env, append(slices.Clone(p.recipe.Package.Command), p.recipe.Package.Processes["worker"].Args...)...)
	start(t, work, kill)
	server := p.recipe.Package.Processes["server"]
	waitFor(t, func() error {
		res, err := http.Get(run.Address(server) + server.Health)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if res.StatusCode/100 != 2 {
			return errors.New(res.Status)
		}
		return nil
	})
	(&relyingParty{base: run.Address(server), user: "admin", password: services.Environment()["GATEHOUSE_BOOTSTRAP_PASSWORD"]}).check(t)
}

// A Nix daemon's package and one that is built here, in another store, by another user with one processor and under another umask, zone and language, make the
// same image.
func TestImageIsTheSameEverywhere(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "hello")
	if err := os.CopyFS(dir, os.DirFS("../../examples/hello")); err != nil {
		t.Fatal(err)
	}
	writeFile(t, dir, "greetings/new", rand.Text()) // so that nobody has built it
	n := nixtest.New(t, nixtest.Current)
	daemon := "local?root=" + filepath.Join(scratch(t), "store") + "&daemon=" + daemonProgram(t, n)
	want, _ := output(t, "image", "--store", sharedStore(t), "--engine", "nix", "--nix-store", daemon, dir)

	out, here := filepath.Join(t.TempDir(), "out"), filepath.Join(scratch(t), "store")
	output(t, "export", "--store", sharedStore(t), dir, out)
	importPaths(t, here, filepath.Join(out, "roots.txt"))
	cmd := headwater(t.Context(), t, "image", "--store", here, dir)
	cmd.Env = append(os.Environ(), "TZ=Asia/Kolkata", "LANG=tr_TR.UTF-8", "GOMAXPROCS=1", "USER=somebody")
	cmd.SysProcAttr = &syscall.SysProcAttr{ // another user, as far as a program can tell
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 4321, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 8765, HostID: os.Getgid(), Size: 1}},
	}
	umask := syscall.Umask(0o077)
	got, err := cmd.Output()
	syscall.Umask(umask)
	if err != nil || strings.TrimSpace(string(got)) != want {
		t.Errorf("here it is %q, %v, by the daemon's package %q", got, err, want)
	}
}
