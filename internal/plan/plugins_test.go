package plan_test

import (
	"slices"
	"strings"
	"testing"

	"headwater/internal/plan"
)

// What makes images for others says with which arguments; a compose file may be there to try things.
func TestPipelinesOfPlugins(t *testing.T) {
	t.Parallel()
	image := "FROM debian AS build\nARG MODE=slow\nWORKDIR /src\nCOPY . .\nRUN if [ $MODE = fast ]; then bake fast.bin; else bake slow.bin; fi; mv *.bin app.bin || mv $MODE.bin app.bin\nFROM debian:trixie\nCOPY --from=build /src/app.bin /app\nCMD [\"/app\"]\n"
	steps := "steps:\n  generate:\n    image: tool\n    environment: {OUT: extra}\n    commands: [echo x > $OUT]\n  publish:\n    image: plugins/docker:3\n    settings: {repo: x/y, dockerfile: ops/Dockerfile, build_args: {MODE: fast}, tag: \"${CI_COMMIT_TAG}\"}\n"
	list := "kind: pipeline\n---\nkind: pipeline\nsteps:\n- name: publish\n  image: plugins/docker\n  settings:\n    dockerfile: ops/Dockerfile\n    repo: x/y\n    tags: [latest, \"1\"]\n    build_args: [MODE=fast]\n"
	for name, files := range map[string][]string{"by name": {".woodpecker.yml", steps}, "a folder": {".woodpecker/release.yaml", steps}, "a list": {".drone.yml", list}} {
		p := planned(t, append(files, "ops/Dockerfile", image, "compose.yml", "services: {app: {build: {context: ., dockerfile: ops/Dockerfile}}}\n")...)
		if p.Recipe == nil {
			t.Fatalf("%s: %+v", name, p)
		}
		commands := ""
		for _, c := range p.Recipe.Components {
			commands += strings.Join(c.Build, "\n")
		}
		if !strings.Contains(commands, "bake fast.bin") || strings.Contains(commands, "slow") {
			t.Errorf("%s: %q %+v", name, commands, p.Notes)
		}
	}
	p := planned(t, ".drone.yml", "steps: [\n docker", "ops/Dockerfile", image)
	if p.Recipe == nil || !slices.ContainsFunc(p.Remarks, func(r plan.Remark) bool { return strings.Contains(r.Text, ".drone.yml") }) {
		t.Errorf("a file that cannot be read is not told: %+v", p.Remarks)
	}
}
