package run

import (
	"crypto/rand"
	"errors"
	"fmt"
	"headwater/internal/atomicfile"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// secrets gives a random value to each variable that the recipe calls a secret, unless the caller set it.
func (r *Runner) secrets() error {
	for _, name := range r.Recipe.Package.Secrets {
		if v, ok := r.env[name]; ok {
			r.kept[name] = v
			continue
		}
		v, err := r.secret(name)
		if err != nil {
			return err
		}
		r.env[name] = v
	}
	return nil
}

// secret is the kept secret of that name, made on first use: 26 characters of base 32, 130 bits.
func (r *Runner) secret(name string) (string, error) {
	file := filepath.Join(r.State, "secrets", name)
	b, err := os.ReadFile(file)
	if err == nil {
		r.kept[name] = strings.TrimSpace(string(b))
		return r.kept[name], nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read secret %s: %w", name, err)
	}
	v := rand.Text()
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return "", fmt.Errorf("keep secret %s: %w", name, err)
	}
	if err := atomicfile.WriteSynced(file, []byte(v+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("keep secret %s: %w", name, err)
	}
	r.kept[name] = v
	return v, nil
}
