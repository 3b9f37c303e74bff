package missing

import (
	"fmt"
	"slices"
	"strings"
)

// Root is a recipe's root that lacked something.
type Root struct {
	Name   string
	Suites []string
	Has    []string // names of its packages
}

// Advice says what to change in the recipe so that the root has what the build did not find. all says that the Finder was given
// all files of the root's suites, so that what it has not found is not there.
func (f *Finder) Advice(root Root, all bool) string {
	var parts, add, why []string
	var nowhere []Item
	for _, item := range f.items {
		packages := f.Packages(item)
		has := slices.IndexFunc(packages, func(p string) bool { return slices.Contains(root.Has, p) })
		switch {
		case len(packages) == 0:
			nowhere = append(nowhere, item)
		case has >= 0:
			parts = append(parts, fmt.Sprintf("%s, which has %s, is in roots.%s already: see where the build looks for it", packages[has], item, root.Name))
		default:
			choice := strings.Join(packages, " or ")
			why = append(why, item.String()+" is in "+choice)
			if !slices.Contains(add, choice) {
				add = append(add, choice)
			}
		}
	}
	if len(add) == 1 {
		for i := range why {
			why[i] = strings.TrimSuffix(why[i], add[0]) + "it"
		}
	}
	if len(add) > 0 {
		parts = slices.Insert(parts, 0, fmt.Sprintf("add %s to %s (%s), then run headwater lock", strings.Join(add, ", "), root.packages(), strings.Join(why, ", ")))
	}
	switch {
	case len(nowhere) == 0:
	case all:
		parts = append(parts, fmt.Sprintf("%s was not found, and the packages of %s do not have it where a build would look", names(nowhere), strings.Join(root.Suites, ", ")))
	case len(root.Suites) == 0:
		parts = append(parts, fmt.Sprintf("%s was not found in roots.%s: add the store path of what has it to roots.%s.paths in headwater.yaml, then run headwater lock", names(nowhere), root.Name, root.Name))
	default:
		parts = append(parts, fmt.Sprintf("%s was not found in roots.%s: add the package that has it to %s, then run headwater lock", names(nowhere), root.Name, root.packages()))
	}
	return strings.Join(parts, "; ")
}

func names(items []Item) string {
	list := make([]string, len(items))
	for i, item := range items {
		list[i] = item.String()
	}
	return strings.Join(list, ", ")
}

func (r Root) packages() string { return "roots." + r.Name + ".packages in headwater.yaml" }
