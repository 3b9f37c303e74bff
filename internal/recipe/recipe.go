// Package recipe reads headwater.yaml: the components of a service, how they depend on one another, the run-time
// layout, the processes and the services they need.
//
// Parsing is strict: an unknown or duplicate key, a missing reference and a cycle are errors that name the line or the
// component. A Recipe that Parse returned is valid; nothing downstream checks it again.
package recipe

// Format is the version of headwater.yaml that this package reads.
const Format = 1

// SourceDir is where a component's source is during its build, unless the recipe says otherwise.
const SourceDir = "/build/src"

// DefaultUser is the uid and gid that processes run as, unless the recipe says otherwise.
const DefaultUser = "1000:1000"

// Recipe is a whole headwater.yaml.
type Recipe struct {
	Format     int                  `yaml:"headwater"`        // version of the file's format: 1
	Name       string               `yaml:"name"`             // the service; a valid store path name
	Release    string               `yaml:"release"`          // the upstream's version of it
	Source     string               `yaml:"source,omitempty"` // folder of the upstream's tree, relative to the recipe; "" means "."
	Toolchains map[string]string    `yaml:"toolchains,omitempty"`
	Roots      map[string]Root      `yaml:"roots"`
	Components map[string]Component `yaml:"components"`
	Package    Package              `yaml:"package"`
	Services   map[string]Service   `yaml:"services,omitempty"`

	Browser   string   `yaml:"browser,omitempty"`    // name of the root that has Chromium, for checks; "" if none needs it
	Checks    []Check  `yaml:"checks,omitempty"`     // what "headwater verify" does with the running service, in this order
	AllowLogs []string `yaml:"allow-logs,omitempty"` // regular expressions of log lines that are no faults, though they look like some

	Replace map[string]Replacement `yaml:"replace,omitempty"` // by what they are of, see Replaced: what is taken in place of artifacts
}

// Root is a file tree unpacked from Debian packages, or a set of store paths, to build in. Either Suites or Paths is set.
type Root struct {
	Suites   []string `yaml:"suites,omitempty"`                  // in order of preference: "trixie", "trixie-security"
	Packages []string `yaml:"packages,omitempty"`                // binary package names, "name/suite" to take one from a certain suite
	Paths    []string `yaml:"paths,omitempty" json:",omitempty"` // store paths whose bin folders are the PATH, in this order
	Cache    string   `yaml:"cache,omitempty" json:"-"`          // a binary cache that has Paths, "" for none
	Keys     []string `yaml:"keys,omitempty" json:"-"`           // public keys, "NAME:BASE64", trusted for what Cache has
}

// Component is one thing to build.
type Component struct {
	Ecosystem string            `yaml:"ecosystem"`          // "go", "node", "python", "openapi"
	Root      string            `yaml:"root"`               // name of the root it is built in
	Dir       string            `yaml:"dir,omitempty"`      // its folder in the source; "" means the top
	At        string            `yaml:"at,omitempty"`       // absolute path of the source's top during the build; "" means SourceDir
	Src       []string          `yaml:"src,omitempty"`      // globs of the files it sees, "!" in front excludes; ** crosses folders
	Download  map[string]string `yaml:"download,omitempty"` // files that are downloaded and pinned: path, relative to Dir → http or https address
	Uses      []Use             `yaml:"uses,omitempty"`     // outputs of other components, laid into its source
	Env       map[string]string `yaml:"env,omitempty"`      // environment of its commands
	Build     []string          `yaml:"build,omitempty"`    // shell commands, run in Dir
	Output    map[string]string `yaml:"output,omitempty"`   // path in the output → path after the build, relative to Dir
	Options   map[string]any    `yaml:"options,omitempty"`
}

// Use lays an output of another component into a component's source.
type Use struct {
	Component string `yaml:"component"`
	Path      string `yaml:"path,omitempty"`     // inside that component's output; "" means all of it
	At        string `yaml:"at"`                 // where it appears: absolute, or relative to the source's top
	Writable  bool   `yaml:"writable,omitempty"` // the build may write there; the output itself stays as it is
}

// Package is the final output: what stands where at run time, and how it is started.
type Package struct {
	Root      string             `yaml:"root"`              // name of the runtime root
	Layout    map[string]string  `yaml:"layout"`            // absolute path at run time → "component" or "component:path"
	Links     map[string]string  `yaml:"links,omitempty"`   // absolute path at run time → what the link there says
	Env       map[string]string  `yaml:"env,omitempty"`     // environment of every process
	Secrets   []string           `yaml:"secrets,omitempty"` // variables that "headwater run" makes a random value for, once
	Workdir   string             `yaml:"workdir,omitempty"` // absolute; "" means "/"
	Command   []string           `yaml:"command"`           // the launcher that processes' arguments are given to
	Processes map[string]Process `yaml:"processes"`         // by name
	Migrate   []string           `yaml:"migrate,omitempty"` // arguments of the launcher that migrate the data, run before the processes
	User      string             `yaml:"user,omitempty"`    // "uid:gid" that processes run as; "" means DefaultUser
	Volumes   []string           `yaml:"volumes,omitempty"` // absolute paths that are writable and kept
	Labels    map[string]string  `yaml:"labels,omitempty"`  // of the image; the service's name and release are there without
	SignIn    string             `yaml:"sign-in,omitempty"` // told to who runs it; ${NAME} is replaced from the environment
}

// Process is one process of the running service.
type Process struct {
	Args   []string `yaml:"args"`
	Port   int      `yaml:"port,omitempty"`   // TCP port it listens on, 0 if none
	Health string   `yaml:"health,omitempty"` // path of an HTTP GET that answers 2xx once it is ready
}

// Service is something the package needs at run time, started out of a pinned root.
type Service struct {
	Kind string            `yaml:"kind"` // "postgresql": one of package service's
	Root string            `yaml:"root"`
	Env  map[string]string `yaml:"env,omitempty"` // what it adds to the package's environment; ${host} ${port} ${password}, and ${user} ${database} of a database, are replaced
}
