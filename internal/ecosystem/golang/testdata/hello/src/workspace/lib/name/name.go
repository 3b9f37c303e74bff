// Package name is in another module of the workspace.
package name

import "golang.org/x/mod/semver"

// Major is a version's.
func Major() string { return semver.Major("v7.1.0") }
