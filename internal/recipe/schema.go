package recipe

import (
	_ "embed"
	"slices"
)

//go:embed schema.json
var schema []byte

// Schema is the JSON Schema (draft 2020-12) of headwater.yaml. It says what Parse's types say; references between parts of
// a recipe (a component's root, say) are beyond it and checked by Parse alone.
func Schema() []byte { return slices.Clone(schema) }
