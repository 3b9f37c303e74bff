package tree

import (
	"context"
	"fmt"
	"strings"
)

// The user that builds run as inside a root, as dag.InRoot has it.
const buildUser = "build:x:1000:100:build:/home/build:/bin/bash"

// finish makes what packages leave to their maintainer scripts.
func finish(ctx context.Context, r root, packages []*unpacked) error {
	steps := []struct {
		what string
		make func(context.Context, root, []*unpacked) error
	}{
		{"top links", topLinks},
		{"alternatives", alternatives},
		{"users", users},
		{"system files", systemFiles},
		{"certificates", certificates},
		{"loader cache", loaderCache},
	}
	for _, s := range steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.make(ctx, r, packages); err != nil {
			return fmt.Errorf("make %s: %w", s.what, err)
		}
	}
	return nil
}

// topLinks completes the merged /usr, and /usr/bin/sh where no package has it.
func topLinks(_ context.Context, r root, _ []*unpacked) error {
	for _, dir := range mergedDirs() {
		fi, err := r.stat("usr/" + dir)
		if err != nil || !fi.IsDir() || r.taken(dir) {
			continue
		}
		if err := r.link(dir, "usr/"+dir); err != nil {
			return err
		}
	}
	if r.exists("usr/bin/dash") && !r.taken("usr/bin/sh") {
		return r.link("usr/bin/sh", "usr/bin/dash")
	}
	return nil
}

// users writes /etc/passwd and /etc/group: Debian's fixed users and groups as base-passwd has them, and the build user.
func users(_ context.Context, r root, _ []*unpacked) error {
	passwd := "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
	group := "root:x:0:\nusers:x:100:\nnogroup:x:65534:\n"
	for _, f := range []struct {
		name, master, text, more string
	}{
		{"etc/passwd", "usr/share/base-passwd/passwd.master", passwd, buildUser + "\n"},
		{"etc/group", "usr/share/base-passwd/group.master", group, ""},
	} {
		if data, err := r.read(f.master); err == nil {
			// The master has "*" for a password that fits nothing; "x" looks it up in a file that is not there.
			f.text = strings.ReplaceAll(strings.TrimRight(string(data), "\n"), ":*:", ":x:") + "\n"
		}
		if err := r.write(f.name, []byte(f.text+f.more)); err != nil {
			return err
		}
	}
	return nil
}

// systemFiles writes small files that programs look for. resolv.conf is empty: it is there for another to be bound over it.
func systemFiles(_ context.Context, r root, _ []*unpacked) error {
	for _, f := range []struct{ name, text string }{
		{"etc/nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\nprotocols: files\nservices: files\n"},
		{"etc/hosts", "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n"},
		{"etc/hostname", "localhost\n"},
		{"etc/resolv.conf", ""},
	} {
		if r.taken(f.name) {
			continue
		}
		if err := r.write(f.name, []byte(f.text)); err != nil {
			return err
		}
	}
	return nil
}
