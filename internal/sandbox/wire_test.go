package sandbox_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"headwater/internal/nix"
	"headwater/internal/sandbox"
)

func TestSpecificationsArriveAsTheyAre(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// Any bytes but NUL.
		text := rapid.Map(rapid.SliceOf(rapid.ByteRange(1, 255)), func(b []byte) string { return string(b) })
		texts := rapid.SliceOfN(text, 1, 5)
		want := sandbox.Spec{Builder: text.Draw(t, "builder"), StoreDir: text.Draw(t, "store"), Outputs: text.Draw(t, "outputs"),
			Build: text.Draw(t, "build"), Tmp: text.Draw(t, "tmp"), Args: texts.Draw(t, "args"), Env: texts.Draw(t, "env"),
			Network: rapid.Bool().Draw(t, "network"), KVM: rapid.Bool().Draw(t, "kvm"),
			Inputs: []nix.StorePath{nix.StorePath(text.Draw(t, "input"))}}
		wire, err := sandbox.EncodeSpec(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := sandbox.DecodeSpec(wire)
		if d := cmp.Diff(want, got, cmpopts.IgnoreUnexported(sandbox.Spec{})); d != "" || err != nil {
			t.Error(d, err)
		}
		if _, err := sandbox.DecodeSpec(wire[:len(wire)-1]); err == nil {
			t.Error("a truncated specification was read")
		}
	})
}

func FuzzDecodeSpec(f *testing.F) {
	wire, err := sandbox.EncodeSpec(sandbox.Spec{Args: []string{"a"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(wire)
	f.Add("\x00\x00\x00\x00\x00true\x00false\x00false\x00false\x0099999999999\x00")
	f.Fuzz(func(t *testing.T, wire string) {
		if s, err := sandbox.DecodeSpec(wire); err == nil {
			if _, err := sandbox.EncodeSpec(s); err != nil {
				t.Error(err)
			}
		}
	})
}
