package local

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"headwater/internal/atomicfile"
	"headwater/internal/dag"
)

// durations remembers how long nodes took, to guess the next time. It is a hint: without it, or with a wrong one, builds are
// only ordered worse. It enters nothing that is built.
type durations struct {
	file string

	mu    sync.Mutex
	known map[string]int64 // milliseconds by key; nil until it was read
	fresh map[string]int64 // of this process, not saved yet
}

func durationsFile(storeDir string) string {
	return filepath.Join(storeDir, "nix/var/headwater/durations.json")
}

// worthKnowing leaves out what is over at once.
const worthKnowing = 100 * time.Millisecond

// key names a node across versions: "wheel lxml 6.0.2" without the number.
func key(n *dag.Node) string {
	name := n.Name
	if i := strings.LastIndexByte(name, ' '); i >= 0 && strings.ContainsAny(name[i:], "0123456789") {
		name = name[:i]
	}
	return string(n.Kind) + "/" + n.Component + "/" + name
}

func (d *durations) estimate(n *dag.Node) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.known == nil {
		d.known = map[string]int64{}
		if b, err := os.ReadFile(d.file); err == nil && json.Unmarshal(b, &d.known) != nil {
			d.known = map[string]int64{} // damaged, or of another version
		}
	}
	return time.Duration(d.known[key(n)]) * time.Millisecond
}

func (d *durations) record(n *dag.Node, took time.Duration) {
	if took < worthKnowing {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fresh == nil {
		d.fresh = map[string]int64{}
	}
	d.fresh[key(n)] = took.Milliseconds()
}

// save adds what is new to what other processes saved meanwhile.
func (d *durations) save() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.fresh) == 0 {
		return nil
	}
	all := map[string]int64{}
	if b, err := os.ReadFile(d.file); err == nil && json.Unmarshal(b, &all) != nil {
		all = map[string]int64{}
	}
	for k, v := range d.fresh {
		all[k] = v
	}
	b, err := json.Marshal(all)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(d.file), 0o755)
	}
	if err == nil {
		err = atomicfile.Write(d.file, b, 0o600)
	}
	if err != nil {
		return fmt.Errorf("save durations: %w", err)
	}
	d.known, d.fresh = all, nil
	return nil
}
