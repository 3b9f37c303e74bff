// Package all lists the ecosystems. Adding one is adding a folder beside this one and its lines here.
package all

import (
	"headwater/internal/ecosystem"
	"headwater/internal/ecosystem/golang"
	"headwater/internal/ecosystem/node"
	"headwater/internal/ecosystem/openapi"
	"headwater/internal/ecosystem/plain"
	"headwater/internal/ecosystem/python"
	"headwater/internal/ecosystem/rust"
	"headwater/internal/plan"
)

// Ecosystems lists what components can be.
func Ecosystems() []ecosystem.Ecosystem {
	return []ecosystem.Ecosystem{golang.New(), node.New(), openapi.New(), plain.New(), python.New(), rust.New()}
}

// Recognisers lists who knows the commands that upstreams build with.
func Recognisers() []plan.Recogniser {
	return []plan.Recogniser{golang.Recogniser{}, node.NewRecogniser(), openapi.Recogniser{}, python.Recogniser{}, rust.Recogniser{}}
}
