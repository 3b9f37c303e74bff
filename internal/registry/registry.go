package registry

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http/httpproxy"

	"headwater/internal/artifact"
)

// Service is one thing that addresses are set for. The names are the keys of registries.yaml.
type Service string

// The services.
const (
	Content        Service = "content" // any artifact, by hash
	Go             Service = "go"
	NPM            Service = "npm"
	PyPI           Service = "pypi"
	Maven          Service = "maven"
	Cargo          Service = "cargo"
	Debian         Service = "debian"
	DebianSecurity Service = "debian-security"
	Snapshot       Service = "snapshot"
)

func services() []Service {
	return []Service{Content, Go, NPM, PyPI, Maven, Cargo, Debian, DebianSecurity, Snapshot}
}

// Authority is somebody whose word is asked for when an image is signed. The names are the keys of registries.yaml.
type Authority string

// The authorities.
const (
	Fulcio    Authority = "fulcio"    // certifies keys
	Timestamp Authority = "timestamp" // says what time it is
)

// Options adjust a Registry.
type Options struct {
	// ClientFile returns one file of a Debian package: how a client's own default is found where the client is not installed.
	// file is its path in the package, without leading slash; it may be a symbolic link to a file beside it. The package is to be verified as any other of a root is. It is
	// never called to find Debian's own address. nil: that way is not open.
	ClientFile func(ctx context.Context, pkg, file string) ([]byte, error)
}

// Registry knows the addresses of artifacts. It is safe for concurrent use. Settings are read once, when first needed.
type Registry struct {
	*state
	date  time.Time
	place func(artifact.Artifact) (Address, bool)
}

type state struct {
	machine  Machine
	options  Options
	mirrors  *mirrors
	clients  map[Service]func() (*client, error) // settings of this machine's clients; each is read once
	defaults map[Service]*once
	netrc    func() ([]netrc, error)
	proxy    func(*url.URL) (*url.URL, error)
	apt      func() (*aptSettings, error)
}

// client is what a client of this machine is set to.
type client struct {
	bases       []Base
	set         bool                   // a setting is in force: the client's own default is not asked, though bases may be empty
	scopes      map[string][]Base      // npm's
	skip        func(name string) bool // names that the bases are not asked for; nil: none
	credentials credentials
}

// once finds a client's default. Unlike sync.Once it does not keep the failure of a cancelled context.
type once struct {
	sync.Mutex
	done  bool
	bases []Base
	err   error
}

// Open reads the operator's settings. The clients' are read when they are needed.
func Open(m Machine, o Options) (*Registry, error) {
	own, err := readMirrors(m)
	if err != nil {
		return nil, err
	}
	s := &state{machine: m, options: o, mirrors: own, defaults: map[Service]*once{}}
	for _, service := range services() {
		s.defaults[service] = new(once)
	}
	apt := sync.OnceValues(func() (*aptSettings, error) { return readApt(m) })
	s.apt = apt
	s.clients = map[Service]func() (*client, error){
		Go:             sync.OnceValues(func() (*client, error) { return readGo(m) }),
		NPM:            sync.OnceValues(func() (*client, error) { return readNPM(m) }),
		PyPI:           sync.OnceValues(func() (*client, error) { return readPython(m) }),
		Maven:          sync.OnceValues(func() (*client, error) { return readMaven(m) }),
		Cargo:          sync.OnceValues(func() (*client, error) { return readCargo(m) }),
		Debian:         sync.OnceValues(func() (*client, error) { return readArchive(apt, Debian) }),
		DebianSecurity: sync.OnceValues(func() (*client, error) { return readArchive(apt, DebianSecurity) }),
	}
	s.netrc = sync.OnceValues(func() ([]netrc, error) { return readNetrc(m) })
	s.proxy = proxyOf(m)
	return &Registry{state: s}, nil
}

// At is the same Registry with Debian's snapshot service asked for the archives as they were at date. Without a date the
// snapshot service is not asked.
func (r *Registry) At(date time.Time) *Registry { return &Registry{r.state, date, r.place} }

// Replacing is the same Registry with some artifacts at one place that the operator's recipe names, and at no other but for the
// operator's mirrors by hash. place may be called by several goroutines.
func (r *Registry) Replacing(place func(artifact.Artifact) (Address, bool)) *Registry {
	return &Registry{r.state, r.date, place}
}

// ServiceOf says which service's settings an artifact's addresses come from.
func ServiceOf(a artifact.Artifact) Service {
	if a.Ecosystem == artifact.Debian {
		archive, _, _ := strings.Cut(a.File, "/")
		return Service(archive) // "debian" or "debian-security"
	}
	return Service(a.Ecosystem)
}

