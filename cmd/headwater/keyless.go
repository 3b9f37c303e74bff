package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"headwater/internal/attest"
	"headwater/internal/keyless"
	"headwater/internal/registry"
)

// tokenVariable has the identity token, as for cosign.
const tokenVariable = "SIGSTORE_ID_TOKEN"

// readKeyless reads whose word is asked for to sign without a key of one's own. They are asked only when there is something to sign: what they
// give lives for minutes.
func (a *app) readKeyless(o signOptions) (func(context.Context) (attest.Signer, error), error) {
	token, err := a.readToken(o.token)
	if err != nil {
		return nil, err
	}
	if err := token.Valid(a.now()); err != nil {
		return nil, fmt.Errorf("--sign %s: %w", keylessKey, err)
	}
	reg, err := a.openRegistry(registry.Options{})
	if err != nil {
		return nil, err
	}
	way := keyless.Options{Authorize: reg.Authorization, Proxy: reg.Proxy, Agent: "headwater/" + version(), Now: a.now}
	if way.Fulcio, err = authority(reg, registry.Fulcio, o.fulcio); err != nil {
		return nil, err
	}
	if way.Timestamp, err = authority(reg, registry.Timestamp, o.timestamp); err != nil {
		return nil, err
	}
	return func(ctx context.Context) (attest.Signer, error) {
		signer, err := keyless.New(ctx, token, way)
		if err != nil {
			return nil, fmt.Errorf("--sign %s: %w", keylessKey, err)
		}
		return signer, nil
	}, nil
}

// authority is the address of an authority: what its flag says or, without it, registries.yaml.
func authority(reg *registry.Registry, name registry.Authority, flag string) (string, error) {
	address, from := flag, "--"+string(name)
	if address == "" {
		base, ok := reg.Authority(name)
		if !ok {
			return "", &inputError{fmt.Errorf("--sign %s: no address is set for %q", keylessKey, name), fmt.Sprintf("give it by --%s, or name it in ~/.config/headwater/registries.yaml, under %q", name, name)}
		}
		address, from = base.URL, base.From
	}
	if _, err := keyless.ParseAddress(address); err != nil {
		return "", fmt.Errorf("%s: %w", from, err)
	}
	return address, nil
}

// readToken reads the identity token out of a file or, without one, the variable. What it says is in no error, and neither is the name of the
// file, for which somebody may have given the token itself.
func (a *app) readToken(file string) (*keyless.Token, error) {
	if file == "" {
		text := a.getenv(tokenVariable)
		if text == "" {
			return nil, &inputError{fmt.Errorf("--sign %s: there is no identity token", keylessKey), "set " + tokenVariable + " to one, or name a file that has one by --identity-token"}
		}
		token, err := keyless.ParseToken([]byte(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", tokenVariable, err)
		}
		return token, nil
	}
	if _, err := keyless.ParseToken([]byte(file)); err == nil {
		return nil, &inputError{errors.New("--identity-token: that is the token itself, which everybody on this machine can see on a command line"), "name a file that has it, or set " + tokenVariable}
	}
	data, err := readAtMost(file, keyless.MaxToken+1)
	if err != nil {
		var path *fs.PathError
		if errors.As(err, &path) {
			err = path.Err
		}
		return nil, &inputError{fmt.Errorf("--identity-token: %w", err), "name a file that has the token"}
	}
	token, err := keyless.ParseToken(data)
	if err != nil {
		return nil, fmt.Errorf("--identity-token: %w", err)
	}
	return token, nil
}

func readAtMost(file string, limit int64) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, limit))
}
