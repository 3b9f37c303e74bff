// Package greet greets.
package greet

import "golang.org/x/mod/semver"

// Greeting greets name.
func Greeting(name string) string { return "hello " + name + " " + semver.Major("v1.2.3") }