// Addresses yields where a may be, best first, each once. An error tells why a kind of address could not be found; others
// may follow. Addresses that take effort to find are found only when those before them were used up.
func (r *Registry) Addresses(ctx context.Context, a artifact.Artifact) iter.Seq2[Address, error] {
	return distinct(func(yield func(Address, error) bool) {
		if r.place != nil {
			if at, ok := r.place(a); ok {
				r.placed(a, at, yield)
				return
			}
		}
		if a.Ecosystem == artifact.Git {
			r.repository(a, yield)
			return
		}
		l, err := layoutOf(a)
		if err != nil {
			yield(Address{}, err)
			return
		}
		r.walk(ctx, ServiceOf(a), a, l, yield)
	})
}

// Index yields where a registry describes all versions of name: npm's packument, PyPI's project page, Go's @v/list, Maven's
// maven-metadata.xml, cargo's index entry.
func (r *Registry) Index(ctx context.Context, eco artifact.Ecosystem, name string) iter.Seq2[Address, error] {
	return distinct(func(yield func(Address, error) bool) {
		l, err := indexLayout(eco, name)
		if err != nil {
			yield(Address{}, err)
			return
		}
		r.walk(ctx, Service(eco), artifact.Artifact{Ecosystem: eco, Name: name}, l, yield)
	})
}

// walk is the order of addresses, see the package's documentation.
func (r *Registry) walk(ctx context.Context, s Service, a artifact.Artifact, l layout, yield func(Address, error) bool) {
	if !r.ownMirrors(s, a, l, yield) || r.mirrors.only {
		return
	}
	set := false
	if read := r.clients[s]; read != nil {
		c, err := read()
		if err != nil {
			yield(Address{}, err) // a file that cannot be read may have said "ask nobody else"
			return
		}
		set = c.set
		if !r.clientBases(c, a, l, yield) {
			return
		}
	}
	if hint, ok := hintOf(a); ok && !yield(hint, nil) {
		return
	}
	if a.Ecosystem == artifact.URL {
		return
	}
	if !set && !r.clientDefault(ctx, s, a, l, yield) {
		return
	}
	r.snapshot(ctx, s, a, l, yield)
}

// placed yields the place that a recipe names.
func (r *Registry) placed(a artifact.Artifact, at Address, yield func(Address, error) bool) {
	switch {
	case !r.byHash(a, yield):
	case r.mirrors.only && !strings.HasPrefix(at.URL, "file:"):
		yield(Address{}, fmt.Errorf("%s is not asked, since registries.yaml says \"only\"", at))
	default:
		yield(at, nil)
	}
}

// ownMirrors yields what registries.yaml says. It reports whether to go on.
func (r *Registry) ownMirrors(s Service, a artifact.Artifact, l layout, yield func(Address, error) bool) bool {
	if !r.byHash(a, yield) {
		return false
	}
	bases := r.mirrors.bases[s]
	if scope, ok := scopeOf(a); ok && len(r.mirrors.scopes[scope]) > 0 {
		bases = r.mirrors.scopes[scope]
	}
	if s == DebianSecurity && len(bases) == 0 {
		bases = sibling(r.mirrors.bases[Debian])
	}
	return each(bases, a, l, yield)
}

// byHash yields the operator's mirrors that know artifacts by hash. It reports whether to go on.
func (r *Registry) byHash(a artifact.Artifact, yield func(Address, error) bool) bool {
	if !a.Hash.IsZero() {
		for _, b := range r.mirrors.bases[Content] {
			address := Address{URL: b.join(string(a.Hash.Algo()) + "/" + a.Hash.Base16()), From: b.From}
			if b.template() {
				address.URL = b.expand(a, "")
			}
			if address.URL != "" && !yield(address, nil) {
				return false
			}
		}
	}
	return true
}

func (r *Registry) clientBases(c *client, a artifact.Artifact, l layout, yield func(Address, error) bool) bool {
	if c.skip != nil && c.skip(a.Name) {
		return true
	}
	bases := c.bases
	if scope, ok := scopeOf(a); ok && len(c.scopes[scope]) > 0 {
		bases = c.scopes[scope]
	}
	return each(bases, a, l, yield)
}

// clientDefault yields what the ecosystem's own client takes when nothing is set.
func (r *Registry) clientDefault(ctx context.Context, s Service, a artifact.Artifact, l layout, yield func(Address, error) bool) bool {
	base, err := r.defaultOf(ctx, s)
	if err != nil {
		// With mirrors of the operator's own, not knowing the public registry is no news.
		return len(r.mirrors.bases[s]) > 0 && ctx.Err() == nil || yield(Address{}, err)
	}
	return each(base, a, l, yield)
}

