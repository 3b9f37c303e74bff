// Package oracle holds the tests in which real Nix judges: old, current and newest, each out of its own packages (package
// nixtest). Each test does one thing by Nix and by Headwater and compares; none has an expectation of its own.
//
//   - The same .drv paths: Nix evaluates an expression, we compute (derivations_test.go; random ones in random_test.go).
//   - The same outputs: both build, and store.Diff compares NAR hashes and references (builds_test.go, random_test.go).
//   - The same refusals: what one engine does not accept the other must not accept either (builds_test.go).
//   - One store for both: Nix verifies, builds on and collects a store that we filled, and the reverse (exchange_test.go).
//   - Signatures: each signs, the other verifies (sign_test.go).
//   - All of it for a real service (gatehouse_test.go).
//
// docs/nix.md, "The oracle", says how to run it.
package oracle
