// Package nar reads and writes Nix archives: the one byte stream that a file tree has in Nix.
//
// Specification: Nix's manual, "Protocols: Nix archive (NAR) format". An archive holds regular files, of which only the
// executable bit is kept, symbolic links and folders, whose entries are sorted by the bytes of their names.
//
// What is written is a function of the tree alone. What is read must be exactly what would be written: any other order,
// name, tag, padding or length is an error, so that one tree has one archive and one hash.
//
//	hash, size, err := nar.Hash(ctx, dir, scanner) // one read of dir for both
//	err = nar.Unpack(ctx, stream, dst, hasher)     // one read of stream for both
package nar

import (
	"errors"
	"fmt"
	"strings"
)

// ErrFormat says that a stream is not an archive. Errors of reading the stream itself are not ErrFormat.
var ErrFormat = errors.New("not a valid NAR")

// Type is what an entry is.
type Type uint8

// The three types of file system objects that an archive can hold.
const (
	File Type = iota
	Folder
	Link
)

// String is the type's tag in an archive.
func (t Type) String() string {
	switch t {
	case File:
		return "regular"
	case Folder:
		return "directory"
	case Link:
		return "symlink"
	}
	return fmt.Sprintf("Type(%d)", uint8(t))
}

// Entry is one object of an archive.
type Entry struct {
	Path       string // slash-separated, relative to the archive's top, which is ""
	Type       Type
	Executable bool   // files only
	Size       int64  // files only: bytes of content
	Target     string // links only
}

const (
	magic = "nix-archive-1"
	// Linux's limits (limits.h): no tree that breaks them can be unpacked, and they bound what a hostile archive costs.
	maxName   = 255
	maxPath   = 4095
	maxTarget = 4095
)

// checkName tells whether name can be one element of a path. Names that differ in case only are two names.
func checkName(name string) error {
	switch {
	case name == "" || name == "." || name == "..":
		return fmt.Errorf("entry name %q is reserved", name)
	case len(name) > maxName:
		return fmt.Errorf("entry name %.40q… is longer than %d bytes", name, maxName)
	case strings.ContainsAny(name, "/\x00"):
		return fmt.Errorf("entry name %q holds a slash or NUL", name)
	}
	return nil
}

func checkTarget(target string) error {
	switch {
	case target == "":
		return errors.New("link target is empty")
	case len(target) > maxTarget:
		return fmt.Errorf("link target %.40q… is longer than %d bytes", target, maxTarget)
	case strings.ContainsRune(target, 0):
		return fmt.Errorf("link target %q holds NUL", target)
	}
	return nil
}
