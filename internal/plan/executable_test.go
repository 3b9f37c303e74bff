package plan_test

import (
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/plan"
	"headwater/internal/recipe"
)

// What an image makes executable can be started where it ships, if the source does not have it so already.
func TestMadeExecutable(t *testing.T) {
	t.Parallel()
	executable := func(dir, name, file string) map[string]recipe.Component {
		return map[string]recipe.Component{
			"source": {Ecosystem: "plain", Root: "runtime", Src: []string{"**"}},
			name:     {Ecosystem: "plain", Root: "runtime", Src: []string{dir + file}, Build: []string{"chmod 0755 " + dir + file}, Output: map[string]string{dir + file: dir + file}},
		}
	}
	for name, c := range map[string]struct {
		lines string
		want  map[string]recipe.Component
		at    string
	}{
		"a file":               {"COPY . /app\nRUN chmod +x /app/start.sh\n", executable("", "start", "start.sh"), "/app/start.sh"},
		"those of a folder":    {"COPY . /app\nRUN chmod -R 755 /app/bin\n", executable("bin/", "task", "task"), "/app/bin/task"},
		"what is copied":       {"COPY . /app\nCOPY --chmod=0755 start.sh /go.sh\n", executable("", "start", "start.sh"), "/go.sh"},
		"what is so already":   {"COPY . /app\nRUN chmod +x /app/ready.sh\n", map[string]recipe.Component{"source": {Ecosystem: "plain", Root: "runtime", Src: []string{"**"}}}, "/app"},
		"another mode":         {"COPY . /app\nRUN chmod 644 /app/start.sh\n", map[string]recipe.Component{"source": {Ecosystem: "plain", Root: "runtime", Src: []string{"**"}}}, "/app"},
		"the tree as a whole":  {"COPY --chmod=755 . /app\n", map[string]recipe.Component{"source": {Ecosystem: "plain", Root: "runtime", Src: []string{"**"}}}, "/app"},
		"a folder of the tree": {"COPY . /app\nCOPY --chmod=755 bin /app/bin\n", executable("bin/", "task", "task"), "/app/bin/task"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fsys, names := fstest.MapFS{}, []string{"Dockerfile", "bin/data", "bin/task", "ready.sh", "start.sh"}
			for _, n := range names {
				fsys[n] = &fstest.MapFile{Data: []byte("#!/bin/sh\n"), Mode: 0o644}
			}
			fsys["ready.sh"].Mode, fsys["bin/data"].Data = 0o755, nil
			fsys["Dockerfile"].Data = []byte("FROM debian\n" + c.lines + "CMD [\"/app/start.sh\"]\nEXPOSE 80\n")
			p, err := plan.New(plan.NewTree(fsys, names), plan.Options{})
			if err != nil {
				t.Fatal(err)
			}
			got := p.Recipe.Components
			if diff := cmp.Diff(c.want, got); name != "a folder of the tree" && diff != "" {
				t.Errorf("components (-want +got):\n%s", diff)
			}
			if _, ok := p.Recipe.Package.Layout[c.at]; !ok {
				t.Errorf("the layout is %v", p.Recipe.Package.Layout)
			}
		})
	}
}