// snapshot yields Debian's snapshot service, which has what left the mirrors.
func (r *Registry) snapshot(ctx context.Context, s Service, a artifact.Artifact, l layout, yield func(Address, error) bool) {
	if s != Debian && s != DebianSecurity || r.date.IsZero() {
		return
	}
	bases := r.mirrors.bases[Snapshot]
	if len(bases) == 0 {
		var err error
		if bases, err = r.defaultOf(ctx, Snapshot); err != nil {
			yield(Address{}, err)
			return
		}
	}
	at := r.date.UTC().Format("20060102T150405Z")
	dated := make([]Base, len(bases))
	for i, b := range bases {
		dated[i] = Base{URL: b.join("archive/" + string(s) + "/" + at), From: b.From}
	}
	each(dated, a, l, yield)
}

// each yields the addresses of a below bases. It reports whether to go on.
func each(bases []Base, a artifact.Artifact, l layout, yield func(Address, error) bool) bool {
	for _, b := range bases {
		address, ok := l.below(b, a)
		if ok && !yield(address, nil) {
			return false
		}
	}
	return true
}

// distinct drops addresses that were yielded before.
func distinct(seq iter.Seq2[Address, error]) iter.Seq2[Address, error] {
	return func(yield func(Address, error) bool) {
		seen := map[string]bool{}
		for a, err := range seq {
			if err == nil && seen[a.URL] {
				continue
			}
			seen[a.URL] = true
			if !yield(a, err) {
				return
			}
		}
	}
}

// hintOf is the address that upstream's lock names, if it is one that can be asked. A file: address would be one of the
// machine that wrote the lock.
func hintOf(a artifact.Artifact) (Address, bool) {
	u, err := url.Parse(a.Hint)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return Address{}, false
	}
	u.User, u.Fragment, u.RawFragment = nil, "", ""
	return Address{URL: u.String(), From: "upstream's lock"}, true
}

func scopeOf(a artifact.Artifact) (string, bool) {
	scope, _, ok := strings.Cut(a.Name, "/")
	return scope, ok && a.Ecosystem == artifact.NPM && strings.HasPrefix(scope, "@")
}

// Bases lists what is set for a service, and its client's default if nothing is: what a person would want to see.
func (r *Registry) Bases(ctx context.Context, s Service) ([]Base, error) {
	bases := slices.Clone(r.mirrors.bases[s])
	if r.mirrors.only || s == Content {
		return bases, nil
	}
	if read := r.clients[s]; read != nil {
		c, err := read()
		if err != nil {
			return bases, err
		}
		if bases = append(bases, c.bases...); c.set {
			return bases, nil
		}
	}
	def, err := r.defaultOf(ctx, s)
	if err != nil && len(bases) > 0 && ctx.Err() == nil {
		return bases, nil
	}
	return append(bases, def...), err
}

// Authority is where an authority is, false if the operator does not say. No other setting and no client is asked: whose word counts is the
// operator's to say.
func (r *Registry) Authority(a Authority) (Base, bool) {
	base, ok := r.mirrors.authorities[a]
	return base, ok
}

// Authorization is the header to send with a request for u, "" if none is set for it.
func (r *Registry) Authorization(u *url.URL) (string, error) {
	if h := r.mirrors.credentials.find(u); h != "" {
		return h, nil
	}
	if r.mirrors.only {
		return "", nil
	}
	for _, s := range []Service{Go, NPM, PyPI, Maven, Cargo, Debian} {
		c, err := r.clients[s]()
		if err != nil {
			continue // told where that client's addresses are asked for
		}
		if h := c.credentials.find(u); h != "" {
			return h, nil
		}
	}
	machines, err := r.netrc()
	return netrcHeader(machines, u), err
}

// Proxy is the HTTP proxy to use for a request, nil for none: apt's for the archives that apt is set to, otherwise that of the
// environment (http_proxy, https_proxy, no_proxy). It fits http.Transport.
func (r *Registry) Proxy(req *http.Request) (*url.URL, error) {
	if !r.mirrors.only {
		// Faults of apt's files are told where its addresses are asked for.
		if apt, err := r.apt(); err == nil && apt.hosts[hostport(req.URL)] {
			if p, set := aptProxy(apt.proxies, req.URL); set {
				return p, nil
			}
		}
	}
	return r.proxy(req.URL)
}

// PlainRedirect says whether redirects from https to http are followed for a host. The operator lists such hosts.
func (r *Registry) PlainRedirect(host string) bool { return slices.Contains(r.mirrors.plain, host) }

func proxyOf(m Machine) func(*url.URL) (*url.URL, error) {
	get := func(name string) string {
		_, v := m.firstEnv(name, strings.ToLower(name))
		return v
	}
	return (&httpproxy.Config{
		HTTPProxy: get("HTTP_PROXY"), HTTPSProxy: get("HTTPS_PROXY"), NoProxy: get("NO_PROXY"),
	}).ProxyFunc()
}

func readNetrc(m Machine) ([]netrc, error) {
	name := m.env("NETRC")
	if name == "" {
		name = m.home(".netrc")
	}
	data, err := m.read(name)
	return parseNetrc(data), err
}
