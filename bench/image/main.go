// Command image measures "headwater image" beside what others do with the same files, both sides in turn as whole processes, and prints a
// table of medians and of the median of the pairs' ratios, in seconds and in processor time, which tells more on a busy machine.
//
//	go run ./bench/image -project DIR -store DIR [-n ROUNDS] [-dir FOLDER]
//
// DIR is the folder of a project that is built in the store; the store's packed layers are thrown away for each round. The others are
// umoci, skopeo, tar and gzip, and the registry that is pushed to is docker-registry, all out of pinned Debian packages (package imagetest).
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"headwater/internal/freeport"
	"headwater/internal/image/imagetest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	n := flag.Int("n", 5, "rounds")
	project := flag.String("project", "examples/homelab/gatehouse", "folder with a headwater.yaml")
	store := flag.String("store", "", "store that has the project built")
	dir := flag.String("dir", os.TempDir(), "folder for what is made")
	change := flag.String("change", "../../gatehouse/backend/gatehouse/api/views.py", "file of the application's code that gets another line, relative to the project; it is put back")
	flag.Parse()
	b := &bench{rounds: *n, project: *project, store: *store, change: filepath.Join(*project, *change)}
	err := b.run(ctx, *dir, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

type bench struct {
	rounds                 int
	project, store, change string

	dir       string // for what is made
	headwater string // the program
	tools     *imagetest.Tools
	registry  string // HOST:PORT
	rows      []string
}

func (b *bench) run(ctx context.Context, dir string, w io.Writer) (err error) {
	if b.store == "" {
		return errors.New("name the store that has the project built: -store DIR")
	}
	if b.dir, err = os.MkdirTemp(dir, "bench-image-*"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	b.headwater = filepath.Join(b.dir, "headwater")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", b.headwater, "./cmd/headwater").CombinedOutput(); err != nil {
		return fmt.Errorf("build headwater: %w\n%s", err, out)
	}
	if b.tools, err = imagetest.Open(ctx); err != nil {
		return err
	}
	ended, err := b.serve(ctx)
	if err != nil {
		return err
	}
	defer ended()
	for _, step := range []func(context.Context) error{b.prepare, b.make, b.push, b.changed} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(w, "| what | Headwater (median) | the other (median) | ratio (median of pairs) | of processor time |\n|---|---|---|---|---|\n%s\n", strings.Join(b.rows, "\n"))
	return err
}

// serve starts the registry; the returned function ends it.
func (b *bench) serve(ctx context.Context) (end func(), err error) {
	port, err := freeport.Get()
	if err != nil {
		return nil, err
	}
	b.registry = fmt.Sprintf("127.0.0.1:%d", port)
	config := "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {filesystem: {rootdirectory: " + b.dir + "/registry}}\nhttp: {addr: '" + b.registry + "'}\n"
	file := filepath.Join(b.dir, "registry.yml")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	cmd := b.tools.Command(ctx, "docker-registry", "serve", file)
	if err := cmd.Start(); err != nil {
		cancel()
		return nil, err
	}
	end = func() {
		cancel()
		_ = cmd.Wait() // it was asked to end
	}
	for range 100 {
		if res, err := http.Get("http://" + b.registry + "/v2/"); err == nil {
			return end, res.Body.Close()
		}
		time.Sleep(100 * time.Millisecond)
	}
	end()
	return nil, errors.New("the registry does not answer")
}

// prepare lays the image's files out, for the others.
func (b *bench) prepare(ctx context.Context) error {
	if _, err := b.image(ctx, "--oci", filepath.Join(b.dir, "first")); err != nil {
		return err
	}
	entries, err := os.ReadFile(filepath.Join(b.dir, "first/index.json"))
	if err != nil {
		return err
	}
	var index struct {
		Manifests []struct{ Annotations map[string]string }
	}
	if err := json.Unmarshal(entries, &index); err != nil {
		return err
	}
	return b.tool(ctx, "umoci", "unpack", "--rootless", "--image", filepath.Join(b.dir, "first")+":"+index.Manifests[0].Annotations["org.opencontainers.image.ref.name"], filepath.Join(b.dir, "bundle"))
}

// made is what image --json prints.
type made struct {
	Digest string
	Pushed []struct{ Sent, Layers int64 }
}

func (b *bench) image(ctx context.Context, args ...string) (m made, err error) {
	cmd := exec.CommandContext(ctx, b.headwater, append([]string{"image", "--json", "--store", b.store, b.project}, args...)...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return m, fmt.Errorf("headwater image: %w\n%s", err, errs.String())
	}
	return m, json.Unmarshal(out, &m)
}

func (b *bench) tool(ctx context.Context, program string, args ...string) error {
	if out, err := b.tools.Command(ctx, program, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", program, strings.Join(args, " "), err, out)
	}
	return nil
}

// forget throws the store's packed layers away.
func (b *bench) forget() error {
	return os.RemoveAll(filepath.Join(b.store, "nix/var/headwater/layers"))
}

// side is one of the two that are compared.
type side func(ctx context.Context, round int) error

// compare measures both sides in turn and adds a row.
func (b *bench) compare(ctx context.Context, what string, ready func() error, ours, theirs side) error {
	var us, them, ratios, work []float64
	for round := range b.rounds {
		if err := ready(); err != nil {
			return err
		}
		a, err := timed(ctx, round, ours)
		if err != nil {
			return err
		}
		c, err := timed(ctx, round, theirs)
		if err != nil {
			return err
		}
		us, them = append(us, a.seconds), append(them, c.seconds)
		ratios, work = append(ratios, a.seconds/c.seconds), append(work, a.work/c.work)
	}
	b.rows = append(b.rows, fmt.Sprintf("| %s | %.2f s | %.2f s | %.2f | %.2f |", what, median(us), median(them), median(ratios), median(work)))
	return nil
}

// took is what a side took: time, and processor time of all processes that it started. Unit: seconds.
type took struct{ seconds, work float64 }

func timed(ctx context.Context, round int, s side) (t took, err error) {
	before, err := worked()
	if err != nil {
		return t, err
	}
	began := time.Now()
	if err := s(ctx, round); err != nil {
		return t, err
	}
	t.seconds = time.Since(began).Seconds()
	after, err := worked()
	t.work = after - before
	return t, err
}

// worked is the processor time of all processes that ended, in seconds.
func worked() (float64, error) {
	var u unix.Rusage
	err := unix.Getrusage(unix.RUSAGE_CHILDREN, &u)
	return (time.Duration(u.Utime.Nano()) + time.Duration(u.Stime.Nano())).Seconds(), err
}

func median(list []float64) float64 {
	list = slices.Sorted(slices.Values(list))
	return list[len(list)/2]
}

// make compares making an image of what is built.
func (b *bench) make(ctx context.Context) error {
	rootfs := filepath.Join(b.dir, "bundle/rootfs")
	for _, c := range []string{"gzip", "zstd"} {
		ours := func(ctx context.Context, round int) error {
			out := filepath.Join(b.dir, fmt.Sprint(c, round))
			_, err := b.image(ctx, "--compression", c, "--oci", out)
			return errors.Join(err, os.RemoveAll(out))
		}
		archive := filepath.Join(b.dir, "archive")
		if err := b.compare(ctx, "an OCI layout, "+c+"; tar and gzip -6", b.forget, ours, func(ctx context.Context, _ int) error {
			return b.tool(ctx, "bash", "-c", "set -o pipefail; tar -C "+rootfs+" -c . | gzip -6 >"+archive)
		}); err != nil {
			return err
		}
		if c == "zstd" {
			continue // umoci writes none
		}
		if err := b.compare(ctx, "an OCI layout, "+c+"; umoci insert", b.forget, ours, func(ctx context.Context, round int) error {
			out := filepath.Join(b.dir, fmt.Sprint("umoci", round))
			err := b.tool(ctx, "bash", "-c", "set -e; umoci init --layout "+out+"; umoci new --image "+out+":1; umoci insert --rootless --image "+out+":1 "+rootfs+" /")
			return errors.Join(err, os.RemoveAll(out))
		}); err != nil {
			return err
		}
	}
	if _, err := b.image(ctx); err != nil {
		return err
	}
	return b.compare(ctx, "the digest of an image that was made before; nothing (bash -c true)", func() error { return nil }, func(ctx context.Context, _ int) error {
		_, err := b.image(ctx)
		return err
	}, func(ctx context.Context, _ int) error { return b.tool(ctx, "bash", "-c", "true") })
}

// push compares pushing to a repository that has nothing, and once more.
func (b *bench) push(ctx context.Context) error {
	first := filepath.Join(b.dir, "first")
	copies := func(ctx context.Context, to string) error {
		return b.tool(ctx, "bash", "-c", "skopeo --insecure-policy copy -q --dest-tls-verify=false oci:"+first+" docker://"+b.registry+"/"+to)
	}
	if err := b.compare(ctx, "make and push all; umoci and skopeo copy", b.forget, func(ctx context.Context, round int) error {
		_, err := b.image(ctx, "--push", fmt.Sprintf("%s/ours%d/x:1", b.registry, round))
		return err
	}, func(ctx context.Context, round int) error {
		out := filepath.Join(b.dir, fmt.Sprint("umoci-push", round))
		err := b.tool(ctx, "bash", "-c", "set -e; umoci init --layout "+out+"; umoci new --image "+out+":1; umoci insert --rootless --image "+out+":1 "+
			filepath.Join(b.dir, "bundle/rootfs")+" /; skopeo --insecure-policy copy -q --dest-tls-verify=false oci:"+out+":1 docker://"+b.registry+fmt.Sprintf("/theirs%d/x:1", round))
		return errors.Join(err, os.RemoveAll(out))
	}); err != nil {
		return err
	}
	if err := copies(ctx, "again/x:1"); err != nil {
		return err
	}
	var sent int64
	err := b.compare(ctx, "push what is there; skopeo copy", func() error { return nil }, func(ctx context.Context, _ int) error {
		m, err := b.image(ctx, "--push", b.registry+"/ours0/x:1")
		if err == nil {
			sent += m.Pushed[0].Sent
		}
		return err
	}, func(ctx context.Context, _ int) error { return copies(ctx, "again/x:1") })
	b.rows = append(b.rows, fmt.Sprintf("| bytes of layers in a second push | %d | | aim 0 | |", sent))
	return err
}

// changed adds a line to the application's code, pushes, and compares what was sent with the layer that changed.
func (b *bench) changed(ctx context.Context) (err error) {
	before, err := os.ReadFile(b.change)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.WriteFile(b.change, before, 0o644)) }()
	if err := os.WriteFile(b.change, append(slices.Clone(before), fmt.Sprintf("# %d\n", time.Now().UnixNano())...), 0o644); err != nil {
		return err
	}
	out := filepath.Join(b.dir, "changed")
	m, err := b.image(ctx, "--oci", out, "--push", b.registry+"/ours0/x:2")
	if err != nil {
		return err
	}
	old, err := layers(filepath.Join(b.dir, "first"))
	if err != nil {
		return err
	}
	now, err := layers(out)
	if err != nil {
		return err
	}
	var size, count int64
	for digest, n := range now {
		if _, same := old[digest]; !same {
			size, count = size+n, count+1
		}
	}
	b.rows = append(b.rows, fmt.Sprintf("| bytes sent after a change of the application's code; of the %d changed layer | %d | %d | %.2f (aim ≤ 1.1) | |",
		count, m.Pushed[0].Sent, size, float64(m.Pushed[0].Sent)/float64(size)))
	return nil
}

// layers are the sizes of an OCI layout's only image's layers, by digest.
func layers(layout string) (map[string]int64, error) {
	var doc struct {
		Manifests, Layers []struct {
			Digest string
			Size   int64
		}
	}
	read := func(name string) error {
		data, err := os.ReadFile(filepath.Join(layout, name))
		return errors.Join(err, json.Unmarshal(data, &doc))
	}
	if err := read("index.json"); err != nil {
		return nil, err
	}
	if err := read("blobs/sha256/" + strings.TrimPrefix(doc.Manifests[0].Digest, "sha256:")); err != nil {
		return nil, err
	}
	sizes := map[string]int64{}
	for _, l := range doc.Layers {
		sizes[l.Digest] = l.Size
	}
	return sizes, nil
}
