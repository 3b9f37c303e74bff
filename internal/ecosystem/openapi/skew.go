package openapi

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"headwater/internal/artifact"
	"headwater/internal/dependency"
	"headwater/internal/plan"
	"headwater/internal/recipe"
	"headwater/internal/source"
)

// Review implements plan.Reviewer: it tells of clients that are made of another document than the tree's. A generated client that
// is committed names the document that it is made of. A published one is known as this service's by what the tree's scripts make
// under its name. What no component sees, and what is in step, is not told.
func (Recogniser) Review(t *plan.Tree, r *recipe.Recipe, notes *plan.Notes) {
	all := clients(t)
	committed := slices.DeleteFunc(slices.Clone(all), func(c client) bool { return !sees(r, c.evidence.File) })
	published := publishedClients(t, r)
	if len(committed)+len(published) == 0 {
		return
	}
	own := ownDocuments(t, all)
	for _, c := range committed {
		if s, ok := c.skew(t, own); ok {
			notes.Remark(fmt.Sprintf("the generated client %s is made of %s %s, but %s", c.dir, c.title, c.version, s.text), append([]plan.Evidence{c.evidence}, s.evidence...)...)
		}
	}
	for _, p := range published {
		p.review(own, notes)
	}
}

// ownDocuments are those of a tree that belong to no generated client.
func ownDocuments(t *plan.Tree, generated []client) []Document {
	return slices.DeleteFunc(documents(t), func(d Document) bool {
		return slices.ContainsFunc(generated, func(c client) bool { return strings.HasPrefix(d.File, c.dir+"/") })
	})
}

// sees tells whether a component sees a file of the tree, and nothing else in its place.
func sees(r *recipe.Recipe, file string) bool {
	for _, c := range r.Components {
		covered := slices.ContainsFunc(c.Uses, func(u recipe.Use) bool { return file == u.At || strings.HasPrefix(file, path.Clean(u.At)+"/") })
		if match, err := source.Matcher(c.Src); err == nil && match(file) && !covered {
			return true
		}
	}
	return false
}

// difference is what a client and the tree's document differ in.
type difference struct {
	text     string
	evidence []plan.Evidence
}

// skew compares a client with the tree's documents of the same title. There is none where one of them is what the client was made of.
func (c client) skew(t *plan.Tree, own []Document) (difference, bool) {
	var same, other []Document
	for _, d := range own {
		switch {
		case d.Title != c.title:
		case d.Version == c.version:
			same = append(same, d)
		case plan.Aside(d.File) == "":
			other = append(other, d)
		}
	}
	if len(same) > 0 {
		return c.gone(t, same)
	}
	if len(other) == 0 {
		return difference{}, false
	}
	var s difference
	var texts []string
	for _, d := range other {
		texts = append(texts, fmt.Sprintf("%s is of version %s", d.File, d.Version))
		s.evidence = append(s.evidence, d.evidence())
	}
	s.text = strings.Join(texts, " and ") + ": what they differ in may fail at run time"
	return s, true
}

// gone lists what a client's own copy of a document has and none of the tree's of that version.
func (c client) gone(t *plan.Tree, same []Document) (difference, bool) {
	calls, err := operations(c.document, c.copy)
	if err != nil {
		return difference{}, false
	}
	for _, d := range same {
		data, err := t.Read(d.File)
		if err != nil {
			return difference{}, false
		}
		offered, err := operations(d.File, data)
		if err != nil || len(offered) == 0 {
			return difference{}, false
		}
		calls = slices.DeleteFunc(calls, func(o string) bool { return slices.Contains(offered, o) })
	}
	if len(calls) == 0 {
		return difference{}, false
	}
	more := ""
	if len(calls) > 3 {
		more = fmt.Sprintf(" and %d more", len(calls)-3)
	}
	s := difference{text: fmt.Sprintf("%s of that version does not have %s%s", same[0].File, strings.Join(calls[:min(len(calls), 3)], ", "), more)}
	s.evidence = append(s.evidence, plan.Evidence{File: c.document}, same[0].evidence())
	return s, true
}

// publishedClient is a client of this service that components take from a registry.
type publishedClient struct {
	dependency.Dependency
	maker maker
}

// publishedClients finds them among what the upstream's lock files name.
func publishedClients(t *plan.Tree, r *recipe.Recipe) []publishedClient {
	known := makers(t)
	if len(known) == 0 {
		return nil
	}
	list, _ := dependency.Locked(t, r) // what cannot be read is told where it is locked
	var out []publishedClient
	for _, d := range list {
		i := slices.IndexFunc(known, func(m maker) bool { return m.makes(d.Ecosystem, d.Name) })
		if i < 0 || d.Local {
			continue
		}
		d.Components = slices.DeleteFunc(slices.Clone(d.Components), func(name string) bool { return covered(r.Components[name], d.Ecosystem, d.Name) })
		if len(d.Components) > 0 {
			out = append(out, publishedClient{d, known[i]})
		}
	}
	return out
}

// covered tells whether another component's output stands where a component would have a package.
func covered(c recipe.Component, ecosystem artifact.Ecosystem, name string) bool {
	return ecosystem == artifact.NPM && slices.ContainsFunc(c.Uses, func(u recipe.Use) bool {
		return strings.HasSuffix("/"+path.Clean(u.At), "/node_modules/"+name)
	})
}

// review tells of a published client that has another version than the tree's document, where versions of both are of one kind, or
// where the upstream does not take the published one either.
func (p publishedClient) review(own []Document, notes *plan.Notes) {
	d, ok := p.maker.document(own)
	if !ok || isVersion(p.Version, d.Version) {
		return
	}
	how := "upstream makes the client of it"
	switch {
	case p.maker.instead != (plan.Evidence{}):
		how = "upstream puts a client made of it in that place"
	case !p.maker.follows:
		return
	}
	evidence := append([]plan.Evidence{p.Evidence, d.evidence()}, p.maker.evidence...)
	if e := p.maker.instead; e != (plan.Evidence{}) && !slices.Contains(evidence, e) {
		evidence = append(evidence, e)
	}
	notes.Remark(fmt.Sprintf("%s takes the published client %s %s, but %s is of version %s, and %s: what they differ in may fail at run time",
		strings.Join(p.Components, " and "), p.Name, p.Version, d.File, d.Version, how), evidence...)
}

// document is the one that a maker makes a client of: what it names, else the tree's only one, where the name is not known.
func (m maker) document(own []Document) (Document, bool) {
	for _, word := range m.schema {
		name := find(func(name string) bool {
			return slices.ContainsFunc(own, func(d Document) bool { return d.File == name })
		}, m.dir, word)
		if i := slices.IndexFunc(own, func(d Document) bool { return d.File == name }); i >= 0 {
			return own[i], true
		}
	}
	if len(own) == 1 && len(m.schema) == 1 && strings.Contains(m.schema[0], "$") {
		return own[0], true
	}
	return Document{}, false
}

// isVersion tells whether a package's version is a document's, as registries spell it: "v1.2.0", "1.2.0-1700000000".
func isVersion(pkg, doc string) bool {
	pkg, doc = strings.ToLower(strings.TrimPrefix(pkg, "v")), strings.ToLower(strings.TrimPrefix(doc, "v"))
	rest, ok := strings.CutPrefix(pkg, doc)
	return ok && (rest == "" || strings.ContainsRune("-+.", rune(rest[0])))
}
