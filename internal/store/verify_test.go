package store_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"headwater/internal/nix"
	"headwater/internal/store"
	"headwater/internal/store/storetest"
)

// sql changes a store's database behind its back.
func sql(t *testing.T, dir string, script string) {
	t.Helper()
	c, err := sqlite.OpenConn(filepath.Join(dir, "nix/var/nix/db/db.sqlite"), sqlite.OpenReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(sqlitex.ExecuteScript(c, script, nil), c.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestVerifyFinds(t *testing.T) {
	for _, c := range []struct {
		name   string
		spoil  func(t *testing.T, s *store.Store, dep, app nix.StorePath)
		faults map[string]store.Fault // by the path's name, "" for none
		left   []string               // still valid after repairing
	}{
		{"nothing", func(*testing.T, *store.Store, nix.StorePath, nix.StorePath) {}, nil, []string{"app", "dep", "other"}},
		{"missing", func(t *testing.T, s *store.Store, dep, _ nix.StorePath) {
			if err := os.Remove(s.RealPath(dep)); err != nil {
				t.Fatal(err)
			}
		}, map[string]store.Fault{"dep": store.FaultMissing}, []string{"other"}},
		{"changed", func(t *testing.T, s *store.Store, _, app nix.StorePath) {
			tear(t, s.RealPath(app)+"/bin/app")
		}, map[string]store.Fault{"app": store.FaultContent, "": store.FaultLink}, []string{"dep", "other"}},
		{"mode changed", func(t *testing.T, s *store.Store, _, app nix.StorePath) {
			if err := os.Chmod(s.RealPath(app)+"/bin/app", 0o444); err != nil {
				t.Fatal(err)
			}
		}, map[string]store.Fault{"app": store.FaultContent, "": store.FaultLink}, []string{"dep", "other"}},
		{"time changed", func(t *testing.T, s *store.Store, dep, _ nix.StorePath) {
			if err := os.Chtimes(s.RealPath(dep), time.Time{}, clock()); err != nil {
				t.Fatal(err)
			}
		}, map[string]store.Fault{"dep": store.FaultMetadata}, []string{"app", "dep", "other"}},
		{"writable", func(t *testing.T, s *store.Store, _, app nix.StorePath) {
			if err := os.Chmod(s.RealPath(app)+"/bin", 0o755); err != nil {
				t.Fatal(err)
			}
		}, map[string]store.Fault{"app": store.FaultMetadata}, []string{"app", "dep", "other"}},
		{"size", func(t *testing.T, s *store.Store, dep, _ nix.StorePath) {
			sql(t, s.Dir(), "update ValidPaths set narSize = narSize + 8 where path like '%-dep'")
		}, map[string]store.Fault{"dep": store.FaultRecord}, []string{"other"}},
		{"hash", func(t *testing.T, s *store.Store, dep, _ nix.StorePath) {
			sql(t, s.Dir(), "update ValidPaths set hash = 'sha256:xyz' where path like '%-dep'")
		}, map[string]store.Fault{"dep": store.FaultRecord}, []string{"other"}},
		{"content address", func(t *testing.T, s *store.Store, dep, _ nix.StorePath) {
			sql(t, s.Dir(), "update ValidPaths set ca = 'text:sha256:0000000000000000000000000000000000000000000000000000' where path like '%-dep'")
		}, map[string]store.Fault{"dep": store.FaultRecord}, []string{"other"}},
		{"no such reference", func(t *testing.T, s *store.Store, dep, _ nix.StorePath) {
			sql(t, s.Dir(), "pragma foreign_keys = 0; insert into Refs select id, 4711 from ValidPaths where path like '%-dep'")
		}, map[string]store.Fault{"dep": store.FaultReference}, []string{"other"}},
		{"no such referrer", func(t *testing.T, s *store.Store, dep, _ nix.StorePath) {
			sql(t, s.Dir(), "pragma foreign_keys = 0; insert into Refs select 4711, id from ValidPaths where path like '%-dep'")
		}, map[string]store.Fault{"": store.FaultReference}, []string{"app", "dep", "other"}},
		{"link", func(t *testing.T, s *store.Store, _, _ nix.StorePath) {
			if err := os.WriteFile(filepath.Join(s.Dir(), nix.StoreDir, ".links", nix.Sum(nix.SHA256, nil).Base32()), []byte("x"), 0o444); err != nil {
				t.Fatal(err)
			}
		}, map[string]store.Fault{"": store.FaultLink}, []string{"app", "dep", "other"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, s := context.Background(), open(t, storetest.Dir(t))
			dep := install(t, s, "dep", map[string]string{"": "x"})
			app := install(t, s, "app", map[string]string{"bin/app*": string(dep)}, dep)
			other := install(t, s, "other", map[string]string{"": "y"})
			if _, err := s.Optimise(ctx); err != nil {
				t.Fatal(err)
			}
			c.spoil(t, s, dep, app)
			for _, repair := range []bool{false, true} {
				r, err := s.Verify(ctx, store.VerifyOptions{Contents: true, Repair: repair})
				if err != nil {
					t.Fatal(err)
				}
				got := map[string]store.Fault{}
				for _, p := range r.Problems {
					got[p.Path.Name()] = p.Fault
					if p.Hint == "" || p.Detail == "" || p.Repaired != repair {
						t.Errorf("problem %+v", p)
					}
				}
				if c.faults == nil {
					c.faults = got
				}
				if d := cmp.Diff(c.faults, got); d != "" {
					t.Errorf("repair %v: %s", repair, d)
				}
			}
			clean(t, s)
			var left []string
			for _, p := range []nix.StorePath{app, dep, other} {
				if isValid(t, s, p) {
					left = append(left, p.Name())
				}
			}
			if d := cmp.Diff(c.left, left); d != "" {
				t.Error(d)
			}
		})
	}
}

// Without Contents only what is gone is found, and quickly.
func TestVerifyWithoutContents(t *testing.T) {
	ctx, s := context.Background(), open(t, storetest.Dir(t))
	gone, torn := install(t, s, "gone", map[string]string{"": "x"}), install(t, s, "torn", map[string]string{"": "y"})
	if err := os.Remove(s.RealPath(gone)); err != nil {
		t.Fatal(err)
	}
	tear(t, s.RealPath(torn))
	var checked []nix.StorePath
	r, err := s.Verify(ctx, store.VerifyOptions{Checked: func(p nix.StorePath) { checked = append(checked, p) }})
	if err != nil || len(r.Problems) != 1 || r.Problems[0].Path != gone || r.Paths != 2 || len(checked) != 2 {
		t.Errorf("%+v %v, checked %v", r, err, checked)
	}
}

// Of some paths alone nothing is said of others.
func TestVerifyOnly(t *testing.T) {
	s := open(t, storetest.Dir(t))
	whole, torn := install(t, s, "whole", map[string]string{"": "x"}), install(t, s, "torn", map[string]string{"": "y"})
	tear(t, s.RealPath(torn))
	makeTree(t, filepath.Join(s.Dir(), nix.StoreDir), map[string]string{"junk": ""})
	for only, want := range map[nix.StorePath]int{whole: 0, torn: 1} {
		r, err := s.Verify(t.Context(), store.VerifyOptions{Contents: true, Only: []nix.StorePath{only}})
		if err != nil || r.Paths != 1 || len(r.Problems) != want || len(r.Leftovers) > 0 {
			t.Errorf("%s: %+v, %v", only, r, err)
		}
	}
}

func TestVerifyListsLeftovers(t *testing.T) {
	s := open(t, storetest.Dir(t))
	install(t, s, "p", map[string]string{"": "x"})
	makeTree(t, filepath.Join(s.Dir(), nix.StoreDir), map[string]string{"junk": "", a.Base() + "/x": "", a.Base() + ".lock": ""})
	r := clean(t, s)
	if d := cmp.Diff([]string{a.Base(), a.Base() + ".lock", "junk"}, r.Leftovers); d != "" {
		t.Error(d)
	}
}

func TestVerifyStopsWhenCancelled(t *testing.T) {
	s := open(t, storetest.Dir(t))
	install(t, s, "p", map[string]string{"": "x"})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.Verify(ctx, store.VerifyOptions{Contents: true}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// A database page that is overwritten is found, or the store does not open.
func TestVerifyFindsDamagedDatabase(t *testing.T) {
	dir := storetest.Dir(t)
	s := open(t, dir)
	for i := range 100 {
		addText(t, s, "t", strings.Repeat("x", i))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "nix/var/nix/db/db.sqlite")
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for page := 4096; page < len(data); page += 4096 {
		spoilt := slices.Clone(data)
		for i := range 4096 {
			spoilt[page+i] ^= 0x55
		}
		if err := os.WriteFile(name, spoilt, 0o644); err != nil {
			t.Fatal(err)
		}
		s, err := store.Open(context.Background(), dir, store.Options{Now: clock})
		if err == nil {
			var r store.VerifyResult
			if r, err = s.Verify(context.Background(), store.VerifyOptions{}); len(r.Problems) > 0 {
				err = errors.New("problems")
			}
			s.Close()
		}
		if err != nil {
			found++
		}
	}
	if want := len(data)/4096 - 1; found != want {
		t.Errorf("%d of %d damaged pages were found", found, want)
	}
}
