package verify

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// watch looks, again and again, at what runs in the room: how much memory each process of the recipe takes, and whether limits are kept.
// It sees the whole of it: /proc shows the room's processes and no others.
type watch struct {
	limits Limits
	dirs   map[string]string // what is told of a folder → the folder, each a file system of its own

	mu   sync.Mutex
	pids map[string]int   // of the recipe's processes and services: name → process id of what was started
	peak map[string]int64 // bytes, by name
}

func newWatch(l Limits, dirs map[string]string) *watch {
	return &watch{limits: l, dirs: dirs, pids: map[string]int{}, peak: map[string]int64{}}
}

// follow says that a name is a process's now.
func (w *watch) follow(name string, pid int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pids[name] = pid
}

func (w *watch) peakOf(name string) int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.peak[name]
}

const (
	pause       = 300 * time.Millisecond // between two looks
	memoryLooks = 5                      // memory is looked at every so many looks: the kernel walks through all of it
)

// run looks until ctx is done; exceeded is called, once, when a limit is not kept.
func (w *watch) run(ctx context.Context, exceeded func(*LimitError)) {
	for n := 0; ; n++ {
		if err := w.look(n%memoryLooks == 0); err != nil {
			exceeded(err)
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// almost is what a file system may have left and counts as full: nobody writes to the last byte.
const almost = 1 << 20

func (w *watch) look(atMemory bool) *LimitError {
	for what, dir := range w.dirs {
		var s unix.Statfs_t
		if unix.Statfs(dir, &s) == nil && int64(s.Bavail)*s.Bsize < almost {
			return &LimitError{What: "data in " + what, Limit: bytesText(w.limits.Data)}
		}
	}
	procs := processes()
	if len(procs) > w.limits.Processes {
		return &LimitError{What: "processes at one time", Limit: strconv.Itoa(w.limits.Processes)}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	owner := owners(procs, w.pids)
	sum := map[string]int64{}
	var total int64
	looked := map[uint64]bool{}
	for pid := range procs {
		name := owner[pid]
		if atMemory {
			n := memory(pid)
			total += n
			if name != "" {
				sum[name] += n
			}
		}
		if n, ok := tmpUsed(pid, looked); ok && n > w.limits.Data {
			return &LimitError{What: "data in /tmp, /run or /var/tmp", Limit: bytesText(w.limits.Data), Who: name}
		}
	}
	worst := ""
	for name, n := range sum {
		w.peak[name] = max(w.peak[name], n)
		if worst == "" || n > sum[worst] {
			worst = name
		}
	}
	if total > w.limits.Memory {
		return &LimitError{What: "memory", Limit: bytesText(w.limits.Memory), Who: worst}
	}
	return nil
}

// processes lists what runs: process id → its parent's.
func processes() map[int]int {
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil // the pattern is right
	}
	m := map[int]int{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // it has ended
		}
		// proc(5): pid (comm) state ppid …; comm may hold anything.
		fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(f)))
		if err != nil || len(fields) < 2 || fields[0] == "Z" {
			continue
		}
		if m[pid], err = strconv.Atoi(fields[1]); err != nil {
			delete(m, pid)
		}
	}
	return m
}

// owners tells of which of the named processes others descend.
func owners(parents map[int]int, named map[string]int) map[int]string {
	names := map[int]string{}
	for name, pid := range named {
		names[pid] = name
	}
	owner := map[int]string{}
	for pid := range parents {
		for at, steps := pid, 0; at > 1 && steps < len(parents); at, steps = parents[at], steps+1 {
			if name, ok := names[at]; ok {
				owner[pid] = name
				break
			}
		}
	}
	return owner
}

// ignoresTerm tells that the command which a launcher started as process 1 of a namespace has no handler for SIGTERM: the kernel then keeps
// the signal from it (pid_namespaces(7)), whatever the command prints.
func ignoresTerm(launcher int) bool {
	parents, deepest, ignores := processes(), 0, false
	for pid := range owners(parents, map[string]int{"": launcher}) {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			continue // it has ended
		}
		var ids []string // in each namespace, the innermost last
		var caught uint64
		for line := range strings.Lines(string(b)) {
			key, value, _ := strings.Cut(line, ":")
			switch key {
			case "NSpid":
				ids = strings.Fields(value)
			case "SigCgt":
				caught, err = strconv.ParseUint(strings.TrimSpace(value), 16, 64)
			}
		}
		if err == nil && len(ids) > max(deepest, 1) && ids[len(ids)-1] == "1" {
			deepest, ignores = len(ids), caught&(1<<(syscall.SIGTERM-1)) == 0
		}
	}
	return ignores
}

// memory is a process's share of memory (proportional set size), in bytes; 0 if it cannot be told.
func memory(pid int) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "Pss:" {
			n, err := strconv.ParseInt(f[1], 10, 64)
			if err != nil {
				return 0
			}
			return n << 10
		}
	}
	return 0
}

// tmpUsed is what the process's own writable folders in memory take, in bytes. Each file system is looked at once.
func tmpUsed(pid int, looked map[uint64]bool) (int64, bool) {
	ours, err := os.Readlink("/proc/self/ns/mnt")
	theirs, theirErr := os.Readlink(fmt.Sprintf("/proc/%d/ns/mnt", pid))
	if err != nil || theirErr != nil || ours == theirs {
		return 0, false // it sees the machine's folders
	}
	var most int64
	for _, dir := range []string{"tmp", "run", "var/tmp"} {
		at := fmt.Sprintf("/proc/%d/root/%s", pid, dir)
		var st unix.Stat_t
		var fs unix.Statfs_t
		if unix.Stat(at, &st) != nil || looked[st.Dev] || unix.Statfs(at, &fs) != nil {
			continue
		}
		looked[st.Dev] = true
		if fs.Type == unix.TMPFS_MAGIC {
			most = max(most, int64(fs.Blocks-fs.Bfree)*fs.Bsize)
		}
	}
	return most, most > 0
}

// listening lists TCP ports that something in the room listens on.
func listening() map[int]bool {
	ports := map[int]bool{}
	for _, file := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		b, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(b)) {
			// proc_net_tcp: sl local_address rem_address st …; state 0A listens.
			f := strings.Fields(line)
			if len(f) < 4 || f[3] != "0A" {
				continue
			}
			_, hex, _ := strings.Cut(f[1], ":")
			if n, err := strconv.ParseInt(hex, 16, 32); err == nil {
				ports[int(n)] = true
			}
		}
	}
	return ports
}

func bytesText(n int64) string {
	switch {
	case n >= 1<<30 && n%(1<<30) == 0:
		return fmt.Sprintf("%d GiB", n>>30)
	case n >= 1<<20:
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d bytes", n)
}
