package plan

import (
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strings"
)

// system knows the programs that every image's making calls: package managers, file tools, shells, make.
type system struct{}

// Recognise is Recogniser's.
func (system) Recognise(c Command, s *Stage) (bool, error) {
	switch name := path.Base(c.Args[0]); name {
	case "apt-get", "apt", "apk", "dnf", "microdnf", "yum":
		if slices.Contains(c.Args, "--print-arch") {
			c.Print("x86_64\n")
		}
		install(c, s, name)
	case "cp", "mv", "install":
		copyFiles(c, s, name)
	case "ln":
		link(c, s)
	case "rm", "rmdir":
		for _, a := range operands(c, "") {
			s.Files.Remove(Abs(c.Dir, a))
		}
	case "mkdir", "touch":
		for _, a := range operands(c, "m") {
			if abs := Abs(c.Dir, a); !s.Files.Exists(abs) {
				s.Files.Place(abs, Origin{Kind: Empty}, c.Evidence)
			}
		}
	case "sh", "bash", "ash", "dash":
		return true, runShell(c, s)
	case "env", "sudo", "time", "exec", "nice", "command", "setpriv", "with-contenv", "su-exec", "gosu", "s6-setuidgid":
		return true, runRest(c, s)
	case "make", "gmake":
		return true, runMake(c, s)
	case "task", "go-task":
		return runTask(c, s)
	case "curl", "wget":
		download(c, s)
	case "cat":
		concatenate(c, s)
	case "tee":
		tee(c, s)
	case "dirname", "basename":
		if len(c.Args) > 1 { // scripts find their own folder with it
			of := map[string]func(string) string{"dirname": path.Dir, "basename": path.Base}[name]
			c.Print(strings.TrimSuffix(of(c.Args[1]), strings.Join(c.Args[2:], "")) + "\n")
		}
	case "git":
		runGit(c, s)
	case "adduser", "useradd", "addgroup", "groupadd":
		addAccount(c, s, name)
	case "chown", "chgrp":
		chown(c, s)
	case "chmod":
		for _, a := range operands(c, "") {
			if executable(c.Args) {
				s.makeExecutable(Abs(c.Dir, a), slices.ContainsFunc(c.Args, func(a string) bool { return a == "-R" || a == "--recursive" }), c.Evidence)
			}
		}
	case "sed":
		edited(c, s)
	case "uname", "arch", "dpkg":
		platformOf(c, name, s)
	case "usermod", "groupmod", "truncate", "ldconfig", "update-ca-certificates",
		"dpkg-reconfigure", "locale-gen", "true", "false", "ls", "echo", "which", "id", "find", "grep", "tr", "cut", "date",
		"setcap", "strip", "upx", "sleep", "head", "tail", "xargs", "sort", "mktemp", "file", "du", "df", "update-alternatives",
		"yes", "printf", "nproc", "awk", "apt-key", "apt-mark", "apt-cache", "gpg", "gpgconf", "sha256sum", "ldd", "tar", "unzip", "gunzip", "xz", "gzip":
		// nothing that decides what stands where; what they bring from the network shows by what is missing
	default:
		if len(c.Args) == 2 && (c.Args[1] == "--version" || c.Args[1] == "-V" || c.Args[1] == "--help") {
			return true, nil // it is asked whether it is there
		}
		return s.runScript(c)
	}
	return true, nil
}

// makeExecutable notes that a file can be started from now on, or all scripts of a folder.
func (s *Stage) makeExecutable(at string, below bool, e Evidence) {
	o, _ := s.Files.Lookup(at)
	switch {
	case o.Kind == Network && o.Path == "", o.Kind == Empty && o.Text != "", o.Kind == Source && s.Tree.Has(o.Path) && !s.Tree.executable(o.Path):
		o.Exec = true
		s.Files.Place(at, o, e)
	case below && o.Kind == Source && s.Tree.HasDir(o.Path):
		for _, f := range s.Tree.Below(o.Path) {
			inside := path.Join(at, relativeTo(o.Path, f))
			here, _ := s.Files.Lookup(inside)
			if here.Kind != Source || here.Path != f || s.Tree.executable(f) {
				continue
			}
			if data, err := s.Tree.Read(f); err == nil && strings.HasPrefix(string(data), "#!") {
				s.makeExecutable(inside, false, e)
			}
		}
	}
}

