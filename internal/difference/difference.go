// Package difference compares two trees that should be the same and says of each file that is not: which bytes, and what is likely to
// have brought them about.
//
// Files that are archives (zip, tar, gzip, zstd) are looked into, so that of a wheel or a layer the entry is told. What a cause is
// taken from stands beside it (Why): it is read out of the bytes, and where nothing speaks for one it is Unknown.
//
//	r, err := difference.Trees(ctx, was, is, difference.Conditions{…})
//	for _, f := range r.Different { fmt.Println(f.Path, f.Spots, f.Cause, f.Why) }
package difference

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Conditions are what is known of how the two came about; the zero value of a field: it is not known.
type Conditions struct {
	Made  time.Time // when the first was made, within some hours
	Again time.Time // when the second was
	// Host and User are what the second build sees of where it runs.
	Host, User []string
	Kernel     string // the release of the second's, as uname says
	Cores      []int  // numbers of processors that the second was told, or could count
}

// Result tells how two trees differ.
type Result struct {
	Files     int    // files and links that either has; of a folder that only one has it is one
	Differ    int    // of these, those that differ
	Different []File // those that are explained: at most MaxFiles, sorted by path
}

// Limits of what is explained: a tree that differs everywhere differs for one reason.
const (
	MaxFiles = 20
	MaxSpots = 3
)

// File is a file that differs.
type File struct {
	Path  string // slash-separated; "" is the tree itself. "a.whl!b/c.py" is an entry of an archive
	What  What
	Spots []Spot // at most MaxSpots
	Cause Cause
	Why   string // what speaks for the cause; for Unknown, what is known
}

// What is in which way a file differs.
type What string

// The ways.
const (
	Content   What = "content"
	OnlyHere  What = "only in the first"
	OnlyThere What = "only in the second"
	Kind      What = "kind"       // a file is a folder, say
	Mode      What = "executable" // or not
	Link      What = "link"       // leads elsewhere
	Name      What = "name"       // a file has another name
	Sequence  What = "sequence"   // entries of an archive stand in another order
	Header    What = "header"     // of an archive's entry: time, owner, mode
)

// Spot is one place of a file that differs.
type Spot struct {
	Offset int64  `json:"offset"`         // of the first byte that differs, in the first tree's file
	Line   int    `json:"line,omitempty"` // counted from 1; 0 where the file is not text
	Here   string `json:"here"`           // a part of that line, or sixteen bytes as a hex dump shows them
	There  string `json:"there"`
}

// Trees compares two files, links or folders. Modes are compared as far as a store keeps them. The error is of reading them.
func Trees(ctx context.Context, here, there string, c Conditions) (Result, error) {
	w := &walk{ctx: ctx, judge: judge{c}}
	if err := w.pair("", here, there); err != nil {
		return w.result, fmt.Errorf("compare %s with %s: %w", here, there, err)
	}
	slices.SortStableFunc(w.result.Different, func(a, b File) int { return cmp.Compare(a.Path, b.Path) })
	return w.result, nil
}

// walk goes through two trees at the same time.
type walk struct {
	ctx context.Context
	judge
	result Result
}

func (w *walk) add(files ...File) {
	w.result.Differ++
	for _, f := range files {
		if len(w.result.Different) < MaxFiles {
			w.result.Different = append(w.result.Different, f)
		}
	}
}

// full tells that further differences need only be counted.
func (w *walk) full() bool { return len(w.result.Different) >= MaxFiles }

// pair compares what is at the same path in both.
func (w *walk) pair(name, here, there string) error {
	if err := w.ctx.Err(); err != nil {
		return context.Cause(w.ctx)
	}
	a, err := os.Lstat(here)
	if err != nil {
		return err
	}
	b, err := os.Lstat(there)
	if err != nil {
		return err
	}
	if !a.IsDir() || !b.IsDir() {
		w.result.Files++
	}
	if a.Mode().Type() != b.Mode().Type() {
		w.add(File{Path: name, What: Kind, Spots: []Spot{{Here: kindOf(a), There: kindOf(b)}}, Cause: Unknown, Why: "one is a " + kindOf(a) + ", the other a " + kindOf(b)})
		return nil
	}
	switch a.Mode().Type() {
	case fs.ModeDir:
		return w.folders(name, here, there)
	case fs.ModeSymlink:
		return w.links(name, here, there)
	}
	if x, y := a.Mode()&0o100, b.Mode()&0o100; x != y {
		w.add(File{Path: name, What: Mode, Spots: []Spot{{Here: a.Mode().String(), There: b.Mode().String()}}, Cause: Unknown, Why: "one is executable and the other is not: a umask, or the mode that another system's files have"})
		return nil
	}
	return w.files(name, here, there)
}

func kindOf(fi fs.FileInfo) string {
	switch fi.Mode().Type() {
	case 0:
		return "file"
	case fs.ModeDir:
		return "folder"
	case fs.ModeSymlink:
		return "link"
	}
	return fi.Mode().Type().String()
}

func (w *walk) links(name, here, there string) error {
	a, err := os.Readlink(here)
	if err != nil {
		return err
	}
	b, err := os.Readlink(there)
	if err != nil || a == b {
		return err
	}
	f := File{Path: name, What: Link, Spots: []Spot{{Here: a, There: b}}}
	f.Cause, f.Why = w.text(a, b)
	w.add(f)
	return nil
}

