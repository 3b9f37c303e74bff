package python_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/ecosystem/ecosystemtest"
	"headwater/internal/ecosystem/plain"
	"headwater/internal/ecosystem/python"
)

// A real environment, built twice in the sandbox, with all cores and with one, and used in a root that has no compiler:
// wheels, an extension module that is compiled, a package whose backend asks for more, editable and plain packages of the
// source.
func TestBuildReal(t *testing.T) {
	p := ecosystemtest.Open(t, "testdata/shop", python.New(), plain.New())
	logs := p.Build("wheel markupsafe 3.0.4", "wheel iniconfig 2.3.1", "editable shop-core", "env", "whole", "used", "alone")

	if log := strings.Join(logs["wheel markupsafe 3.0.4"], "\n"); !strings.Contains(log, " -O2 ") || !strings.Contains(log, " -g0 ") {
		t.Errorf("the extension module was not compiled as Debian's interpreter is, without debugging:\n%s", log)
	}
	for _, name := range []string{"env", "whole", "wheel markupsafe 3.0.4", "editable shop-core"} {
		info, err := p.Store.Query(t.Context(), p.Node(name).Path())
		if err != nil {
			t.Fatal(err)
		}
		if len(info.Refs) > 0 {
			t.Errorf("%s refers to %v", name, info.Refs)
		}
	}
	const same = "b'xn--tda.example' &lt; markupsafe._speedups iniconfig\n"
	for name, want := range map[string]string{
		"used": "/opt/venv /srv/app/packages/core/shop_core/__init__.py /opt/venv/lib/python3.13/site-packages/shop_plain/__init__.py\n" + same +
			"MarkupSafe -\nidna -\niniconfig -\n" +
			`shop-core {"url":"file:///srv/app/packages/core","dir_info":{"editable":true}}` + "\n" +
			`shop-plain {"url":"file:///srv/app/packages/plain","dir_info":{}}` + "\n",
		"alone": "/opt/whole /opt/whole/lib/python3.13/site-packages/shop_core/__init__.py /opt/whole/lib/python3.13/site-packages/shop_plain/__init__.py\n" + same +
			"MarkupSafe -\nidna -\niniconfig -\n" +
			`shop-core {"url":"file:///build/src/app/packages/core","dir_info":{}}` + "\n" +
			`shop-plain {"url":"file:///build/src/app/packages/plain","dir_info":{}}` + "\n",
	} {
		got, err := os.ReadFile(filepath.Join(p.Output(name), "printed.txt"))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, string(got)); diff != "" {
			t.Errorf("%s printed (-want +got):\n%s", name, diff)
		}
	}
	for name, want := range map[string]bool{"env": true, "whole": false} {
		found, err := filepath.Glob(filepath.Join(p.Output(name), "lib/python3.13/site-packages/*/__pycache__/*.pyc"))
		if err != nil || (len(found) > 0) != want {
			t.Errorf("%s has %d compiled modules, %v", name, len(found), err)
		}
	}
}