// edited notes that sed changes files of the source in place, which nothing here does.
func edited(c Command, s *Stage) {
	if !slices.ContainsFunc(c.Args[1:], func(a string) bool { return strings.HasPrefix(a, "-i") || strings.HasPrefix(a, "--in-place") }) {
		return
	}
	for _, a := range c.Args[2:] {
		if name, ok := s.SourceOf(Abs(c.Dir, a)); ok && s.Tree.Has(name) {
			s.Notes.Remark(fmt.Sprintf("the upstream's image edits %s, which is not done here: %s", name, short(c.Text())), c.Evidence)
		}
	}
}

// platformOf answers which machine it is, and notes the package files that dpkg installs.
func platformOf(c Command, name string, s *Stage) {
	asked := strings.Join(c.Args[1:], " ")
	switch {
	case name == "arch", name == "uname" && (asked == "-m" || asked == "-p" || asked == "-i" || asked == "--machine"):
		c.Print("x86_64\n")
	case name == "uname" && (asked == "" || asked == "-s"):
		c.Print("Linux\n")
	case name == "dpkg" && asked == "--print-architecture":
		c.Print("amd64\n")
	case name == "dpkg":
		for _, a := range c.Args[1:] {
			if strings.HasSuffix(a, ".deb") {
				s.Notes.Remark("the upstream's image installs the package file "+a, c.Evidence)
			}
		}
	}
}

// operands are the arguments that are no options; valued are the letters of options that take a value.
func operands(c Command, valued string) []string {
	var out []string
	for i := 1; i < len(c.Args); i++ {
		a := c.Args[i]
		switch {
		case a == "--":
			return append(out, c.Args[i+1:]...)
		case strings.HasPrefix(a, "--"):
		case len(a) > 1 && a[0] == '-':
			if strings.Contains(valued, a[len(a)-1:]) {
				i++
			}
		default:
			out = append(out, a)
		}
	}
	return out
}

// executable tells whether chmod's arguments say that something can be executed: "+x", "a=rx", "0755".
func executable(args []string) bool {
	return slices.ContainsFunc(args[1:], func(a string) bool {
		if a != "" && strings.Trim(a, "01234567") == "" {
			return strings.ContainsAny(a[len(a)-1:], "1357")
		}
		_, mode, set := strings.Cut(a, "+")
		if !set {
			_, mode, set = strings.Cut(a, "=")
		}
		return set && strings.Contains(mode, "x") && strings.Trim(mode, "rwxXst") == ""
	})
}

func install(c Command, s *Stage, manager string) {
	words := operands(c, "to")
	if i := slices.IndexFunc(words, func(w string) bool { return w == "del" || w == "purge" || w == "remove" }); i >= 0 {
		uninstall(s, words[i+1:])
		return
	}
	group := ""
	for i, a := range c.Args {
		if (a == "--virtual" || a == "-t") && manager == "apk" && i+1 < len(c.Args) {
			group = c.Args[i+1]
		} else if v, ok := strings.CutPrefix(a, "--virtual="); ok {
			group = v
		}
	}
	at := slices.IndexFunc(words, func(w string) bool { return w == "install" || w == "add" })
	if at < 0 {
		return
	}
	manager = map[string]string{"apt-get": "apt", "microdnf": "dnf", "yum": "dnf"}[manager] + map[string]string{"apt": "apt", "apk": "apk", "dnf": "dnf"}[manager]
	for _, w := range words[at+1:] {
		if w == group || strings.HasPrefix(w, ".") && manager == "apk" { // a virtual package's name
			continue
		}
		if strings.ContainsAny(w, "/") || strings.HasSuffix(w, ".deb") {
			s.Notes.Remark("the upstream's image installs the package file "+w, c.Evidence)
			continue
		}
		name := strings.FieldsFunc(w, func(r rune) bool { return strings.ContainsRune("=<>~@", r) })
		if len(name) > 0 && slices.Contains([]string{"nodejs", "npm", "yarn", "yarnpkg"}, name[0]) && parseBase(s.BaseImage()).family == "node" {
			continue // the image's own is found first
		}
		if len(name) > 0 && manager == "apt" {
			if url := s.thirdParty(name[0]); url != "" {
				s.Notes.Ask(Question{About: "roots", Ask: fmt.Sprintf("the package %s seems to come from %s, not from Debian; what stands in for it?", name[0], url), Looked: []Evidence{c.Evidence}})
				continue
			}
		}
		if len(name) > 0 {
			s.Install(manager, c.Evidence, name[0])
			if last := len(s.Packages) - 1; s.Packages[last].Name == name[0] {
				s.Packages[last].Group = group
			}
		}
	}
}

