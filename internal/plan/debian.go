package plan

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"headwater/internal/recipe"
)

// debian is the root of Debian packages that a build has what it needs in.
func debian(b *Build, notes *Notes) (recipe.Root, []Evidence) {
	installed := slices.Concat(b.Stage.Packages, b.Needs)
	release := b.Release
	if release == "" {
		release = parseBase(b.Stage.BaseImage()).release(installed, b.Stage.Evidence, notes)
	}
	return packageRoot(release, installed, notes)
}

// packageRoot is the root of a Debian release with packages, whatever distribution they were named for.
func packageRoot(release string, installed []Installed, notes *Notes) (recipe.Root, []Evidence) {
	r := recipe.Root{Suites: suitesOf(release), Packages: []string{}}
	var evidence []Evidence
	for _, p := range installed {
		for _, name := range debianNames(p, release, notes) {
			if !slices.Contains(r.Packages, name) {
				r.Packages = append(r.Packages, name)
				evidence = append(evidence, p.Evidence)
			}
		}
	}
	slices.Sort(r.Packages)
	return r, evidence
}

// debianNames translates the name of a package into those of the Debian packages that have the same. None means that it is of no
// use here; a name that nobody knows is an open question.
func debianNames(p Installed, release string, notes *Notes) []string {
	names := stableNames(p, release, notes)
	if release == "forky" || release == "sid" {
		for i, n := range names {
			if now, ok := testing()[n]; ok {
				notes.Remark(fmt.Sprintf("the package %s is called %s in Debian %s, as of what is known of it", n, now, release), p.Evidence)
				names[i] = now
			}
		}
	}
	return names
}

// testing are packages whose names have changed since trixie, by their names there: libraries, mostly, whose names have their version.
func testing() map[string]string {
	return map[string]string{
		"libxml2": "libxml2-16", "libxmlsec1t64": "libxmlsec1-10310", "libxmlsec1t64-openssl": "libxmlsec1-openssl10310", "libicu76": "libicu78", "libhdf5-310": "libhdf5-320",
		"libavcodec61": "libavcodec63", "libpython3.13": "libpython3.14", "libllvm19": "libllvm21", "postgresql-client-17": "postgresql-client-18",
	}
}

// stableNames are the names in trixie, or in the older release that is meant.
func stableNames(p Installed, release string, notes *Notes) []string {
	switch p.Manager {
	case "apk":
		names := fromAlpine(p, notes)
		if release == "bookworm" {
			for i, n := range names {
				names[i] = inBookworm(n)
			}
		}
		return names
	case "dnf":
		notes.Ask(Question{About: "roots", Ask: fmt.Sprintf("which Debian packages have what the package %s of dnf has?", p.Name), Looked: []Evidence{p.Evidence}})
		return nil
	}
	name, _, _ := strings.Cut(p.Name, ":") // an architecture
	if slices.Contains(useless(), name) || strings.Contains(name, "$") {
		return nil
	}
	if release == "bookworm" {
		return []string{inBookworm(name)} // which the upstream's own image has of there, but for what we say that packages need
	}
	if now, ok := renamed()[name]; ok && now != name {
		if now != "" {
			notes.Remark(fmt.Sprintf("the package %s is called %s in Debian trixie", name, now), p.Evidence)
			return []string{now}
		}
		notes.Ask(Question{About: "roots", Ask: fmt.Sprintf("Debian trixie has no package %s; what has what it is for?", name), Looked: []Evidence{p.Evidence}})
		return nil
	}
	for _, v := range versioned() {
		if m := v.pattern.FindStringSubmatch(name); m != nil && name != v.now {
			notes.Remark(fmt.Sprintf("the package %s is called %s in Debian trixie", name, v.now), p.Evidence)
			return []string{v.now}
		}
	}
	return []string{name}
}

// inBookworm is what trixie's name of a package is in bookworm, before libraries were renamed for 64-bit time.
func inBookworm(name string) string {
	if older, ok := bookworm()[name]; ok {
		return older
	}
	return strings.Replace(name, "t64", "", 1)
}

