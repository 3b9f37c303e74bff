package plan

import (
	"path"
	"slices"
	"strings"
)

// container is a program that is run in an image, over folders of the checkout.
type container struct {
	image  string
	mounts []mount
	dir    string // working directory in it
	args   []string
}

type mount struct{ host, inside string } // both absolute

// runOptions are those of "docker run" and "docker compose run" that take a value.
func runOptions() []string {
	return []string{
		"-v", "--volume", "-w", "--workdir", "-e", "--env", "-u", "--user", "--name", "--entrypoint", "--platform", "--network", "--net", "-p", "--publish", "--mount", "--env-file", "-h", "--hostname",
		"-l", "--label", "-m", "--memory", "--cpus", "--add-host", "--pull", "--tmpfs", "--cap-add", "--cap-drop", "--security-opt", "--userns", "-f", "--file", "--project-directory",
	}
}

// containerOf reads "docker run" and "docker compose run"; it is nil for anything else.
func containerOf(c Command, s *Stage) *container {
	args, file := c.Args[1:], ""
	composed := path.Base(c.Args[0]) == "docker-compose" || len(args) > 0 && args[0] == "compose"
	if composed && args[0] == "compose" {
		args = args[1:]
	}
	r := &container{dir: "/"}
	running := false
	for i := 0; i < len(args); i++ {
		name, value, inline := strings.Cut(args[i], "=")
		if !strings.HasPrefix(name, "-") {
			if running {
				r.image, r.args = args[i], args[i+1:]
				break
			}
			if running = name == "run"; !running {
				return nil
			}
			continue
		}
		if !slices.Contains(runOptions(), name) {
			continue
		}
		if !inline && i+1 < len(args) {
			i++
			value = args[i]
		}
		switch name {
		case "-v", "--volume":
			if host, inside, ok := strings.Cut(value, ":"); ok {
				inside, _, _ = strings.Cut(inside, ":")
				r.mounts = append(r.mounts, mount{Abs(c.Dir, host), path.Clean(inside)})
			}
		case "-w", "--workdir":
			r.dir = path.Clean(value)
		case "-f", "--file":
			file = value
		}
	}
	switch {
	case r.image == "":
		return nil
	case composed:
		return r.service(c, s, file)
	}
	return r
}

// service completes a container of a compose file's service.
func (r *container) service(c Command, s *Stage, file string) *container {
	names := []string{"compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"}
	if file != "" {
		names = []string{file}
	}
	for _, n := range names {
		data, name, err := s.ReadFile(Abs(c.Dir, n))
		if err != nil {
			continue
		}
		f, err := parseCompose(name, data)
		if err != nil || f.Services[r.image].Image == "" {
			return nil
		}
		service := f.Services[r.image]
		dir := path.Dir(Abs(c.Dir, n))
		for _, v := range service.Volumes {
			if v.Source != "" {
				r.mounts = append(r.mounts, mount{Abs(dir, v.Source), path.Clean(v.Target)})
			}
		}
		if r.image = interpolate(service.Image, known(nil)); len(r.args) == 0 {
			r.args = service.Command
		}
		return r
	}
	return nil
}

// outside is a path of the container as the checkout has it; what is no path of a mount stays as it is.
func (r *container) outside(word string) string {
	name, value, assigned := strings.Cut(word, "=")
	if assigned && strings.HasPrefix(value, "/") {
		return name + "=" + r.outside(value)
	}
	for _, m := range r.mounts {
		if path.IsAbs(word) && within(m.inside, path.Clean(word)) {
			return path.Join(m.host, relative(m.inside, path.Clean(word)))
		}
	}
	return word
}

// run looks at what a container does as if it were done in the checkout: first as a call of its image, for who knows that, else as
// the command that it runs.
func (r *container) run(c Command, s *Stage) error {
	c.Dir = r.outside(r.dir)
	if !within(checkoutDir, c.Dir) { // it starts nowhere near the tree; what it is told is absolute
		c.Dir = checkoutDir
	}
	args := make([]string, len(r.args))
	for i, a := range r.args {
		args[i] = r.outside(a)
	}
	unknown := len(s.Unrecognised)
	c.Args = append([]string{"docker", r.image}, args...)
	if err := s.recognise(c); err != nil || len(s.Unrecognised) == unknown || len(args) == 0 {
		return err
	}
	s.Unrecognised = s.Unrecognised[:unknown]
	c.Args = args
	return s.recognise(c)
}
