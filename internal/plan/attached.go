package plan

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"headwater/internal/service"
)

// attached is a service beside the image, and how the compose file sets it up, as written there.
type attached struct {
	facts                    service.Facts
	host                     string // its name in the compose file
	user, password, database string
	passwordKey              string            // the variable that it is told its password by
	env                      map[string]string // of the compose file's variables
}

// is tells whether two values of the compose file are the same: the same variable, or what it stands for.
func (d attached) is(raw, own string) bool {
	value := interpolate(own, known(d.env))
	return same(raw, own) || value != "" && interpolate(raw, known(d.env)) == value
}

// passwordArgument is how servers are told their password on the command line.
var passwordArgument = regexp.MustCompile(`^--?requirepass=?`)

func attachedOf(f *composeFile, name string, kind service.Kind) attached {
	d := attached{facts: kind.Facts(), host: name, env: f.env}
	root := ""
	for _, entry := range f.Services[name].Environment {
		k, v, _ := strings.Cut(entry, "=")
		switch {
		case strings.HasSuffix(k, "_ROOT_PASSWORD"):
			root = v
		case strings.HasSuffix(k, "_USER") || strings.HasSuffix(k, "_USERNAME"):
			d.user = v
		case strings.HasSuffix(k, "_PASSWORD"):
			d.password, d.passwordKey = v, k
		case strings.HasSuffix(k, "_DB") || strings.HasSuffix(k, "_DATABASE"):
			d.database = v
		}
	}
	switch {
	case d.user == "" && root != "":
		d.user, d.password = "root", root
	case d.user == "" && d.facts.Name == "postgresql": // as its image has it
		d.user = "postgres"
	}
	command := f.Services[name].Command
	for i, word := range command {
		option := passwordArgument.FindString(word)
		switch {
		case option == "":
		case option != word:
			d.password = word[len(option):]
		case i+1 < len(command):
			d.password = command[i+1]
		}
	}
	return d
}

// leads finds the service that a variable's value leads to, and the value with what the launcher puts in; ok is false for any other value.
func leads(found []attached, key, raw string) (to, text string, ok bool) {
	for _, d := range found {
		if text, ok := d.template(key, raw); ok {
			return ComponentName(d.host), text, true
		}
	}
	return "", "", false
}

// hasDatabase tells whether such a service has users and databases with names.
func (d attached) hasDatabase() bool { return d.facts.Has(service.Database) }

// template is a value that leads to the service, with what the launcher puts in; ok is false for any other value.
func (d attached) template(key, raw string) (text string, ok bool) {
	value := interpolate(raw, known(nil))
	if text, ok := d.address(value); ok {
		return text, true
	}
	if d.hasDatabase() && strings.Contains(raw, "host="+d.host) {
		text := regexp.MustCompile(`\b(host|port|user|password|dbname)=\S*`).ReplaceAllStringFunc(raw, func(s string) string {
			k, _, _ := strings.Cut(s, "=")
			return k + "=${" + map[string]string{"dbname": "database"}[k] + strings.TrimPrefix(k, "dbname") + "}"
		})
		if !strings.Contains(text, "port=") {
			text += " port=${port}"
		}
		return text, true
	}
	upper, port := strings.ToUpper(key), fmt.Sprint(d.facts.Port)
	switch {
	case value == d.host && (!kindWord(d.host) || placeName.MatchString(upper)):
		return "${host}", true
	case value == d.host+":"+port:
		return "${host}:${port}", true
	case value == port && strings.Contains(upper, "PORT"):
		return "${port}", true
	case strings.Contains(upper, "PASS") && (d.is(raw, d.password) || raw == "" && key == d.passwordKey || d.facts.Open && d.named(upper)):
		return "${password}", true
	}
	if !d.hasDatabase() {
		return "", false
	}
	switch {
	case d.is(raw, d.user) && strings.Contains(upper, "USER"):
		return "${user}", true
	case (d.is(raw, d.database) || d.database == "" && d.is(raw, d.user)) && (strings.Contains(upper, "DB") || strings.Contains(upper, "NAME") || strings.Contains(upper, "DATABASE")) && !strings.Contains(upper, "USER"):
		return "${database}", true
	}
	return "", false
}

// named tells whether a variable's name, in capitals, has the service's name or its kind's in it.
func (d attached) named(key string) bool {
	return strings.Contains(key, strings.ToUpper(d.host)) || strings.Contains(key, strings.ToUpper(d.facts.Name))
}

// settle takes the password of a service that may be without one out of its addresses, where something else is told the host and sends none.
func (d attached) settle(env map[string]string) {
	const password, host = "${password}", "${host}"
	bare, alone := false, false
	for _, v := range env {
		bare = bare || strings.Contains(v, host) && !strings.Contains(v, password)
		alone = alone || v == password
	}
	if !d.facts.Open || !bare || alone {
		return
	}
	for k, v := range env {
		env[k] = strings.ReplaceAll(v, ":"+password+"@", "")
	}
}

// placeName is a variable's name that says that its value is where something is.
var placeName = regexp.MustCompile(`HOST|SERVER|ADDR|ENDPOINT|URL|URI|NODE`)

// kindWord tells whether a word may as well say what kind something is as where it is: DB_TYPE=postgres.
func kindWord(word string) bool {
	return kindOfService(word) != "" || slices.Contains(service.Names(), word) || word == "pgsql"
}

// address is a value that has the host within: an address as URLs have it, or as Go's driver for MySQL does.
func (d attached) address(value string) (text string, ok bool) {
	host := regexp.QuoteMeta(d.host)
	if m := regexp.MustCompile(`^([a-zA-Z0-9+]+://)(?:.*@)?` + host + `(?::[0-9]+)?(?:/([^?]*))?(\?.*)?$`).FindStringSubmatch(value); m != nil {
		if d.hasDatabase() {
			return m[1] + "${user}:${password}@${host}:${port}/${database}" + m[3], true
		}
		text := m[1] + ":${password}@${host}:${port}"
		if m[2] != "" {
			text += "/" + m[2] // the database's number
		}
		return text + m[3], true
	}
	if m := regexp.MustCompile(`^[^@/]*@tcp\(` + host + `(?::[0-9]+)?\)/([^?]*)(\?.*)?$`).FindStringSubmatch(value); m != nil && d.hasDatabase() {
		return "${user}:${password}@tcp(${host}:${port})/${database}" + m[2], true
	}
	return "", false
}
