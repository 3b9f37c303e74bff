// Package nix holds Nix's basic values: hashes, their encodings, store paths, content addresses, and how the path of a
// store object follows from what it is.
//
// Everything here is bit-compatible with Nix and nothing here does I/O. The specifications are Nix's manual, chapters
// "Protocols: store path" and "Store object content addressing"; the test vectors come from running Nix itself.
//
//	h := nix.Sum(nix.SHA256, data)
//	p, err := nix.FixedPath("hello.tar.gz", nix.ContentAddress{Method: nix.Flat, Hash: h}, nil, false)
package nix
