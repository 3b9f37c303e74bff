package python

import (
	"slices"
)

// native is what a package's sdist needs of the distribution, which no metadata says. Names are Debian's.
type native struct {
	build  []string // to compile it, beyond a C compiler, its headers and the interpreter's
	run    []string // what it is linked with or looks for when it runs
	rust   bool     // has a part in Rust
	cxx    bool     // has a part in C++
	embeds bool     // is linked with the interpreter, which then is needed as a library
	sdist  bool     // publishes no wheel that fits a server, so it is compiled in any case
}

// nativeTable says it for the packages that services use. It is asked only where an sdist is built; a wheel brings its own
// libraries. Where a package is not in it, a failed build says what is missing.
func nativeTable() map[string]native {
	krb5 := native{sdist: true, build: []string{"krb5-multidev", "libkrb5-dev"}, run: []string{"libgssapi-krb5-2", "libkrb5-3"}}
	mysql := native{sdist: true, build: []string{"default-libmysqlclient-dev", "pkgconf"}, run: []string{"libmariadb3"}}
	postgres := native{build: []string{"libpq-dev"}, run: []string{"libpq5"}}
	xml := native{build: []string{"libxml2-dev", "libxslt1-dev", "zlib1g-dev"}, run: []string{"libxml2", "libxslt1.1", "zlib1g"}}
	ffi := native{build: []string{"libffi-dev", "pkgconf"}, run: []string{"libffi8"}}
	ssl := []string{"libssl-dev", "pkgconf"}
	return map[string]native{
		"argon2-cffi-bindings": {build: []string{"libffi-dev"}, run: []string{"libffi8"}},
		"av":                   {build: []string{"libavformat-dev", "libavcodec-dev", "libavdevice-dev", "libavutil-dev", "libavfilter-dev", "libswscale-dev", "libswresample-dev", "pkgconf"}},
		"bcrypt":               {rust: true},
		"blosc2":               {cxx: true, build: []string{"cmake", "ninja-build"}},
		"brotli":               {cxx: true},
		"cffi":                 ffi,
		"cryptography":         {rust: true, build: append([]string{"libffi-dev"}, ssl...), run: []string{"libssl3t64"}},
		"dbus-python":          {sdist: true, build: []string{"libdbus-1-dev", "libglib2.0-dev", "pkgconf"}, run: []string{"libdbus-1-3", "libglib2.0-0t64"}},
		"gdal":                 {sdist: true, cxx: true, build: []string{"libgdal-dev"}, run: []string{"gdal-bin"}},
		"greenlet":             {cxx: true},
		"grpcio":               {cxx: true, build: []string{"zlib1g-dev"}},
		"gssapi":               krb5,
		"h5py":                 {build: []string{"libhdf5-dev", "pkgconf"}},
		"hiredis":              {},
		"httptools":            {},
		"jiter":                {rust: true},
		"krb5":                 krb5,
		"lxml":                 xml,
		"mysqlclient":          mysql,
		"netifaces":            {sdist: true},
		"orjson":               {rust: true},
		"pillow":               {build: []string{"libjpeg-dev", "zlib1g-dev", "libfreetype-dev", "libtiff-dev", "libwebp-dev", "libopenjp2-7-dev", "liblcms2-dev", "pkgconf"}, run: []string{"libjpeg62-turbo", "zlib1g", "libfreetype6", "libtiff6", "libwebp7", "libwebpmux3", "libwebpdemux2", "libopenjp2-7", "liblcms2-2"}},
		"psycopg-c":            sourceOnly(postgres),
		"psycopg2":             sourceOnly(postgres),
		"psycopg2-binary":      postgres,
		"pycairo":              {sdist: true, build: []string{"libcairo2-dev", "pkgconf"}, run: []string{"libcairo2"}},
		"pycryptodome":         {},
		"pycryptodomex":        {},
		"pycurl":               {build: []string{"libcurl4-openssl-dev", "libssl-dev"}, run: []string{"libcurl4t64"}},
		"pydantic-core":        {rust: true},
		"pygobject":            {sdist: true, build: []string{"libgirepository-2.0-dev", "libcairo2-dev", "pkgconf"}, run: []string{"libgirepository-2.0-0"}},
		"pyicu":                {sdist: true, cxx: true, build: []string{"libicu-dev", "pkgconf"}, run: []string{"libicu76"}},
		"pymssql":              {build: []string{"freetds-dev"}, run: []string{"libsybdb5", "libct4"}},
		"pynacl":               {build: []string{"libffi-dev", "libsodium-dev", "make"}},
		"pyodbc":               {cxx: true, build: []string{"unixodbc-dev"}, run: []string{"libodbc2"}},
		"pysqlite3":            {build: []string{"libsqlite3-dev"}, run: []string{"libsqlite3-0"}},
		"python-kadmin-rs":     {sdist: true, rust: true, build: []string{"krb5-multidev", "libkrb5-dev", "heimdal-multidev", "libclang-dev", "pkgconf"}, run: []string{"libkrb5-3", "libkdb5-10t64", "libkadm5clnt-mit12", "libkadm5srv-mit12", "libkadm5clnt7t64-heimdal", "libkadm5srv8t64-heimdal"}},
		"python-ldap":          {sdist: true, build: []string{"libldap-dev", "libsasl2-dev"}, run: []string{"libldap2", "libsasl2-2"}},
		"python-magic":         {run: []string{"libmagic1t64"}},
		"python-snappy":        {cxx: true, build: []string{"libsnappy-dev"}, run: []string{"libsnappy1v5"}},
		"pyyaml":               {build: []string{"libyaml-dev"}, run: []string{"libyaml-0-2"}},
		"rpds-py":              {rust: true},
		"ruamel-yaml-clib":     {},
		"tokenizers":           {rust: true, cxx: true},
		"uvloop":               {build: []string{"autoconf", "automake", "libtool", "make"}},
		"uwsgi":                {sdist: true, embeds: true, build: []string{"libcrypt-dev"}, run: []string{"libcrypt1"}},
		"watchfiles":           {rust: true},
		"xmlsec":               {build: []string{"libxml2-dev", "libxmlsec1-dev", "libxmlsec1-openssl", "libltdl-dev", "libssl-dev", "pkgconf"}, run: []string{"libxmlsec1-openssl", "libxml2", "libltdl7"}},
		"zstandard":            {build: []string{"libzstd-dev"}, run: []string{"libzstd1"}},
	}
}

func sourceOnly(n native) native {
	n.sdist = true
	return n
}

// SystemPackages are Debian's packages that the sdists of some packages need: to build and to run. Pure sdists need the compiler
// for nothing, but nothing says that they are pure.
func SystemPackages(sdists []string) (build, run []string) {
	table := nativeTable()
	for _, name := range sdists {
		n := table[NormalizeName(name)]
		build, run = append(build, n.build...), append(run, n.run...)
		if n.rust {
			build = append(build, "cargo")
		}
		if n.cxx {
			build = append(build, "g++")
		}
	}
	if len(sdists) > 0 {
		build = append(build, "gcc", "libc6-dev")
	}
	return sorted(build), sorted(run)
}

func sorted(list []string) []string {
	slices.Sort(list)
	return slices.Compact(list)
}
