package ecosystem

import (
	"context"
	"io/fs"

	"headwater/internal/lock"
	"headwater/internal/recipe"
)

// Inspector is an Ecosystem that looks into what was locked for what a person should know before building with it.
type Inspector interface {
	// Inspect tells it in sentences, in a fixed order. What was found is there also with an error: nothing hangs on an inspection.
	Inspect(context.Context, InspectRequest) ([]string, error)
}

// InspectRequest asks to look into what was locked.
type InspectRequest struct {
	Recipe  *recipe.Recipe
	Source  fs.FS    // the upstream's whole tree
	Files   []string // every file and link of it
	Lock    *lock.File
	Network Network
}
