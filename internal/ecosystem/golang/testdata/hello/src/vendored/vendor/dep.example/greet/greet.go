// Package greet greets from a vendor folder.
package greet

// Text is the greeting.
const Text = "vendored"
