package tree_test

import (
	"archive/tar"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/rootfs/debtest"
)

// links lists the links in some folders of a tree.
func links(t *testing.T, dst string, dirs ...string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, dir := range dirs {
		entries, err := os.ReadDir(filepath.Join(dst, dir))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		for _, e := range entries {
			if target, err := os.Readlink(filepath.Join(dst, dir, e.Name())); err == nil {
				out[dir+"/"+e.Name()] = target
			}
		}
	}
	return out
}

func TestAlternatives(t *testing.T) {
	program := debtest.Program
	pkg := func(name, postinst string, entries ...tar.Header) debtest.Package {
		return debtest.Package{Name: name, Entries: entries, Scripts: map[string]string{"postinst": postinst}}
	}
	for _, tt := range []struct {
		name     string
		packages []debtest.Package
		want     map[string]string
	}{
		{"one with a slave that is there and one that is not", []debtest.Package{pkg("mawk", `#!/bin/sh
set -e
if [ "$1" = "configure" ] || [ "$1" = "abort-upgrade" ]; then
	update-alternatives --install /usr/bin/awk awk /usr/bin/mawk 5 \
		--slave /usr/bin/nawk nawk /usr/bin/mawk --slave /usr/share/man/man1/awk.1.gz awk.1.gz /usr/share/man/man1/mawk.1.gz
fi
`, program("usr/bin/mawk"))}, map[string]string{
			"usr/bin/awk": "../../etc/alternatives/awk", "etc/alternatives/awk": "../../usr/bin/mawk",
			"usr/bin/nawk": "../../etc/alternatives/nawk", "etc/alternatives/nawk": "../../usr/bin/mawk",
		}},
		{"the highest priority, with its slaves only", []debtest.Package{
			pkg("aa", "#!/bin/sh\nupdate-alternatives --install /usr/bin/vi vi /usr/bin/aa 10 --slave /usr/bin/view view /usr/bin/aa\n", program("usr/bin/aa")),
			pkg("bb", "#!/bin/sh\nupdate-alternatives --quiet --install /usr/bin/vi vi /bin/bb 30\n", program("bin/bb")),
			pkg("cc", "#!/bin/sh\nupdate-alternatives --install /usr/bin/vi vi /usr/bin/cc -5\n", program("usr/bin/cc")),
		}, map[string]string{"usr/bin/vi": "../../etc/alternatives/vi", "etc/alternatives/vi": "../../usr/bin/bb"}},
		{"equal priorities", []debtest.Package{
			pkg("bb", "#!/bin/sh\nupdate-alternatives --install /usr/bin/vi vi /usr/bin/bb 1\n", program("usr/bin/bb")),
			pkg("aa", "#!/bin/sh\nupdate-alternatives --install /usr/bin/vi vi /usr/bin/aa 1\n", program("usr/bin/aa")),
		}, map[string]string{"usr/bin/vi": "../../etc/alternatives/vi", "etc/alternatives/vi": "../../usr/bin/aa"}},
		{"one that is not there", []debtest.Package{pkg("aa", "#!/bin/sh\nupdate-alternatives --install /usr/bin/vi vi /usr/bin/missing 1\n")}, map[string]string{}},
		{"in place of a package's file", []debtest.Package{
			pkg("aa", "#!/bin/sh\nupdate-alternatives --install /usr/bin/vi vi /usr/bin/aa 1\n", program("usr/bin/aa"), program("usr/bin/vi")),
		}, map[string]string{}},
		{"variables, functions, loops and conditions", []debtest.Package{pkg("runtime", `#!/bin/bash
set -e
basedir=/usr/lib/jvm/runtime
priority=2111
tools='one two missing'
install() { update-alternatives --install "/usr/bin/$1" "$1" "$basedir/bin/$1" $2 $3; }
case "$1" in
configure)
	if ! mountpoint -q /proc; then exit 1; fi
	if [ -z "$2" ]; then fresh=y; fi
	if dpkg --compare-versions "$2" lt-nl 5; then fresh=n; fi
	[ "$(dpkg --print-architecture)" = amd64 ] || priority=$((priority - 1))
	if [ "$fresh" = y ]; then
		for i in $tools; do
			unset slave
			if [ -e $basedir/man/$i.1 ]; then
				slave="--slave /usr/share/$i.1 $i.1 $basedir/man/$i.1"
			fi
			install $i $priority "$slave" || true
		done
	fi
	;;
*)
	update-alternatives --install /usr/bin/never never $basedir/bin/one 1
	;;
esac
exit 0
`, program("usr/lib/jvm/runtime/bin/one"), program("usr/lib/jvm/runtime/bin/two"), debtest.File("usr/lib/jvm/runtime/man/two.1"))}, map[string]string{
			"usr/bin/one": "../../etc/alternatives/one", "etc/alternatives/one": "../../usr/lib/jvm/runtime/bin/one",
			"usr/bin/two": "../../etc/alternatives/two", "etc/alternatives/two": "../../usr/lib/jvm/runtime/bin/two",
			"usr/share/two.1": "../../etc/alternatives/two.1", "etc/alternatives/two.1": "../../usr/lib/jvm/runtime/man/two.1",
		}},
		{"a script that gives up after it", []debtest.Package{
			pkg("aa", "#!/bin/sh\nset -e\nupdate-alternatives --install /usr/bin/vi vi /usr/bin/aa 1\nfalse\nupdate-alternatives --install /usr/bin/ex ex /usr/bin/aa 1\n", program("usr/bin/aa")),
		}, map[string]string{"usr/bin/vi": "../../etc/alternatives/vi", "etc/alternatives/vi": "../../usr/bin/aa"}},
		{"jobs", []debtest.Package{
			pkg("aa", "#!/bin/sh\nupdate-alternatives --install /usr/bin/vi vi /usr/bin/aa 1 & echo x | read y & wait $!\n", program("usr/bin/aa")),
		}, map[string]string{"usr/bin/vi": "../../etc/alternatives/vi", "etc/alternatives/vi": "../../usr/bin/aa"}},
		{"a library", []debtest.Package{
			pkg("libaa", "#!/bin/sh\nupdate-alternatives --install /usr/lib/x86_64-linux-gnu/libx.so.3 libx.so.3-x86_64-linux-gnu /usr/lib/x86_64-linux-gnu/x/libx.so.3 10\n", debtest.File("usr/lib/x86_64-linux-gnu/x/libx.so.3")),
		}, map[string]string{"usr/lib/x86_64-linux-gnu/libx.so.3": "../../../etc/alternatives/libx.so.3-x86_64-linux-gnu", "etc/alternatives/libx.so.3-x86_64-linux-gnu": "../../usr/lib/x86_64-linux-gnu/x/libx.so.3"}},
		{"calls that are none", []debtest.Package{
			pkg("aa", "#!/bin/sh\nupdate-alternatives --remove vi /usr/bin/aa\nupdate-alternatives --install /usr/bin/vi vi /usr/bin/aa\nupdate-alternatives --install usr/bin/vi vi /usr/bin/aa 1\nupdate-alternatives --install /usr/bin/vi ../vi /usr/bin/aa 1\nupdate-alternatives --install /usr/bin/vi vi /usr/bin/aa one\nupdate-alternatives\n", program("usr/bin/aa")),
			pkg("bb", "#!/usr/bin/perl\nsystem 'update-alternatives --install /usr/bin/vi vi /usr/bin/aa 1';\n"),
		}, map[string]string{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dst, err := unpack(t, tt.packages...)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, links(t, dst, "usr/bin", "usr/share", "usr/lib/x86_64-linux-gnu", "etc/alternatives")); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestScriptsDoNothing has a script that tries to read, write and run things.
func TestScriptsDoNothing(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{"secret": "usr/bin/aa", "program": "#!/bin/sh\ntouch " + dir + "/ran\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("SECRET", "/usr/bin/aa")
	t.Setenv("TMPDIR", dir)
	script := strings.ReplaceAll(`#!/bin/bash
echo x > DIR/written; echo x > DIR/sh-interp-written; echo x >> DIR/secret; : > /etc/evil
DIR/program; exec 3< DIR/secret; touch DIR/touched
cd DIR && echo x > there
read line < DIR/secret && update-alternatives --install /usr/bin/one one "/$line" 1
update-alternatives --install /usr/bin/two two "$(cat DIR/secret)" 1
update-alternatives --install /usr/bin/three three "$SECRET" 1
[ -e DIR/secret ] && update-alternatives --install /usr/bin/four four /usr/bin/aa 1
for f in DIR/*; do update-alternatives --install /usr/bin/five$(basename $f) five$(basename $f) /usr/bin/aa 1; done
command -v sh >/dev/null && update-alternatives --install /usr/bin/six six /usr/bin/aa 1
command -v aa >/dev/null && update-alternatives --install /usr/bin/seven seven /usr/bin/aa 1
[ "$(id -u)" = 0 ] && [ "$UID" = 0 ] && update-alternatives --install /usr/bin/eight eight /usr/bin/aa 1
`, "DIR", dir)
	dst, err := unpack(t, debtest.Package{Entries: []tar.Header{debtest.Program("usr/bin/aa")}, Scripts: map[string]string{"postinst": script}})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"usr/bin/five*": "../../etc/alternatives/five*", "usr/bin/seven": "../../etc/alternatives/seven", "usr/bin/eight": "../../etc/alternatives/eight"}
	if d := cmp.Diff(want, links(t, dst, "usr/bin")); d != "" {
		t.Error(d)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 2 {
		t.Errorf("the script made something: %v", entries)
	}
	if data, err := os.ReadFile(filepath.Join(dir, "secret")); err != nil || string(data) != "usr/bin/aa" {
		t.Errorf("the script changed something: %q, %v", data, err)
	}
	if _, err := os.Lstat(filepath.Join(dst, "etc/evil")); err == nil {
		t.Error("the script made something in the tree")
	}
}

func TestScriptsThatDoNotEnd(t *testing.T) {
	for _, loop := range []string{"while true; do :; done", "while update-alternatives; do true; done", "f() { f; }; f", "until false; do x=$(echo a); done"} {
		_, err := unpack(t, debtest.Package{Name: "aa", Scripts: map[string]string{"postinst": "#!/bin/sh\n# update-alternatives\n" + loop + "\n"}})
		if err == nil || !strings.Contains(err.Error(), "aa") || !strings.Contains(err.Error(), "does not end") {
			t.Errorf("%s: got %v", loop, err)
		}
	}
}

func TestScriptsThatCannotBeRead(t *testing.T) {
	for _, text := range []string{"if update-alternatives", "update-alternatives 'x", "update-alternatives $((", "update-alternatives <(ls)", "coproc update-alternatives"} {
		if _, err := unpack(t, debtest.Package{Name: "aa", Scripts: map[string]string{"postinst": "#!/bin/sh\n" + text + "\n"}}); err == nil || !strings.Contains(err.Error(), "aa") {
			t.Errorf("%s: got %v", text, err)
		}
	}
}

// FuzzScript has any script after a call that is understood.
func FuzzScript(f *testing.F) {
	f.Add("for i in a b; do update-alternatives --install /usr/bin/$i $i /usr/bin/aa 1; done")
	f.Add("x=$(cat <<E\n$1\nE\n); [[ $x =~ (a) ]] && (( x++ )) | read y & wait; trap 'exit 1' EXIT; exec 3<&-")
	f.Add("f() { local -a v=(a b); declare -A m; echo ${v[@]/a/b} ${#m} ${!x} ~u $'\\x00' <(ls) {a,b} *; }; f; coproc cat; select x in a; do :; done; time ls")
	f.Fuzz(func(t *testing.T, text string) {
		dst, err := unpack(t, debtest.Package{
			Name: "aa", Entries: []tar.Header{debtest.Program("usr/bin/aa")},
			Scripts: map[string]string{"postinst": "#!/bin/bash\nupdate-alternatives --install /usr/bin/vi vi /usr/bin/aa 1\n" + text + "\n"},
		})
		if err != nil {
			return
		}
		if got := links(t, dst, "usr/bin")["usr/bin/vi"]; got != "../../etc/alternatives/vi" {
			t.Errorf("the first call was lost: %q", got)
		}
		checkLinks(t, dst)
	})
}
