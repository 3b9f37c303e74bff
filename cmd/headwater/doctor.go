package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"headwater/internal/sandbox"
)

// finding is one thing that doctor looked at.
type finding struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
	Fix    string `json:"fix,omitempty"` // what to do where it is not OK
}

// What a build of a service of several languages takes; less is a warning that something will stop half-way.
const (
	wantDisk   = 10 << 30 // bytes
	wantInodes = 500_000
)

func (a *app) doctorCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Say what this machine lacks and how to fix it",
		Args:  maxArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			findings, err := a.examine(cmd.Context())
			if err != nil {
				return err
			}
			var bad []string
			for _, f := range findings {
				if !f.OK {
					bad = append(bad, f.Name)
				}
			}
			if a.json {
				err = json.NewEncoder(a.stdout).Encode(map[string]any{"v": 1, "findings": findings})
			} else {
				err = a.printFindings(findings)
			}
			if err == nil && len(bad) > 0 {
				err = &failedCheck{fmt.Errorf("this machine lacks: %s", strings.Join(bad, ", "))}
			}
			return err
		},
	}
}

func (a *app) printFindings(findings []finding) error {
	for _, f := range findings {
		mark := "ok  "
		if !f.OK {
			mark = "FAIL"
		}
		if _, err := fmt.Fprintf(a.stdout, "%s %-16s %s\n", mark, f.Name, f.Detail); err != nil {
			return err
		}
		if !f.OK && f.Fix != "" {
			if _, err := fmt.Fprintln(a.stdout, "     "+strings.ReplaceAll(f.Fix, "\n", "\n     ")); err != nil {
				return err
			}
		}
	}
	return nil
}

// examine looks at the sandbox, the store's disk and the store.
func (a *app) examine(ctx context.Context) ([]finding, error) {
	if err := os.MkdirAll(a.storeDir, 0o755); err != nil {
		return []finding{{"store folder", false, err.Error(), "give another folder with --store DIR"}}, nil
	}
	report, err := sandbox.Probe(ctx, a.storeDir)
	if err != nil {
		return nil, fmt.Errorf("try a sandbox: %w", err)
	}
	list := []finding{{"kernel", true, report.Kernel, ""}, judged("sandbox", report.Sandbox), judged("nested sandbox", report.Nested)}
	disk, err := a.disk()
	if err != nil {
		return nil, err
	}
	list = append(list, disk...)
	s, err := a.openStore(ctx)
	if err != nil {
		return append(list, finding{"store", false, err.Error(), "the store cannot be opened; move it away, or give another folder with --store DIR"}), nil
	}
	return append(list, finding{"store", true, s.Dir(), ""}), s.Close()
}

func judged(name string, err error) finding {
	if err == nil {
		return finding{name, true, "builders run isolated, without root", ""}
	}
	f := finding{Name: name, Detail: err.Error()}
	var u *sandbox.Unavailable
	if errors.As(err, &u) {
		f.Fix = u.Hint
	}
	return f
}

func (a *app) disk() ([]finding, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(a.storeDir, &st); err != nil {
		return nil, fmt.Errorf("ask for free space at %s: %w", a.storeDir, err)
	}
	free := int64(st.Bavail) * st.Bsize
	list := []finding{{
		"disk", free >= wantDisk, fmt.Sprintf("%.1f GB free at %s", float64(free)/1e9, a.storeDir),
		fmt.Sprintf("a large service takes %d GB: free some with headwater store gc, or give another folder with --store DIR", wantDisk>>30),
	}}
	if st.Files > 0 { // file systems without a fixed number of inodes say 0
		list = append(list, finding{"inodes", st.Ffree >= wantInodes, fmt.Sprintf("%d free", st.Ffree), "the file system holds too many small files; give a folder on another with --store DIR"})
	}
	return list, nil
}
