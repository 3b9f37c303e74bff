package drv_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headwater/internal/nix/drv"
)

func attrs(t *testing.T, env map[string]string) drv.Attrs {
	t.Helper()
	d := &drv.Derivation{Name: "d", Env: env}
	a, err := d.Attrs()
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestAttrs(t *testing.T) {
	plain := attrs(t, map[string]string{"s": " text ", "yes": "1", "no": "", "true": "true", "list": " a\n b\tc\r", "empty": ""})
	structured := attrs(t, map[string]string{
		"s": "not seen", "__json": `{"s":" text ","yes":true,"no":false,"list":["a","b","c"],"empty":[],"null":null,"n":1}`,
	})
	for name, a := range map[string]drv.Attrs{"plain": plain, "structured": structured} {
		t.Run(name, func(t *testing.T) {
			if s, ok, err := a.String("s"); s != " text " || !ok || err != nil {
				t.Errorf("String: %q, %v, %v", s, ok, err)
			}
			if _, ok, err := a.String("lacking"); ok || err != nil {
				t.Errorf("String of none: %v, %v", ok, err)
			}
			for attr, want := range map[string]bool{"yes": true, "no": false, "lacking": false} {
				if got, err := a.Bool(attr); got != want || err != nil {
					t.Errorf("Bool(%s): %v, %v", attr, got, err)
				}
			}
			if got, ok, err := a.Strings("list"); !cmp.Equal(got, []string{"a", "b", "c"}) || !ok || err != nil {
				t.Errorf("Strings: %q, %v, %v", got, ok, err)
			}
			if got, ok, err := a.Strings("empty"); len(got) != 0 || !ok || err != nil {
				t.Errorf("Strings of an empty list: %q, %v, %v", got, ok, err)
			}
			if _, ok, err := a.Strings("lacking"); ok || err != nil {
				t.Errorf("Strings of none: %v, %v", ok, err)
			}
		})
	}
	if b, err := plain.Bool("true"); b || err != nil {
		t.Errorf(`Bool("true") outside structured attributes: %v, %v`, b, err)
	}
	for _, attr := range []string{"n", "null", "list"} {
		if _, ok, err := structured.String(attr); !ok || err == nil || !strings.Contains(err.Error(), "want a string") {
			t.Errorf("String(%s): %v, %v", attr, ok, err)
		}
	}
	if _, err := structured.Bool("s"); err == nil {
		t.Error("Bool accepts a string")
	}
	if _, _, err := structured.Strings("s"); err == nil {
		t.Error("Strings accepts a string")
	}
}

func TestStructuredAttrsAreOneObject(t *testing.T) {
	for _, text := range []string{"", "null", "[]", "1", "{", `{"a":1}{`} {
		d := &drv.Derivation{Name: "d", Env: map[string]string{"__json": text}}
		if _, err := d.Attrs(); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}

// What Nix wrote for a structured derivation is what SetStructured writes for the same values.
func TestSetStructuredMatchesNix(t *testing.T) {
	seen := 0
	for p, d := range stable(t) {
		a, err := d.Attrs()
		if err != nil {
			t.Fatal(err)
		}
		if a.Structured() == nil {
			continue
		}
		seen++
		values := map[string]any{}
		for name, raw := range a.Structured() {
			dec := json.NewDecoder(bytes.NewReader(raw))
			dec.UseNumber() // how a number is spelt is the caller's
			var v any
			if err := dec.Decode(&v); err != nil {
				t.Fatal(err)
			}
			values[name] = v
		}
		again := &drv.Derivation{Name: d.Name}
		if err := again.SetStructured(values); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(d.Env["__json"], again.Env["__json"]); diff != "" {
			t.Errorf("%s (-Nix +ours):\n%s", p, diff)
		}
	}
	if seen != 2 {
		t.Errorf("%d structured derivations among the vectors, want 2", seen)
	}
}
