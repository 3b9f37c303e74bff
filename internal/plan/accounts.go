package plan

import (
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Accounts are the users and groups that a stage adds, by name, with their numbers.
type Accounts struct {
	users  map[string]string // "uid:gid"
	groups map[string]string
	homes  map[string]string // of users
}

func noAccounts() Accounts {
	return Accounts{map[string]string{}, map[string]string{}, map[string]string{}}
}

func (a Accounts) clone() Accounts {
	return Accounts{maps.Clone(a.users), maps.Clone(a.groups), maps.Clone(a.homes)}
}

// Home is the home of who runs a stage's commands, as far as the stage tells: by convention, else.
func (s *Stage) Home() string {
	name, _, _ := strings.Cut(s.User, ":")
	switch home := s.Accounts.homes[name]; {
	case home != "":
		return home
	case number(name, "") != "" || name == "" || name == "root":
		return "/root"
	}
	return "/home/" + name
}

// take adds the accounts of another stage, whose file of them is copied.
func (a *Accounts) take(from Accounts) {
	if a.users == nil {
		*a = noAccounts()
	}
	maps.Copy(a.users, from.users)
	maps.Copy(a.groups, from.groups)
	maps.Copy(a.homes, from.homes)
}

// Owned is a path that a stage gives to a user.
type Owned struct {
	At, User string
	Evidence Evidence
}

// addAccount follows adduser, useradd, addgroup and groupadd, of Debian, shadow and BusyBox.
func addAccount(c Command, s *Stage, program string) {
	valued := []string{"-u", "--uid", "-g", "--gid", "-G", "--ingroup", "--groups", "-h", "-d", "--home", "--home-dir", "-s", "--shell", "-c", "--comment", "--gecos", "-k", "--skel", "-b", "-e", "-f", "-K", "--firstuid", "--firstgid"}
	options, names, system := map[string]string{}, []string(nil), false
	for i := 1; i < len(c.Args); i++ {
		name, value, inline := strings.Cut(c.Args[i], "=")
		switch {
		case !strings.HasPrefix(name, "-"):
			names = append(names, c.Args[i])
		case slices.Contains(valued, name):
			if !inline && i+1 < len(c.Args) {
				i++
				value = c.Args[i]
			}
			options[name] = value
		case name == "--system" || name == "--group" || name[1] != '-' && strings.ContainsAny(name, "rS"):
			system = system || name != "--group"
		}
	}
	if len(names) == 0 {
		return
	}
	if s.Accounts.users == nil {
		s.Accounts = noAccounts()
	}
	first := func(keys ...string) string {
		for _, k := range keys {
			if options[k] != "" {
				return options[k]
			}
		}
		return ""
	}
	usual := "1000"
	if system {
		usual = "999" // such numbers are given downwards from here
	}
	if program == "addgroup" || program == "groupadd" {
		if len(names) == 1 { // two are a user and the group that it is added to
			s.Accounts.groups[names[0]] = number(first("-g", "--gid"), usual)
		}
		return
	}
	uid := number(first("-u", "--uid"), usual)
	group := first("--ingroup", "--gid")
	if program == "useradd" {
		group = first("-g", "--gid")
	} else if group == "" {
		group = first("-G")
	}
	gid, known := s.Accounts.groups[group]
	if !known {
		if gid = number(group, ""); gid == "" {
			if gid, known = s.Accounts.groups[names[0]]; !known {
				gid = uid
			}
		}
	}
	s.Accounts.users[names[0]] = uid + ":" + gid
	if home := first("-d", "--home-dir", "--home", "-h"); path.IsAbs(home) {
		s.Accounts.homes[names[0]] = home
	}
}

func number(s, otherwise string) string {
	if _, err := strconv.ParseUint(s, 10, 31); err == nil {
		return s
	}
	return otherwise
}

// chown notes who is given what.
func chown(c Command, s *Stage) {
	list := operands(c, "")
	if len(list) < 2 {
		return
	}
	for _, p := range list[1:] {
		s.Owned = append(s.Owned, Owned{Abs(c.Dir, p), list[0], c.Evidence})
	}
}

// numbers are those of a user as USER names it, "uid:gid"; ok is false if the stage does not tell them.
func (s *Stage) numbers(user string) (uidgid string, ok bool) {
	name, group, hasGroup := strings.Cut(user, ":")
	both, known := s.Accounts.users[name]
	if !known {
		both, known = imageAccounts()[name]
		if base := parseBase(s.BaseImage()); name == "node" && base.family != "node" {
			known = false
		}
	}
	uid, gid, _ := strings.Cut(both, ":")
	if !known {
		if uid = number(name, ""); uid == "" {
			return "", false
		}
		gid = uid
		for _, u := range slices.Sorted(maps.Keys(s.Accounts.users)) {
			if other, g, _ := strings.Cut(s.Accounts.users[u], ":"); other == uid {
				gid = g
			}
		}
	}
	if hasGroup {
		g, known := s.Accounts.groups[group]
		if !known {
			g = number(group, gid)
		}
		gid = g
	}
	return uid + ":" + gid, true
}

// imageAccounts are the users that images have from the beginning.
func imageAccounts() map[string]string {
	return map[string]string{"root": "0:0", "daemon": "1:1", "www-data": "33:33", "nobody": "65534:65534", "nonroot": "65532:65532", "node": "1000:1000", "nginx": "101:101"}
}

// imageUser is the user that an image sets by itself, as its reference tells it; "" for root.
func imageUser(ref string) string {
	if strings.HasSuffix(ref, ":nonroot") || strings.HasSuffix(ref, "-nonroot") {
		return "nonroot"
	}
	return ""
}

// imagePath is the PATH that images of a reference have.
func imagePath(ref string) string {
	const usual = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	switch parseBase(ref).family {
	case "golang":
		return "/go/bin:/usr/local/go/bin:" + usual
	case "rust":
		return "/usr/local/cargo/bin:" + usual
	}
	return usual
}

// initProgram tells whether a program only starts another and reaps what it leaves, which Headwater's launcher sees to.
func initProgram(program string) bool {
	return slices.Contains([]string{"dumb-init", "tini", "tini-static", "catatonit", "docker-init"}, path.Base(program))
}