// bookworm are the packages whose names have their version, and whose version is another there, by their names in trixie.
func bookworm() map[string]string {
	return map[string]string{
		"libldap2": "libldap-2.5-0", "libldap-2.5": "libldap-2.5-0", // apt takes it for a pattern
		"libicu76": "libicu72", "libgirepository-2.0-0": "libgirepository-1.0-1", "libgirepository-2.0-dev": "libgirepository1.0-dev",
		"libhdf5-310": "libhdf5-103-1", "libavcodec61": "libavcodec59", "libgit2-1.9": "libgit2-1.5", "postgresql-client-17": "postgresql-client-15", "libpython3.13": "libpython3.11",
		"libllvm19": "libllvm15", "libboost-system1.83.0": "libboost-system1.74.0", "libzip5": "libzip4", "libavif16": "libavif15",
	}
}

// useless are packages that only serve installing others, or another architecture.
func useless() []string {
	return []string{"apt-transport-https", "software-properties-common", "lsb-release", "gnupg", "gnupg2", "gpg", "gpg-agent", "dirmngr", "debian-archive-keyring", "apt-utils", "sudo",
		"crossbuild-essential-arm64", "crossbuild-essential-armhf", "gcc-aarch64-linux-gnu", "gcc-arm-linux-gnueabi", "gcc-arm-linux-gnueabihf", "g++-aarch64-linux-gnu", "qemu-user-static", "binfmt-support"}
}

// renamed are the packages of older releases under the name that trixie has them by; "" where it has none.
func renamed() map[string]string {
	return map[string]string{
		"libxslt-dev": "libxslt1-dev", "libssl3": "libssl3t64", "libglib2.0-0": "libglib2.0-0t64", "libcurl4": "libcurl4t64", "libcurl3-gnutls": "libcurl3t64-gnutls",
		"libgtk-3-0": "libgtk-3-0t64", "libasound2": "libasound2t64", "libcups2": "libcups2t64", "libatk1.0-0": "libatk1.0-0t64", "libatk-bridge2.0-0": "libatk-bridge2.0-0t64",
		"libatspi2.0-0": "libatspi2.0-0t64", "libpng16-16": "libpng16-16t64", "libreadline8": "libreadline8t64", "libmagic1": "libmagic1t64", "libgnutls30": "libgnutls30t64",
		"libxmlsec1": "libxmlsec1t64", "libxmlsec1-openssl": "libxmlsec1t64-openssl", "libhogweed6": "libhogweed6t64", "libnettle8": "libnettle8t64", "libaio1": "libaio1t64",
		"netcat": "netcat-openbsd", "mysql-client": "default-mysql-client", "libmysqlclient-dev": "default-libmysqlclient-dev",
		"libpcre3": "", "libpcre3-dev": "", "libpcre3-tools": "", "python": "", "python-dev": "", "libncurses5": "libncurses6", "libncurses5-dev": "libncurses-dev", "libncursesw5": "libncursesw6", "libtinfo5": "libtinfo6",
		"libjpeg8-dev": "libjpeg-dev", "libtiff5-dev": "libtiff-dev", "libfreetype6-dev": "libfreetype-dev", "libldap2-dev": "libldap-dev", "libreadline-gplv2-dev": "libreadline-dev",
		"libpng12-dev": "libpng-dev", "libgconf-2-4": "", "libgdk-pixbuf2.0-0": "libgdk-pixbuf-2.0-0", "libgl1-mesa-glx": "libgl1", "ttf-freefont": "fonts-freefont-ttf",
		"dnsutils": "bind9-dnsutils", "mime-support": "media-types", "p7zip-full": "7zip", "neofetch": "", "exa": "eza",
	}
}

// newer says what a library is called in trixie whose package names carry its version.
type newer struct {
	pattern *regexp.Regexp
	now     string
}

