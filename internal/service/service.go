// Package service knows the kinds of services that packages need at run time: which Debian packages bring a server, what compose files call
// it, and by which commands one is made, started and asked whether it is ready. It starts nothing itself.
//
// A kind is one file with one type that implements Kind, and a line in Kinds.
//
//	kind, ok := service.Find("redis")
//	server, err := kind.Server(service.Instance{Root: root, Port: 6379, Password: "…"})
package service

import (
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
)

// Kind is a kind of service.
type Kind interface {
	// Facts are what is known of the kind.
	Facts() Facts
	// Server says how a server of it is run. The error says that the root has none.
	Server(Instance) (Server, error)
}

// Kinds are all there are, by name.
func Kinds() []Kind { return []Kind{mariadb{}, postgresql{}, redis{}} }

// Find finds a kind by its name.
func Find(name string) (Kind, bool) {
	for _, k := range Kinds() {
		if k.Facts().Name == name {
			return k, true
		}
	}
	return nil, false
}

// Names are the names of all kinds, sorted.
func Names() []string {
	var names []string
	for _, k := range Kinds() {
		names = append(names, k.Facts().Name)
	}
	slices.Sort(names)
	return names
}

// Facts are what is known of a kind.
type Facts struct {
	Name   string         // as recipes have it: "postgresql"
	Title  string         // for people: "PostgreSQL"
	Port   int            // where such a server is looked for by who is told no port
	Values []string       // what a recipe's env may refer to as ${…}, beside host, port and password
	Open   bool           // a server may be without a password, for those who send none: it has one where the recipe hands it on
	Images []Image        // container images that are of this kind
	Faults *regexp.Regexp // lines of its log that tell of a fault of the server's own
}

// Has tells whether ${name} stands for something in the recipe's env of such a service.
func (f Facts) Has(name string) bool {
	return name == Host || name == Port || name == Password || slices.Contains(f.Values, name)
}

// Image is a container image, and what of Debian does what it does.
type Image struct {
	Name     string   // without registry, owner and tag: "postgres"
	Packages []string // of Debian trixie
	Version  string   // of the first of them, as far as it matters to who needs another
	Product  string   // what the packages are where that is not what the image is, else ""
}

// What env may refer to.
const (
	Host     = "host"
	Port     = "port"
	User     = "user"
	Password = "password"
	Database = "database"
)

// Instance is one server to be.
type Instance struct {
	Root     string // where its root really is
	Port     int    // on loopback
	Password string // "" for none, where the kind is Open
}

// Folders of a server, as it sees them. What is in DataDir is kept; RunDir is its own, too.
const (
	DataDir = "/data"
	RunDir  = "/run/service"
)

// Server says how one server is run. All commands are done in its root, as an ordinary user, with the folders.
type Server struct {
	Path   string            // of the commands
	Files  map[string]string // files in RunDir, for nobody else to read: name → content
	Init   []Command         // done on first use, before it runs
	Run    Command
	Stop   syscall.Signal    // asks it to end
	Ready  Command           // exits with 0 once it answers
	Create []Command         // done on first use, once it answers
	Shape  *Command          // prints what its data look like, the same for the same tables; nil where data have no shape
	Noise  *regexp.Regexp    // lines of Shape's that differ each time, nil for none
	Values map[string]string // what else its env may refer to, beside host, port and password: see Facts.Values
}

// Command is a program in a server's root.
type Command struct {
	Program string
	Args    []string
	Env     []string // NAME=value beside PATH and LANG, which others cannot see
	Stdin   string
}

// The names in a server that is there for one service alone.
const (
	user     = "app"
	database = "app"
)

// names are those that a service's env refers to.
func names(env map[string]string) map[string]bool {
	found := map[string]bool{}
	for _, v := range env {
		os.Expand(v, func(name string) string { found[name] = true; return "" })
	}
	return found
}

// Hands tells whether a service's env hands on what stands for ${name}.
func Hands(env map[string]string, name string) bool { return names(env)[name] }

// Unknown lists what env refers to that the kind does not have, sorted.
func (f Facts) Unknown(env map[string]string) []string {
	bad := names(env)
	maps.DeleteFunc(bad, func(name string, _ bool) bool { return f.Has(name) })
	return slices.Sorted(maps.Keys(bad))
}

// ImageOf finds the kind that a container image is of, by its name without registry, owner and tag.
func ImageOf(name string) (Kind, Image, bool) {
	for _, k := range Kinds() {
		for _, i := range k.Facts().Images {
			if i.Name == name {
				return k, i, true
			}
		}
	}
	return nil, Image{}, false
}

// program finds in a root the first of the patterns that just one program fits: its folder, as seen inside, and its name.
func program(root string, patterns ...string) (dir, name string, ok bool) {
	for _, p := range patterns {
		found, err := filepath.Glob(root + p)
		if err == nil && len(found) == 1 {
			at := strings.TrimPrefix(found[0], root)
			return path.Dir(at), path.Base(at), true
		}
	}
	return "", "", false
}
