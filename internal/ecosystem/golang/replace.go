package golang

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"headwater/internal/artifact"
	"headwater/internal/dag"
	"headwater/internal/ecosystem"
	"headwater/internal/lock"
	"headwater/internal/recipe"
)

// standIn is what is to be had for s: s itself, or the same of another version. Its hash is "" where no go.sum has that version's.
func (m *modules) standIn(s Sum, by recipe.Replacement) (Sum, error) {
	if by.Version == "" || by.Version == s.Module.Version {
		return s, nil
	}
	other := Sum{Module: module.Version{Path: s.Module.Path, Version: by.Version}, GoMod: s.GoMod}
	if err := module.Check(other.Module.Path, other.Module.Version); err != nil {
		return s, fmt.Errorf("replace %s: %w", s.Module, err)
	}
	for _, o := range m.Sums {
		if o.Module == other.Module && o.GoMod == other.GoMod {
			other.Hash = o.Hash
		}
	}
	return other, nil
}

// needs tells what a version that stands in for another one requires in newer versions than go.mod does: the go command would ask for these. What
// go.mod does not require at all may be of packages that nobody imports. A workspace chooses versions by itself.
func (m *modules) needs(ctx context.Context, r ecosystem.LockRequest, goMod lock.Artifact) error {
	if m.Work {
		return nil
	}
	file, _, err := r.Network.Get(ctx, goMod.Artifact())
	if err != nil {
		return err
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	of := goMod.Name + " " + goMod.Version
	parsed, err := modfile.ParseLax("go.mod of "+of, data, nil)
	if err != nil {
		return fmt.Errorf("read %w", err)
	}
	var lines []string
	for _, req := range parsed.Require {
		for _, f := range m.Files {
			has, ok := f.Requires[req.Mod.Path]
			if !ok || slices.ContainsFunc(f.Replaces, func(rep *modfile.Replace) bool {
				return replaces(rep, module.Version{Path: req.Mod.Path, Version: has})
			}) {
				continue
			}
			named := artifact.Artifact{Ecosystem: artifact.Go, Name: req.Mod.Path, Version: has, File: has + ".mod"}
			by, _ := r.Replacing(named)
			if semver.Compare(cmp.Or(by.Version, has), req.Mod.Version) < 0 {
				lines = append(lines, fmt.Sprintf("\n    %s: {version: %s}", recipe.ReplacedOf(named), req.Mod.Version))
			}
		}
	}
	if len(lines) > 0 {
		return fmt.Errorf("%s stands in for %s and requires newer versions than %s has: replace these too, or take an older one\n  replace:%s",
			of, goMod.Instead.Version, m.Files[0].Name, strings.Join(lines, ""))
	}
	return nil
}

// standIns takes what stands in for modules in place of what the go.sum files have, and has builds do the same.
func (d *deriver) standIns() error {
	noted, err := readData(d.Lock)
	if err != nil || len(noted.Sums) == 0 {
		return err
	}
	var edits strings.Builder
	versions := map[module.Version]string{}
	for i, s := range d.m.Sums {
		sum, ok := noted.Sums[s.line()]
		if !ok {
			continue
		}
		by := Sum{Module: s.Module, GoMod: s.GoMod, Hash: sum}
		if v, ok := noted.Versions[s.line()]; ok {
			by.Module.Version, versions[s.Module] = v, v
		}
		old := strings.ReplaceAll(s.line()+" "+s.Hash, ".", `\.`) // what else there is in such a line means itself
		edits.WriteString(" -e " + dag.Quote("s|^"+old+"|"+by.line()+" "+sum+"|"))
		d.m.Sums[i] = by
	}
	slices.SortFunc(d.m.Sums, func(a, b Sum) int { return strings.Compare(a.key()+a.Hash, b.key()+b.Hash) })
	d.m.Sums = slices.Compact(d.m.Sums)
	for _, file := range slices.Sorted(maps.Keys(d.m.SumFiles)) {
		if edits.Len() > 0 && !d.m.SumFiles[file].IsZero() {
			d.swap += "sed -i" + edits.String() + " " + dag.Quote(path.Join(d.SourceTop(), file)) + "\n"
		}
	}
	for i, f := range d.m.Files {
		if flags := f.take(versions, i == 0); len(flags) > 0 {
			command := "go mod edit"
			if f.Work {
				command = "go work edit"
			}
			file := dag.Quote(path.Join(d.SourceTop(), f.Name))
			d.swap += "chmod u+w " + file + "\n" + command + strings.Join(flags, "") + " " + file + "\n"
		}
	}
	return nil
}

// take is the flags of "go mod edit" and "go work edit" that have the file name other versions, by those that they stand in for. top tells
// that the file's replacements are those of the whole build (Go Modules Reference, "replace directive"). A newer version is required too: its
// own requirements count then, as those of the old one did.
func (f governing) take(versions map[module.Version]string, top bool) []string {
	var flags []string
	flag := func(text string) { flags = append(flags, " "+dag.Quote(text)) }
	for _, old := range slices.SortedFunc(maps.Keys(versions), func(a, b module.Version) int { return strings.Compare(a.String(), b.String()) }) {
		by := module.Version{Path: old.Path, Version: versions[old]}
		elsewhere := false // the file has something else for this version already
		for _, rep := range f.Replaces {
			if rep.New == old {
				flag("-replace=" + rep.Old.String() + "=" + by.String())
			}
			elsewhere = elsewhere || replaces(rep, old)
		}
		if top && !elsewhere {
			flag("-replace=" + old.String() + "=" + by.String())
		}
		if f.Requires[old.Path] == old.Version && !elsewhere && semver.Compare(by.Version, old.Version) > 0 {
			flag("-require=" + by.String())
		}
	}
	return flags
}

// replaces tells whether a directive is for a version.
func replaces(rep *modfile.Replace, v module.Version) bool {
	return rep.Old.Path == v.Path && (rep.Old.Version == "" || rep.Old.Version == v.Version)
}