func versioned() []newer {
	var out []newer
	names := map[string]string{
		`libicu[0-9]+`: "libicu76", `libssl1\.[01](\.[0-9])?`: "libssl3t64", `libffi[678]`: "libffi8", `libtiff[56]`: "libtiff6", `libwebp[67]`: "libwebp7",
		`libavif[0-9]+`: "libavif16", `libldap-2\.[45](-[02])?`: "libldap2", `libzip[45]`: "libzip5", `libmariadb[23]`: "libmariadb3", `libpython3\.[0-9]+`: "libpython3.13",
		`libboost-system1\.[0-9.]+`: "libboost-system1.83.0", `libjpeg[68]`: "libjpeg62-turbo", `libhdf5-10[0-9]`: "libhdf5-310", `libavcodec[0-9]+`: "libavcodec61",
		`libpq[1-5]`: "libpq5", `postgresql-client-1[0-9]`: "postgresql-client-17", `libxml2-16`: "libxml2", `libevent-2\.1-[67]`: "libevent-2.1-7t64", `libllvm[0-9]+`: "libllvm19",
		`libvips4[0-9]`: "libvips42t64", `libgit2-1\.[0-9]+`: "libgit2-1.9", `libprotobuf[0-9]+`: "libprotobuf32t64", `libxmlsec1-[0-9]`: "libxmlsec1t64",
	}
	for _, p := range slices.Sorted(maps.Keys(names)) {
		out = append(out, newer{regexp.MustCompile(`^` + p + `$`), names[p]})
	}
	return out
}

// fromAlpine are the Debian packages that have what one of Alpine's has.
func fromAlpine(p Installed, notes *Notes) []string {
	if names, ok := alpine()[p.Name]; ok {
		return strings.Fields(names)
	}
	if m := regexp.MustCompile(`^(py3-|font-)`).FindString(p.Name); m != "" {
		name := strings.TrimPrefix(p.Name, m)
		return []string{map[string]string{"py3-": "python3-", "font-": "fonts-"}[m] + name}
	}
	notes.Ask(Question{About: "roots", Ask: fmt.Sprintf("which Debian packages have what Alpine's package %s has?", p.Name), Looked: []Evidence{p.Evidence}})
	return nil
}

