package main

import (
	"headwater/internal/ecosystem"
	"headwater/internal/ecosystem/golang"
	"headwater/internal/ecosystem/node"
	"headwater/internal/ecosystem/openapi"
	"headwater/internal/ecosystem/plain"
	"headwater/internal/ecosystem/python"
	"headwater/internal/ecosystem/rust"
)

// ecosystems lists what components can be. Adding one is adding a line.
func ecosystems() []ecosystem.Ecosystem {
	return []ecosystem.Ecosystem{golang.New(), node.New(), openapi.New(), plain.New(), python.Ecosystem{}, rust.New()}
}