func (w *walk) folders(name, here, there string) error {
	a, err := names(here)
	if err != nil {
		return err
	}
	b, err := names(there)
	if err != nil {
		return err
	}
	var onlyA, onlyB []string
	for _, n := range a {
		if _, both := slices.BinarySearch(b, n); !both {
			onlyA = append(onlyA, n)
			continue
		}
		if err := w.pair(path.Join(name, n), filepath.Join(here, n), filepath.Join(there, n)); err != nil {
			return err
		}
	}
	for _, n := range b {
		if _, both := slices.BinarySearch(a, n); !both {
			onlyB = append(onlyB, n)
		}
	}
	return w.renamed(name, here, there, onlyA, onlyB)
}

func names(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir) // sorted
	list := make([]string, len(entries))
	for i, e := range entries {
		list[i] = e.Name()
	}
	return list, err
}

// renamed tells of what only one of two folders has. Two whose names are the same but for a part that looks like a hash, an id, a number
// or a time are one file under two names.
func (w *walk) renamed(name, here, there string, onlyA, onlyB []string) error {
	for _, a := range onlyA {
		i := slices.IndexFunc(onlyB, func(b string) bool { return shape(a) == shape(b) })
		if len(onlyA) == 1 && len(onlyB) == 1 && i < 0 {
			if cause, _ := w.text(a, onlyB[0]); cause != Unknown {
				i = 0
			}
		}
		if i < 0 {
			w.result.Files++
			w.add(File{Path: path.Join(name, a), What: OnlyHere, Cause: Unknown, Why: "the second build did not make it: a race, or something that was there only the first time"})
			continue
		}
		b := onlyB[i]
		onlyB = slices.Delete(onlyB, i, i+1)
		if err := w.twoNames(name, here, there, a, b); err != nil {
			return err
		}
	}
	for _, b := range onlyB {
		w.result.Files++
		w.add(File{Path: path.Join(name, b), What: OnlyThere, Cause: Unknown, Why: "the first build did not make it: a race, or something that was there only the second time"})
	}
	return nil
}

// twoNames compares what has one name here and another there.
func (w *walk) twoNames(name, here, there, a, b string) error {
	f := File{Path: path.Join(name, a), What: Name, Spots: []Spot{{Here: a, There: b}}}
	f.Cause, f.Why = w.text(a, b)
	inside := &walk{ctx: w.ctx, judge: w.judge}
	if err := inside.pair(f.Path, filepath.Join(here, a), filepath.Join(there, b)); err != nil {
		return err
	}
	w.result.Files += inside.result.Files
	if inside.result.Differ > 0 && (f.Cause == RandomID || f.Cause == Unknown) {
		f.Cause, f.Why = Follows, "the name has a hash of what is in it, which differs too"
	}
	w.add(append([]File{f}, inside.result.Different...)...)
	return nil
}

// files compares two regular files.
func (w *walk) files(name, here, there string) error {
	same, err := sameBytes(here, there)
	if err != nil || same {
		return err
	}
	if w.full() {
		w.result.Differ++
		return nil
	}
	a, b, base, err := load(here, there)
	if err != nil {
		return err
	}
	w.add(w.contents(name, a, b, base, maxDepth)...)
	return nil
}

// sameBytes compares two files.
func sameBytes(here, there string) (same bool, err error) {
	a, err := os.Open(here)
	if err != nil {
		return false, err
	}
	defer a.Close()
	b, err := os.Open(there)
	if err != nil {
		return false, err
	}
	defer b.Close()
	_, same, err = firstDifference(a, b)
	return same, err
}

// firstDifference is how many bytes two streams have in common at their beginnings, to a buffer's length.
func firstDifference(a, b io.Reader) (at int64, same bool, err error) {
	x, y := make([]byte, 1<<16), make([]byte, 1<<16)
	for {
		n, errA := io.ReadFull(a, x)
		m, errB := io.ReadFull(b, y)
		if !bytes.Equal(x[:n], y[:m]) {
			return at, false, nil
		}
		at += int64(n)
		switch {
		case ended(errA) && ended(errB):
			return at, true, nil
		case errA != nil && !ended(errA):
			return at, false, errA
		case errB != nil && !ended(errB):
			return at, false, errB
		}
	}
}

func ended(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

// maxRead is how much of a file is looked at, in bytes. Of a larger one it is a part, from a little before the first difference.
const maxRead = 128 << 20

// load reads two files that differ; base is where in them what was read begins.
func load(here, there string) (a, b []byte, base int64, err error) {
	x, err := os.Open(here)
	if err != nil {
		return nil, nil, 0, err
	}
	defer x.Close()
	y, err := os.Open(there)
	if err != nil {
		return nil, nil, 0, err
	}
	defer y.Close()
	big := false
	for _, f := range []*os.File{x, y} {
		fi, err := f.Stat()
		if err != nil {
			return nil, nil, 0, err
		}
		big = big || fi.Size() > maxRead
	}
	limit := int64(maxRead)
	if big {
		at, _, err := firstDifference(x, y)
		if err != nil {
			return nil, nil, 0, err
		}
		base, limit = max(at-1<<12, 0), 1<<20
		_, errX := x.Seek(base, io.SeekStart)
		_, errY := y.Seek(base, io.SeekStart)
		if err := errors.Join(errX, errY); err != nil {
			return nil, nil, 0, err
		}
	}
	a, errA := io.ReadAll(io.LimitReader(x, limit))
	b, errB := io.ReadAll(io.LimitReader(y, limit))
	return a, b, base, errors.Join(errA, errB)
}

// inside names an entry of an archive.
func inside(archive, entry string) string { return archive + "!" + strings.TrimPrefix(entry, "./") }
