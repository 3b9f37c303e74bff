package node

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"headwater/internal/plan"
)

// angularWorkspace is what is read of an angular.json (Angular, "Workspace configuration").
type angularWorkspace struct {
	DefaultProject string                    `json:"defaultProject"`
	Projects       map[string]angularProject `json:"projects"`
}

type angularProject struct {
	Architect, Targets map[string]angularTarget
}

type angularTarget struct {
	Options              angularOptions            `json:"options"`
	Configurations       map[string]angularOptions `json:"configurations"`
	DefaultConfiguration string                    `json:"defaultConfiguration"`
}

type angularOptions struct {
	OutputPath angularPath `json:"outputPath"`
}

// angularPath is a folder, or an object whose base is one.
type angularPath string

// UnmarshalJSON is json.Unmarshaler's.
func (p *angularPath) UnmarshalJSON(data []byte) error {
	var object struct{ Base string }
	if err := json.Unmarshal(data, (*string)(p)); err == nil {
		return nil
	}
	err := json.Unmarshal(data, &object)
	*p = angularPath(object.Base)
	return err
}

var (
	angularBuild         = regexp.MustCompile(`(?:^|[\s/])ng\s+build\b([^&|;\n]*)`)
	angularConfiguration = regexp.MustCompile(`(?:--configuration|-c)[= ]\s*["']?([^\s"',]+)`)
)

// angular finds what Angular's builder writes outside of its folder: "outputPath" of the project's target, which a configuration may have another
// of.
func (p planner) angular(b *plan.Build, text, dir string) {
	called := angularBuild.FindStringSubmatch(text)
	if called == nil {
		return
	}
	data, name, err := p.ReadFile(plan.Abs(dir, "angular.json"))
	if err != nil {
		return // it is not Angular's
	}
	var workspace angularWorkspace
	if err := json.Unmarshal(data, &workspace); err != nil {
		p.Notes.Remark(fmt.Sprintf("%s is not understood: %v", name, err), plan.Evidence{File: name})
		return
	}
	project := workspace.DefaultProject
	if words := strings.Fields(called[1]); len(words) > 0 && !strings.HasPrefix(words[0], "-") {
		project = words[0]
	}
	if project == "" && len(workspace.Projects) == 1 {
		project = slices.Collect(maps.Keys(workspace.Projects))[0]
	}
	target, ok := workspace.Projects[project].Architect["build"]
	if !ok {
		target = workspace.Projects[project].Targets["build"]
	}
	configuration := target.DefaultConfiguration
	if m := angularConfiguration.FindStringSubmatch(called[1]); m != nil {
		configuration = m[1]
	} else if strings.Contains(called[1], "--prod") {
		configuration = "production"
	}
	to := string(cmp.Or(target.Configurations[configuration].OutputPath, target.Options.OutputPath))
	if strings.HasPrefix(to, "..") {
		p.Makes(b, plan.Output{At: plan.Abs(dir, to)}, plan.Evidence{File: name, Line: strings.Count(string(data[:max(0, strings.Index(string(data), `"`+to+`"`))]), "\n") + 1, Rule: "where the build writes"})
	}
}
