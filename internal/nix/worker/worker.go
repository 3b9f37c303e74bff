// Package worker is the client's side of Nix's worker protocol: what nix-daemon speaks over its socket, over its standard
// input and output (--stdio), and over ssh.
//
// The protocol is a sequence of operations. A request is a number and its arguments; before the answer come any number of
// messages (log lines, activities, their results) and then either "last" or an error. Numbers are 64 bits, little-endian;
// strings are their length, their bytes, and zeros up to a multiple of eight. Specification: Nix's manual, "Protocols", and
// the sources of the releases that are spoken to. Versions 1.34 (Nix 2.8) to 1.38 (Nix 2.24 and later) are negotiated; of
// the features that 1.38 can negotiate none is needed.
//
// What holds:
//
//   - Nothing that the other side says is believed beyond its form: every length has a limit, memory grows with the bytes
//     that came and not with the length that was announced, and store paths and hashes are parsed.
//   - An error of the daemon's (*RemoteError) leaves the connection usable; any other error closes it, and each later
//     operation fails at once.
//   - Cancelling a context closes the connection. A daemon kills its builders when its client is gone.
//
// Where the bytes come from, a socket or a process, is for the caller to know:
//
//	c, err := worker.New(ctx, conn, func(m worker.Message) { … })
//	defer c.Close()
//	valid, err := c.QueryValidPaths(ctx, paths, false)
//	results, err := c.BuildPaths(ctx, []worker.Target{{Drv: drv, Outputs: []string{"out"}}}, worker.Normal)
package worker

import (
	"fmt"

	"headwater/internal/nix"
)

// Version is a version of the protocol.
type Version struct{ Major, Minor int }

func (v Version) String() string { return fmt.Sprintf("%d.%d", v.Major, v.Minor) }

func (v Version) wire() uint64 { return uint64(v.Major)<<8 | uint64(v.Minor) }

func (v Version) less(w Version) bool {
	return v.Major < w.Major || v.Major == w.Major && v.Minor < w.Minor
}

// The versions that New can agree on.
func oldest() Version { return Version{1, 34} }
func newest() Version { return Version{1, 38} }

// Trust is what a daemon lets its client do.
type Trust int

// The values of Trust.
const (
	TrustUnknown Trust = iota // the daemon is too old to say
	Trusted                   // may change settings that need trust
	NotTrusted
)

// Daemon tells who is on the other side.
type Daemon struct {
	Protocol Version // agreed on
	Nix      string  // the daemon's own version, as it says
	Trust    Trust
}

// PathInfo is what a daemon knows of a valid path.
type PathInfo struct {
	Path             nix.StorePath
	Deriver          nix.StorePath // "" if none
	NARHash          nix.Hash      // SHA-256
	NARSize          int64         // bytes
	Refs             []nix.StorePath
	RegistrationTime int64 // seconds since 1970
	Ultimate         bool  // built by the daemon itself
	Sigs             []string
	CA               nix.ContentAddress // zero unless content-addressed
}

// VersionError says that a daemon speaks a protocol that this client does not.
type VersionError struct{ Have Version }

func (e *VersionError) Error() string {
	return fmt.Sprintf("the daemon speaks version %v of the worker protocol; %v or a later 1.x is needed", e.Have, oldest())
}

// Hint says what to do.
func (e *VersionError) Hint() string { return "use a Nix daemon of version 2.8 or later" }

// RemoteError is an error that the daemon answered with.
type RemoteError struct {
	Operation string
	Text      string // one or more lines, without colours
}

func (e *RemoteError) Error() string { return "daemon: " + e.Operation + ": " + e.Text }

// ProtocolError says that the connection failed, or that what came over it is not the worker protocol.
type ProtocolError struct {
	Operation string
	Err       error // io.EOF or io.ErrUnexpectedEOF if the daemon hung up
}

func (e *ProtocolError) Error() string { return "daemon: " + e.Operation + ": " + e.Err.Error() }

func (e *ProtocolError) Unwrap() error { return e.Err }
