package plan

import (
	"fmt"
	"regexp"
	"strings"
)

// submodulePath is where a submodule stands, in .gitmodules (gitmodules(5)).
var submodulePath = regexp.MustCompile(`(?m)^\s*path\s*=\s*"?([^"\n]+?)"?\s*$`)

// submodules asks for those of which the tree has nothing: what a forge packs as a release's source is without them.
func (a *assembly) submodules() {
	data, err := a.Tree.Read(".gitmodules")
	if err != nil || len(data) > maxYAML {
		return
	}
	for _, m := range submodulePath.FindAllSubmatchIndex(data, -1) {
		at := string(data[m[2]:m[3]])
		if Aside(at+"/x") != "" || a.Tree.Exists(at) {
			continue
		}
		a.Notes.Ask(Question{
			About: "source", Looked: []Evidence{{File: ".gitmodules", Line: 1 + strings.Count(string(data[:m[2]]), "\n")}},
			Ask: fmt.Sprintf("the submodule %s is not in the tree, and what is built may need it; plan a commit of the upstream's repository, which comes with its submodules", at),
		})
	}
}
