// Package registry says where artifacts are to be had, at the moment they are asked for.
//
// A lock names an artifact by ecosystem, name, version, file and hash. Its addresses are settings, never part of a lock, a
// derivation or this repository: no registry's host name is written here. Registry.Addresses yields them in this order, each
// found only when those before it did not serve:
//
//  1. the operator's mirrors: registries.yaml, see Mirrors;
//  2. what this machine's own clients are set to: GOPROXY, .npmrc, pip's and uv's files, cargo's source replacement, Maven's
//     settings.xml, apt's sources and its proxy. A client that is set to something does not ask its default, so neither do we;
//  3. the address that upstream's own lock names (artifact.Hint);
//  4. what the ecosystem's own client takes when nothing is set. That address is read out of the client's own files: of the
//     one installed on this machine or, where there is none, of the one in Debian's package of it, which Options.ClientFile
//     fetches and verifies. See Service and client.go for which file that is;
//  5. for Debian, the snapshot service at the lock's date (Registry.At).
//
// A machine with Go, apt's sources and an empty home thus needs no setting. One that has neither apt's sources nor debootstrap
// or mmdebstrap must be told of one Debian mirror, in registries.yaml; UnknownError says so.
//
// The package itself does no network I/O. Where an address has to be looked up in an index first (PyPI, cargo), the Address
// carries the index document's URL and how to find the file in it; package fetch gets the document. Environment and files are
// injected (Machine), so everything here is a function of its arguments:
//
//	r, err := registry.Open(registry.Machine{Env: os.Getenv, Home: home, Root: os.DirFS("/")}, registry.Options{})
//	for address, err := range r.Addresses(ctx, artifact) { … }
//
// # Credentials
//
// Credentials come from the user part of a setting's URL, .npmrc, Maven's servers, UV_INDEX_<NAME>_PASSWORD and netrc. They are
// kept apart from addresses: an Address can be printed. Registry.Authorization gives the header for one URL, to the host, port
// and path that the credential is set for and to no other; over plain http only where the setting itself says http.
package registry
