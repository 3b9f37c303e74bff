package sandbox_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"headwater/internal/nix"
	"headwater/internal/sandbox"
)

func TestMain(m *testing.M) {
	sandbox.RunInit()
	builderMain()
	os.Exit(m.Run())
}

const tool = nix.StorePath("/nix/store/00000000000000000000000000000001-tool")

// folders are what a caller prepares for one run. The test binary is the store's one program, "tool".
func folders(t testing.TB) sandbox.Spec {
	t.Helper()
	top := t.TempDir()
	if err := os.Chmod(top, 0o700); err != nil {
		t.Fatal(err)
	}
	s := sandbox.Spec{Builder: string(tool), Inputs: []nix.StorePath{tool}, Env: []string{"A=b"}}
	for name, field := range map[string]*string{
		"store": &s.StoreDir, "outputs": &s.Outputs, "build": &s.Build, "tmp": &s.Tmp, "root": &s.Root,
	} {
		*field = filepath.Join(top, name)
		if err := os.Mkdir(*field, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(exe)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.StoreDir, tool.Base()), b, 0o555); err != nil {
		t.Fatal(err)
	}
	return s
}

func run(t testing.TB, s sandbox.Spec, args ...string) (string, sandbox.Exit) {
	t.Helper()
	var out bytes.Buffer
	s.Args = args
	e, err := sandbox.Run(context.Background(), s, &out)
	if err != nil {
		t.Fatal(err)
	}
	return out.String(), e
}

func TestHello(t *testing.T) {
	if out, e := run(t, folders(t), "hello"); out != "hello\n" || !e.Success() {
		t.Errorf("output %q, %v", out, e)
	}
}
