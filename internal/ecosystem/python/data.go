package python

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"headwater/internal/artifact"
	"headwater/internal/lock"
)

// data is a locked component's Data. Files are named as in the component's artifacts, where each name stands once.
type data struct {
	Python           string           `json:"python"`                     // the interpreter's full version: "3.13.5"
	Install          []string         `json:"install"`                    // files that the environment is made of, sorted
	Members          []member         `json:"members,omitempty"`          // folders of the source that it is made of, sorted by name
	SDists           map[string]build `json:"sdists,omitempty"`           // how each sdist is built, those of build requirements too
	BuildConstraints []string         `json:"buildConstraints,omitempty"` // what bounded the choice of build requirements
	Resolved         *resolved        `json:"resolved,omitempty"`         // what the upstream's files leave open and was chosen here
}

// member is a package of the source itself.
type member struct {
	Name     string `json:"name"`              // normalised
	Version  string `json:"version,omitempty"` // "" if only its build tells
	Dir      string `json:"dir"`               // in the source
	Editable bool   `json:"editable,omitempty"`
	build
}

// build is how a package is built.
type build struct {
	Folder      string   `json:"folder,omitempty"`      // where the package is in what it comes from, a repository; "" is the top
	Backend     string   `json:"backend"`               // "module" or "module:object"
	BackendPath []string `json:"backendPath,omitempty"` // folders of the package's source that it is imported from
	Requires    []string `json:"requires"`              // as the package asks, sorted
	Added       []string `json:"added,omitempty"`       // as the recipe asks, sorted
	Dynamic     []string `json:"dynamic,omitempty"`     // as the backend asks, sorted
	Env         []string `json:"env"`                   // files that the build environment is made of, sorted
	Crates      []string `json:"crates,omitempty"`      // files of the crates that its part in Rust is built of, sorted
}

// parseData reads a locked component's Data and sees to it that every file it names is among the artifacts.
func parseData(c lock.Component) (data, map[string]artifact.Artifact, error) {
	var d data
	dec := json.NewDecoder(bytes.NewReader(c.Data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&d); err != nil {
		return d, nil, fmt.Errorf("read lock: data: %w", err)
	}
	files := make(map[string]artifact.Artifact, len(c.Artifacts))
	for _, a := range c.Artifacts {
		if _, twice := files[a.File]; twice {
			return d, nil, fmt.Errorf("read lock: file %s stands twice", a.File)
		}
		files[a.File] = a.Artifact()
	}
	named := slices.Clone(d.Install)
	if d.Resolved != nil {
		named = append(named, d.Resolved.Files...)
	}
	for _, m := range d.Members {
		named = append(named, m.Env...)
	}
	for _, sdist := range sortedKeys(d.SDists) {
		named = append(append(named, sdist), d.SDists[sdist].Env...)
	}
	for _, sdist := range sortedKeys(d.SDists) {
		for _, file := range d.SDists[sdist].Crates {
			if a, ok := files[file]; !ok || a.Ecosystem != artifact.Cargo {
				return d, nil, fmt.Errorf("read lock: crate %s has no artifact", file)
			}
		}
	}
	for _, file := range named {
		if _, ok := files[file]; !ok {
			return d, nil, fmt.Errorf("read lock: file %s has no artifact", file)
		}
		if _, ok := d.SDists[file]; !ok && !isWheel(file) {
			return d, nil, fmt.Errorf("read lock: sdist %s has no build", file)
		}
	}
	return d, files, nil
}

func isWheel(file string) bool {
	_, err := ParseWheel(file)
	return err == nil
}
