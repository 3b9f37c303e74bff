package daemon

import (
	"fmt"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
)

// Address says where a Nix daemon is. ParseAddress makes one.
type Address struct {
	text string
	kind kind

	socket string // of a listening daemon

	root    string // of a store in a folder, absolute
	program string // that speaks the protocol, here or on the other machine; "" means nix-daemon

	host, user, port, key string // of another machine
	store                 string // which store that machine's daemon opens; "" means its own choice

	maxJobs    *int // max-jobs, nil: as the run's options say
	substitute bool // whether the daemon may use its binary caches
}

type kind int

const (
	listening kind = iota // a socket
	folder                // nix-daemon --stdio, started here
	ssh                   // nix-daemon --stdio, started there
)

// AddressError says what is wrong with an address.
type AddressError struct {
	Text string
	Err  error
}

func (e *AddressError) Error() string { return fmt.Sprintf("Nix store address %q: %v", e.Text, e.Err) }

func (e *AddressError) Unwrap() error { return e.Err }

// Hint says what an address can be.
func (e *AddressError) Hint() string {
	return "an address is daemon, unix:///SOCKET, local?root=DIR or ssh-ng://[USER@]HOST; docs/nix.md has their parameters"
}

// ParseAddress reads an address as Nix writes them:
//
//	daemon                       the machine's daemon, at defaultSocket
//	unix:///SOCKET               a daemon that listens there
//	local?root=DIR, /DIR         the store in a folder; parameter: daemon=PROGRAM
//	ssh-ng://[USER@]HOST[:PORT]  another machine's; parameters: remote-program, remote-store, ssh-key
//
// All take max-jobs=N: how many builds the daemon's machine may do at once, 0 to leave all to its remote builders; and
// substitute=false, to build what the daemon could have from its binary caches.
func ParseAddress(s, defaultSocket string) (Address, error) {
	a := Address{text: s}
	if err := a.parse(s, defaultSocket); err != nil {
		return Address{}, &AddressError{Text: s, Err: err}
	}
	return a, nil
}

// String is the address as it was written.
func (a Address) String() string { return a.text }

func (a *Address) parse(s, defaultSocket string) error {
	base, query, _ := strings.Cut(s, "?")
	params, err := url.ParseQuery(query)
	if err != nil {
		return err
	}
	take := func(name string) string {
		v := params.Get(name)
		params.Del(name)
		return v
	}
	switch {
	case base == "" || base == "auto" || base == "daemon":
		a.kind, a.socket = listening, defaultSocket
	case strings.HasPrefix(base, "unix://"):
		a.kind, a.socket = listening, strings.TrimPrefix(base, "unix://")
		if !filepath.IsAbs(a.socket) {
			return fmt.Errorf("socket %q is no absolute path", a.socket)
		}
	case base == "local" || strings.HasPrefix(base, "/"):
		a.kind, a.root, a.program = folder, take("root"), take("daemon")
		err = a.checkRoot(base)
	case strings.HasPrefix(base, "ssh-ng://"):
		a.kind, a.program, a.store, a.key = ssh, take("remote-program"), take("remote-store"), take("ssh-key")
		err = a.parseHost(base)
	default:
		return fmt.Errorf("unknown kind of store %q", base)
	}
	if err != nil {
		return err
	}
	if jobs := take("max-jobs"); jobs != "" {
		n, err := strconv.Atoi(jobs)
		if err != nil || n < 0 {
			return fmt.Errorf("max-jobs is %q, not a number", jobs)
		}
		a.maxJobs = &n
	}
	switch v := take("substitute"); v {
	case "", "true":
		a.substitute = true
	case "false":
	default:
		return fmt.Errorf("substitute is %q, neither true nor false", v)
	}
	for name := range params {
		return fmt.Errorf("unknown parameter %q", name)
	}
	return nil
}

func (a *Address) checkRoot(base string) (err error) {
	if base != "local" {
		if a.root != "" {
			return fmt.Errorf("two folders")
		}
		a.root = base
	}
	if a.root == "" {
		return fmt.Errorf("no folder (root=DIR)")
	}
	if strings.ContainsAny(a.root, "?&#%") { // Nix would take them for parts of an address
		return fmt.Errorf("folder %q has one of the characters ?&#%%", a.root)
	}
	a.root, err = filepath.Abs(a.root)
	return err
}

func (a *Address) parseHost(base string) error {
	u, err := url.Parse(base)
	if err != nil {
		return err
	}
	a.host, a.user, a.port = u.Hostname(), u.User.Username(), u.Port()
	_, password := u.User.Password()
	switch {
	case password:
		return fmt.Errorf("a password has no place in an address")
	case u.Path != "" && u.Path != "/":
		return fmt.Errorf("path %q after the host", u.Path)
	case a.host == "":
		return fmt.Errorf("no host")
	}
	for _, word := range []string{a.host, a.user} { // ssh would take them for options, or worse
		if strings.HasPrefix(word, "-") || strings.ContainsFunc(word, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
			return fmt.Errorf("%q is no name of a host or user", word)
		}
	}
	return nil
}
