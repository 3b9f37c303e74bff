// Package fetch downloads artifacts: from whatever address serves them, checked by hash while they stream.
//
// Client.Fetch asks package registry for an artifact's addresses and tries them in order. An address that fails for good (404,
// wrong bytes, a refused redirect) is dropped; one that fails for now (reset, stall, 429, 5xx, a body cut short) is resumed where
// it stopped, and asked again later if that does not help. What no address served gives one error that lists every address with
// its reason.
//
// What always holds:
//   - the destination appears complete and checked, by rename, or not at all; the partial file beside it goes away in any case;
//   - every byte is hashed, and the size is limited: to what the lock says or, where it says nothing, to Options.MaxSize;
//   - no error, address or document has a credential in it;
//   - https does not turn into http by a redirect, unless the operator named that host.
//
// Several processes that want one artifact are kept apart by the store's path locks, which the caller holds; the destination is
// then the caller's own, so nothing is locked here.
//
//	client := fetch.New(registry.At(lock.Date), fetch.Options{Cache: dir})
//	got, err := client.Fetch(ctx, artifact, filepath.Join(tmp, "file"), progress)
package fetch