// thirdParty is the address that a stage downloaded from by which a package seems to be another repository's, that of who makes it;
// "" if none is.
func (s *Stage) thirdParty(name string) string {
	word, _, _ := strings.Cut(name, "-")
	if len(word) >= 8 {
		word = word[:len(word)-1]
	}
	i := slices.IndexFunc(s.downloads, func(url string) bool { return len(word) >= 6 && strings.Contains(url, word) })
	if i < 0 {
		return ""
	}
	return s.downloads[i]
}

// Downloads are the addresses that a stage downloaded from so far, in order.
func (s *Stage) Downloads() []string { return slices.Clone(s.downloads) }

// uninstall takes packages away again, by name or by that of the group that they were installed as.
func uninstall(s *Stage, names []string) {
	s.Packages = slices.DeleteFunc(slices.Clone(s.Packages), func(p Installed) bool {
		return slices.Contains(names, p.Name) || p.Group != "" && slices.Contains(names, p.Group)
	})
}

func copyFiles(c Command, s *Stage, name string) {
	list := operands(c, "tmog")
	if name == "install" && slices.Contains(c.Args, "-d") {
		return
	}
	if len(list) < 2 {
		return
	}
	dst := Abs(c.Dir, list[len(list)-1])
	into := len(list) > 2 || strings.HasSuffix(list[len(list)-1], "/") || s.isFolder(dst)
	for _, src := range list[:len(list)-1] {
		folder, all := strings.CutSuffix(src, "/*") // what a shell does not find in the tree, it leaves as it is written
		abs, contents := Abs(c.Dir, folder), all || strings.HasSuffix(src, "/.")
		at := dst
		if into && !contents {
			at = path.Join(dst, path.Base(abs))
		}
		s.settle(abs, c.Evidence)
		o, _ := s.Lookup(abs)
		if !s.Files.CopyFrom(s.Files.Clone(), abs, at, c.Evidence) && o.Kind != Unknown {
			s.Files.Place(at, o, c.Evidence)
		}
		if name == "mv" {
			s.Files.Remove(abs)
		}
	}
}

func link(c Command, s *Stage) {
	list := operands(c, "t")
	if len(list) == 0 {
		return
	}
	target, at := list[0], path.Base(list[0])
	if len(list) > 1 {
		at = list[len(list)-1]
	}
	abs := Abs(c.Dir, at)
	if strings.HasSuffix(at, "/") || s.isFolder(abs) {
		abs = path.Join(abs, path.Base(target))
	}
	s.Files.Place(abs, Origin{Kind: Link, Path: target}, c.Evidence)
}

// runShell follows "sh -c TEXT" and "sh FILE ARGS".
func runShell(c Command, s *Stage) error {
	for i, a := range c.Args[1:] {
		switch {
		case strings.HasPrefix(a, "-") && strings.HasSuffix(a, "c") && i+2 < len(c.Args):
			return s.Run(c.Args[i+2], c.Dir, c.Env, c.Evidence)
		case strings.HasPrefix(a, "-"):
		default:
			c.Args = c.Args[i+1:]
			_, err := s.runScript(c)
			return err
		}
	}
	return nil
}

// installer finds addresses of scripts that install a tool whose calls are followed, which builds here bring themselves. That it is downloaded
// is told.
var installer = regexp.MustCompile(`\b(?:uv|poetry|rustup|pnpm|nvm)\b`)

// runScript follows a script of the source that is called by its path.
func (s *Stage) runScript(c Command) (bool, error) {
	if !strings.Contains(c.Args[0], "/") && path.Ext(c.Args[0]) != ".sh" {
		return false, nil
	}
	data, name, err := s.ReadFile(Abs(c.Dir, c.Args[0]))
	if text, ok := s.Written(Abs(c.Dir, c.Args[0])); ok {
		_, e := s.Files.Lookup(Abs(c.Dir, c.Args[0]))
		return true, s.run(text, Abs(c.Dir, c.Args[0]), c.Dir, c.Env, Evidence{File: e.File, Rule: e.Rule}, outputOf(c), c.Args[1:]...)
	}
	if err != nil {
		o, _ := s.Files.Lookup(Abs(c.Dir, c.Args[0]))
		return o.Kind == Network && installer.MatchString(o.Ref), nil // else not out of the source: it stays a command that nobody knows
	}
	first, _, _ := strings.Cut(string(data), "\n")
	if line, ok := strings.CutPrefix(first, "#!"); ok && !strings.Contains(first, "sh") {
		words := strings.Fields(line)
		if len(words) > 1 && path.Base(words[0]) == "env" {
			words = words[1:]
		}
		if len(words) == 1 && scriptPrograms.MatchString(path.Base(words[0])) {
			c.Args = append([]string{path.Base(words[0])}, c.Args...)
			return true, s.recognise(c)
		}
		return false, nil
	}
	if strings.IndexByte(string(data), 0) >= 0 {
		return false, nil
	}
	if len(data) > maxText {
		s.Notes.Remark(fmt.Sprintf("%s is not followed: has more than %d bytes", name, maxText), c.Evidence)
		return false, nil
	}
	return true, s.run(string(data), Abs(c.Dir, c.Args[0]), c.Dir, c.Env, Evidence{File: name, Line: 1}, outputOf(c), c.Args[1:]...)
}

