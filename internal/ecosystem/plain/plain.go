// Package plain derives components that are nothing but shell commands: the recipe's "build", run in the component's folder
// with the root's programs. There is nothing to lock, there are no toolchains and no options.
//
// Where the recipe has no "output", the component's folder as the commands left it is the output, with what it uses laid
// into it.
package plain

import (
	"context"

	"headwater/internal/dag"
	"headwater/internal/ecosystem"
	"headwater/internal/lock"
)

// Plain is the ecosystem "plain".
type Plain struct{}

// New makes it.
func New() Plain { return Plain{} }

// Name implements ecosystem.Ecosystem.
func (Plain) Name() string { return "plain" }

// Lock implements ecosystem.Ecosystem: it only checks that there are no options.
func (Plain) Lock(_ context.Context, r ecosystem.LockRequest) (lock.Component, error) {
	return lock.Component{}, ecosystem.Options(r.Component.Options, &struct{}{})
}

// Derive implements ecosystem.Ecosystem.
func (Plain) Derive(r ecosystem.DeriveRequest) (*dag.Node, error) {
	if err := ecosystem.Options(r.Component.Options, &struct{}{}); err != nil {
		return nil, err
	}
	return r.Build(ecosystem.Build{Output: map[string]string{".": "."}})
}
