package python

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Target is the interpreter and platform that wheels are chosen for.
type Target struct {
	Major, Minor int // CPython's version: 3, 13
	GlibcMinor   int // glibc is 2.GlibcMinor; manylinux wheels up to it fit
	Arch         string
}

// Wheel is a wheel's file name taken apart (binary distribution format, "File name convention").
type Wheel struct {
	Name, Version, Build  string // Build is "" or starts with a digit
	Python, ABI, Platform []string
	File                  string
}

// ParseWheel takes a wheel's file name apart.
func ParseWheel(file string) (Wheel, error) {
	base, ok := strings.CutSuffix(file, ".whl")
	parts := strings.Split(base, "-")
	if !ok || len(parts) < 5 || len(parts) > 6 || slices.Contains(parts, "") {
		return Wheel{}, fmt.Errorf("parse wheel name %q: want name-version[-build]-python-abi-platform.whl", file)
	}
	w := Wheel{Name: parts[0], Version: parts[1], File: file}
	if len(parts) == 6 {
		if w.Build = parts[2]; w.Build[0] < '0' || w.Build[0] > '9' {
			return Wheel{}, fmt.Errorf("parse wheel name %q: build number %q does not start with a digit", file, w.Build)
		}
	}
	tags := parts[len(parts)-3:]
	w.Python, w.ABI, w.Platform = strings.Split(tags[0], "."), strings.Split(tags[1], "."), strings.Split(tags[2], ".")
	return w, nil
}

// Rank orders wheels for the target: the lower the better, -1 where the wheel does not fit. The order is that of
// "Platform compatibility tags": the interpreter's own ABI, then the stable ABI newest first, then pure Python.
func (t Target) Rank(w Wheel) int {
	const pythons = 200
	best := -1
	for _, platform := range w.Platform {
		p := t.platformRank(platform)
		if p < 0 {
			continue
		}
		for _, python := range w.Python {
			for _, abi := range w.ABI {
				r := t.pythonRank(python, abi, platform == "any")
				if r >= 0 && (best < 0 || r+p*pythons < best) {
					best = r + p*pythons
				}
			}
		}
	}
	return best
}

// platformRank: newest manylinux first, then linux, then any.
func (t Target) platformRank(p string) int {
	switch p {
	case "any":
		return 1000
	case "linux_" + t.Arch:
		return 999
	case "manylinux2014_" + t.Arch:
		p = "manylinux_2_17_" + t.Arch
	case "manylinux2010_" + t.Arch:
		p = "manylinux_2_12_" + t.Arch
	case "manylinux1_" + t.Arch:
		p = "manylinux_2_5_" + t.Arch
	}
	minor, ok := strings.CutPrefix(p, "manylinux_2_")
	if !ok {
		return -1
	}
	if minor, ok = strings.CutSuffix(minor, "_"+t.Arch); !ok {
		return -1
	}
	n, err := strconv.Atoi(minor)
	if err != nil || n < 0 || n > t.GlibcMinor {
		return -1
	}
	return t.GlibcMinor - n
}

// pythonRank ranks an interpreter and ABI tag pair; pure says that the platform is "any".
func (t Target) pythonRank(python, abi string, pure bool) int {
	own := fmt.Sprintf("cp%d%d", t.Major, t.Minor)
	if python == own && abi == own {
		return 0
	}
	if digits, ok := strings.CutPrefix(python, fmt.Sprintf("cp%d", t.Major)); ok {
		minor, err := strconv.Atoi(digits)
		switch {
		case err != nil || minor < 2 || minor > t.Minor:
			return -1
		case abi == fmt.Sprintf("abi%d", t.Major):
			return 1 + t.Minor - minor
		case abi == "none" && minor == t.Minor:
			return 60
		}
		return -1
	}
	digits, ok := strings.CutPrefix(python, fmt.Sprintf("py%d", t.Major))
	if !ok || abi != "none" {
		return -1
	}
	if digits == "" {
		return 62 + t.Minor
	}
	minor, err := strconv.Atoi(digits)
	if err != nil || minor < 0 || minor > t.Minor {
		return -1
	}
	return 61 + t.Minor - minor
}

// Choose picks the file to install out of those that a lock lists for one version of a package: the best wheel, or the
// sdist where no wheel fits or source is set. sdist tells that the choice must be built.
func (t Target) Choose(files []string, source bool) (file string, sdist bool, err error) {
	best := -1
	var source0 string
	for _, f := range slices.Sorted(slices.Values(files)) {
		if strings.HasSuffix(f, ".tar.gz") || strings.HasSuffix(f, ".zip") || strings.HasSuffix(f, gitEnding) {
			// Both forms are of the same release; .tar.gz is the one that the standard asks for.
			if source0 == "" || strings.HasSuffix(f, ".tar.gz") {
				source0 = f
			}
			continue
		}
		w, err := ParseWheel(f)
		if err != nil {
			continue // eggs, installers: no tool takes them
		}
		if r := t.Rank(w); !source && r >= 0 && (best < 0 || r < best) {
			best, file = r, f
		}
	}
	switch {
	case file != "":
		return file, false, nil
	case source0 != "":
		return source0, true, nil
	case source:
		return "", false, fmt.Errorf("choose a distribution: compiling is asked for, and no sdist is among %s", strings.Join(files, ", "))
	}
	return "", false, fmt.Errorf("choose a distribution: no wheel fits Python %d.%d on %s and there is no sdist among %s", t.Major, t.Minor, t.Arch, strings.Join(files, ", "))
}