// outputOf is where a script that a command calls prints to.
func outputOf(c Command) io.Writer {
	if !c.taken {
		return io.Discard
	}
	return scriptOutput{c}
}

// scriptOutput is where a script prints to: what called it.
type scriptOutput struct{ Command }

func (o scriptOutput) Write(p []byte) (int, error) {
	o.Print(string(p))
	return len(p), nil
}

// scriptPrograms are those that run scripts of their language, as ecosystems know them.
var scriptPrograms = regexp.MustCompile(`^(python[0-9.]*|node)$`)

// runRest follows programs that call the program that their arguments name.
func runRest(c Command, s *Stage) error {
	rest := c.Args[1:]
	envs := map[string]string{}
	for k, v := range c.Env {
		envs[k] = v
	}
	for len(rest) > 0 {
		k, v, assigned := strings.Cut(rest[0], "=")
		switch {
		case strings.HasPrefix(rest[0], "-"):
		case assigned && !strings.Contains(k, "/"):
			envs[k] = v
		case slices.Contains([]string{"su-exec", "gosu", "s6-setuidgid"}, path.Base(c.Args[0])): // first comes who
			if len(rest) < 2 {
				return nil
			}
			c.Args, c.Env = rest[1:], envs
			return s.recognise(c)
		default:
			c.Args, c.Env = rest, envs
			return s.recognise(c)
		}
		rest = rest[1:]
	}
	return nil
}

// download notes what curl and wget fetch, and where it stands then.
func download(c Command, s *Stage) {
	var urls []string
	var to, dir string
	named := path.Base(c.Args[0]) == "wget" // it takes the URL's last part for the file's name
	for i, a := range c.Args {
		switch {
		case strings.Contains(a, "://") && !strings.HasPrefix(a, "-"):
			urls = append(urls, a)
		case (a == "-P" || a == "--directory-prefix" || a == "--output-dir") && i+1 < len(c.Args):
			dir = c.Args[i+1]
		case path.Base(c.Args[0]) == "curl" && (a == "--remote-name" || a == "--remote-name-all" || len(a) > 1 && a[0] == '-' && a[1] != '-' && strings.Contains(a, "O")):
			named = true
		case (a == "-o" || a == "--output" || a == "-O" && path.Base(c.Args[0]) == "wget" || a == "--output-document") && i+1 < len(c.Args):
			to = c.Args[i+1]
		}
	}
	for i, url := range urls {
		if strings.Contains(url, "://localhost") || strings.Contains(url, "://127.0.0.1") {
			continue
		}
		s.Notes.Remark("the upstream's image downloads "+url, c.Evidence)
		s.downloads = append(slices.Clone(s.downloads), url)
		at := to
		if (to == "" || i > 0) && named {
			at, _, _ = strings.Cut(path.Base(url), "?")
		} else if i > 0 {
			continue // it is printed
		}
		if at != "" && at != "-" {
			s.Files.Place(Abs(Abs(c.Dir, dir), at), Origin{Kind: Network, Ref: url}, c.Evidence)
		}
	}
}

// runGit answers what a build asks of a checkout, which there is none of, and notes clones.
func runGit(c Command, s *Stage) {
	for i, a := range c.Args[1:] {
		switch a {
		case "clone":
			url, to := "", ""
			for _, u := range c.Args[i+2:] {
				switch {
				case strings.Contains(u, "://") || strings.Contains(u, "@"):
					url = u
				case url != "" && to == "" && !strings.HasPrefix(u, "-"):
					to = u
				}
			}
			if url == "" {
				return
			}
			s.Notes.Remark("the upstream's image clones "+url, c.Evidence)
			if to == "" {
				to = strings.TrimSuffix(path.Base(url), ".git")
			}
			s.Files.Place(Abs(c.Dir, to), Origin{Kind: Network, Ref: url, Path: "/"}, c.Evidence)
			return
		case "describe", "name-rev":
			c.Print(s.Release)
			return
		}
	}
}