// alpine are Alpine's packages that images' making commonly names, with Debian's, split at spaces. Those with none are of no use
// in a root of Debian packages, or are in every one.
func alpine() map[string]string {
	return map[string]string{
		// building
		"build-base": "gcc g++ make libc6-dev", "alpine-sdk": "gcc g++ make libc6-dev git", "gcc": "gcc libc6-dev", "g++": "g++ libc6-dev", "make": "make", "cmake": "cmake", "musl-dev": "libc6-dev", "libc-dev": "libc6-dev",
		"linux-headers": "linux-libc-dev", "pkgconfig": "pkg-config", "pkgconf": "pkg-config", "autoconf": "autoconf", "automake": "automake", "libtool": "libtool", "bison": "bison", "flex": "flex", "patch": "patch",
		"clang": "clang", "clang-dev": "libclang-dev", "llvm": "llvm", "lld": "lld", "mold": "mold", "ninja": "ninja-build", "ninja-build": "ninja-build", "samurai": "ninja-build", "meson": "meson", "binutils": "binutils", "perl": "perl",
		"protobuf": "protobuf-compiler", "protoc": "protobuf-compiler", "protobuf-dev": "libprotobuf-dev protobuf-compiler", "go": "golang-go", "rust": "rustc", "cargo": "cargo", "nodejs": "nodejs", "npm": "npm", "yarn": "yarnpkg",
		"python3": "python3", "python3-dev": "python3-dev", "py3-pip": "python3-pip", "py3-setuptools": "python3-setuptools", "py3-wheel": "python3-wheel", "py3-virtualenv": "python3-venv", "cython": "cython3",
		"openjdk17": "openjdk-21-jdk-headless", "openjdk17-jre": "openjdk-21-jre-headless", "openjdk21": "openjdk-21-jdk-headless", "openjdk21-jre": "openjdk-21-jre-headless", "openjdk21-jre-headless": "openjdk-21-jre-headless", "maven": "maven",
		// libraries
		"libpq": "libpq5", "libpq-dev": "libpq-dev", "postgresql-dev": "libpq-dev", "postgresql-libs": "libpq5", "postgresql-client": "postgresql-client", "postgresql15-client": "postgresql-client", "postgresql16-client": "postgresql-client", "postgresql17-client": "postgresql-client",
		"mariadb-dev": "libmariadb-dev", "mariadb-connector-c": "libmariadb3", "mariadb-connector-c-dev": "libmariadb-dev", "mariadb-client": "mariadb-client", "mysql-client": "default-mysql-client", "sqlite": "sqlite3", "sqlite-libs": "libsqlite3-0", "sqlite-dev": "libsqlite3-dev",
		"libffi": "libffi8", "libffi-dev": "libffi-dev", "openssl": "openssl", "openssl-dev": "libssl-dev", "openssl-libs-static": "libssl-dev", "libssl3": "libssl3t64", "libcrypto3": "libssl3t64", "libressl-dev": "libssl-dev", "zlib": "zlib1g", "zlib-dev": "zlib1g-dev", "zlib-static": "zlib1g-dev",
		"libxml2": "libxml2", "libxml2-dev": "libxml2-dev", "libxslt": "libxslt1.1", "libxslt-dev": "libxslt1-dev", "xmlsec": "libxmlsec1t64-openssl", "xmlsec-dev": "libxmlsec1-dev", "icu": "libicu76", "icu-libs": "libicu76", "icu-dev": "libicu-dev", "icu-data-full": "",
		"jpeg": "libjpeg62-turbo", "jpeg-dev": "libjpeg62-turbo-dev", "libjpeg-turbo": "libjpeg62-turbo", "libjpeg-turbo-dev": "libjpeg62-turbo-dev", "libjpeg": "libjpeg62-turbo", "libpng": "libpng16-16t64", "libpng-dev": "libpng-dev", "libwebp": "libwebp7", "libwebp-dev": "libwebp-dev",
		"libavif": "libavif16", "libheif": "libheif1", "libheif-dev": "libheif-dev", "libjxl": "libjxl0.11", "libjxl-dev": "libjxl-dev", "libavif-dev": "libavif-dev", "tiff": "libtiff6", "tiff-dev": "libtiff-dev", "giflib": "libgif7", "giflib-dev": "libgif-dev", "freetype": "libfreetype6", "freetype-dev": "libfreetype-dev", "fontconfig": "fontconfig", "ttf-freefont": "fonts-freefont-ttf", "ttf-dejavu": "fonts-dejavu",
		"font-noto": "fonts-noto-core", "font-noto-cjk": "fonts-noto-cjk", "font-noto-emoji": "fonts-noto-color-emoji", "vips": "libvips42t64", "vips-dev": "libvips-dev", "imagemagick": "imagemagick", "ffmpeg": "ffmpeg", "cairo": "libcairo2", "cairo-dev": "libcairo2-dev", "pango": "libpango-1.0-0 libpangocairo-1.0-0", "pango-dev": "libpango1.0-dev",
		"pcre": "libpcre2-8-0", "pcre2": "libpcre2-8-0", "pcre2-dev": "libpcre2-dev", "readline": "libreadline8t64", "readline-dev": "libreadline-dev", "ncurses": "ncurses-bin", "ncurses-dev": "libncurses-dev", "expat": "libexpat1", "expat-dev": "libexpat1-dev", "bzip2": "bzip2", "bzip2-dev": "libbz2-dev",
		"xz": "xz-utils", "xz-dev": "liblzma-dev", "zstd": "zstd", "zstd-dev": "libzstd-dev", "lz4": "lz4", "curl-dev": "libcurl4-openssl-dev", "libcurl": "libcurl4t64", "openldap": "libldap2", "openldap-dev": "libldap-dev", "libldap": "libldap2", "cyrus-sasl": "libsasl2-2", "cyrus-sasl-dev": "libsasl2-dev",
		"krb5": "krb5-user", "krb5-libs": "libkrb5-3", "krb5-dev": "libkrb5-dev", "libmaxminddb": "libmaxminddb0", "libmaxminddb-dev": "libmaxminddb-dev", "libsodium": "libsodium23", "libsodium-dev": "libsodium-dev", "libusb": "libusb-1.0-0", "libusb-dev": "libusb-1.0-0-dev", "eudev-dev": "libudev-dev",
		"libgit2": "libgit2-1.9", "libgit2-dev": "libgit2-dev", "libmagic": "libmagic1t64", "file": "file", "libstdc++": "libstdc++6", "libgcc": "libgcc-s1", "libgomp": "libgomp1", "gmp": "libgmp10", "gmp-dev": "libgmp-dev", "libuuid": "libuuid1", "util-linux-dev": "uuid-dev", "libcap": "libcap2-bin", "yaml-dev": "libyaml-dev", "yaml": "libyaml-0-2",
		"gcompat": "", "libc6-compat": "", "musl-locales": "", "musl": "", "libc-utils": "",
		// programs
		"bash": "bash", "busybox": "", "busybox-extras": "", "coreutils": "coreutils", "findutils": "findutils", "grep": "grep", "sed": "sed", "gawk": "gawk", "tar": "tar", "gzip": "gzip", "unzip": "unzip", "zip": "zip", "p7zip": "7zip", "7zip": "7zip", "curl": "curl", "wget": "wget", "jq": "jq", "git": "git", "git-lfs": "git-lfs", "openssh": "openssh-client", "openssh-client": "openssh-client",
		"openssh-keygen": "openssh-client", "openssh-server": "openssh-server", "rsync": "rsync", "gettext": "gettext-base", "envsubst": "gettext-base", "procps": "procps", "shadow": "passwd", "su-exec": "", "gosu": "gosu", "setpriv": "", "runuser": "", "tini": "", "dumb-init": "", "catatonit": "", "s6-overlay": "s6", "supervisor": "supervisor", "nginx": "nginx", "iputils": "iputils-ping", "iputils-ping": "iputils-ping", "iproute2": "iproute2",
		"bind-tools": "bind9-dnsutils", "mosquitto-clients": "mosquitto-clients", "netcat-openbsd": "netcat-openbsd", "socat": "socat", "openssh-client-default": "openssh-client", "sshpass": "sshpass", "mpv": "mpv", "libwebpdemux": "libwebpdemux2", "libwebpmux": "libwebpmux3", "vips-tools": "libvips-tools", "libreoffice": "libreoffice", "aria2": "aria2", "libraw-tools": "libraw-bin", "redis": "redis-server", "chromium": "chromium", "ca-certificates": "ca-certificates", "ca-certificates-bundle": "ca-certificates", "tzdata": "tzdata", "mailcap": "media-types", "logrotate": "logrotate", "tree": "tree", "nano": "", "vim": "", "less": "less", "util-linux": "util-linux", "gnupg": "gnupg", "dcron": "cron", "linux-pam": "libpam-modules",
		"upx": "upx-ucl", "musl-utils": "", "apk-tools": "", "dpkg": "", "alpine-conf": "", "tzdata-utils": "", "sudo": "", "libcap-utils": "libcap2-bin", "libcap-setcap": "libcap2-bin", "brotli": "brotli", "brotli-dev": "libbrotli-dev", "age": "age", "sops": "",
		"iptables": "iptables", "ip6tables": "iptables", "iptables-legacy": "iptables", "nftables": "nftables", "kmod": "kmod", "wireguard-tools": "wireguard-tools", "wireguard-go": "wireguard-go", "squid": "squid",
		"graphicsmagick": "graphicsmagick", "ghostscript": "ghostscript", "poppler-utils": "poppler-utils", "exiftool": "libimage-exiftool-perl", "inotify-tools": "inotify-tools", "yt-dlp": "yt-dlp",
	}
}
