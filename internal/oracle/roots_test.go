package oracle_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/dag"
	"headwater/internal/engine"
	"headwater/internal/engine/local"
	"headwater/internal/lock"
	"headwater/internal/rootfs"
	"headwater/internal/roottest"
)

// A build sees and changes the same in a root whose bubblewrap lays overlays (trixie's) and in one whose does not (bookworm's).
func TestRootsOfTwoReleases(t *testing.T) {
	data, err := os.ReadFile("../nixtest/testdata/headwater.lock")
	if err != nil {
		t.Fatal(err)
	}
	locked, err := lock.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	s, err := roottest.OpenStore(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var m dag.Maker
	suites := []string{"trixie", "bookworm"}
	var made *dag.Node
	var built []*dag.Node
	for _, suite := range suites {
		if _, err := roottest.Valid(t.Context(), s, suite, locked.Roots[suite]); err != nil {
			t.Fatal(err)
		}
		root, err := rootfs.Node(&m, suite, locked.Roots[suite])
		if err != nil {
			t.Fatal(err)
		}
		if made == nil {
			if made, err = m.InRoot(dag.InRoot{Kind: dag.Build, Name: "made", Title: "made", Root: root, Script: `
mkdir -p $out/inner
for f in kept gone; do echo $f >$out/inner/$f; done
printf '#!/bin/sh\necho it runs\n' >$out/inner/run
chmod 755 $out/inner/run
ln -s inner/kept $out/link
`}); err != nil {
				t.Fatal(err)
			}
		}
		n, err := m.InRoot(dag.InRoot{
			Kind: dag.Build, Name: "changed", Title: "changed in " + suite, Root: root,
			Mounts: []dag.Mount{
				{From: made, At: "/opt/writable", Writable: true},
				{From: made, At: "/usr/local/share/deep/writable", Writable: true},
				{From: made, At: "/usr/local/share/deep/read-only"},
				{From: made, At: "/usr/local/beside"},
				{From: made, At: "/usr/inside"},
				{From: made, Path: "inner", At: "/etc/parts.d/copied", Copy: true},
			},
			OutputAt: map[string]string{"/usr/local/lib/made": "out/made"},
			Script: `
test -x /usr/bin/sed && test -r /etc/passwd && test -d /usr/share && test -e /usr/bin/sh && test ! -w /usr/bin/sed
for d in /opt/writable /usr/local/share/deep/writable; do
  ! echo more 2>/dev/null >>$d/inner/kept || exit 2 # files are replaced, not written to
  rm $d/inner/gone; echo new >$d/inner/new; mkdir $d/folder; { cat $d/inner/kept; echo more; } >$d/inner/kept2; mv $d/inner/kept2 $d/inner/kept
done
for d in /usr/local/share/deep/read-only /usr/local/beside /usr/inside; do ! echo new 2>/dev/null >$d/inner/new || exit 3; ! rm -f $d/inner/kept 2>/dev/null || exit 4; done
echo more >>/etc/parts.d/copied/kept
sed s/more/out/ /opt/writable/link >/usr/local/lib/made/seen
for d in /opt/writable /usr/local/share/deep /usr/local/beside /usr/inside /etc/parts.d/copied; do
  (cd $d && find . -type f -o -type l) | sort | while read -r f; do echo "$d $f"; cat "$d/$f"; done
done >$out/list
/usr/inside/inner/run >>$out/list
`,
		})
		if err != nil {
			t.Fatal(err)
		}
		built = append(built, n)
	}
	e := local.New(local.Config{Store: s})
	_, err = e.Realise(t.Context(), built, engine.Options{Cores: cores})
	if err := errors.Join(err, e.Close()); err != nil {
		t.Fatal(errorText(err))
	}
	read := func(n *dag.Node) string {
		var text strings.Builder
		for _, name := range []string{"list", "made/seen"} {
			b, err := os.ReadFile(filepath.Join(s.Dir(), string(n.Path()), name))
			if err != nil {
				t.Fatal(err)
			}
			text.Write(b)
		}
		return text.String()
	}
	overlays, copies := read(built[0]), read(built[1])
	if diff := cmp.Diff(overlays, copies); diff != "" || !strings.Contains(overlays, "/opt/writable ./inner/new\nnew\n") || !strings.Contains(overlays, "kept\nout\n") {
		t.Errorf("what a build sees differs (-%s +%s): %s\n%s", suites[0], suites[1], diff, overlays)
	}
}
