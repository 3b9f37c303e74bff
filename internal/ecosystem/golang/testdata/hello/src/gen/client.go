// Package client stands for a client that is generated.
package client

import "golang.org/x/mod/semver"

// Major is a version's.
func Major() string { return semver.Major("v8.1.0") }
