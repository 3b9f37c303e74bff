package verify

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"headwater/internal/proof"
	"headwater/internal/recipe"
)

// RemoteConfig says which service to look at, and by what it is known.
type RemoteConfig struct {
	Release Release       // its launcher is not needed; of its roots only the browser's is
	URL     string        // where the service's front process is: "https://sign-in.example"
	Vars    []string      // NAME=value: what ${NAME} in checks stands for, beside the recipe's environment
	Work    string        // as Config.Work
	Step    time.Duration // how long one check may take; 0 means DefaultLimits'
	Events  func(Event)
}

// AddressError says that an address cannot be verified.
type AddressError struct{ Text string }

func (e *AddressError) Error() string {
	return fmt.Sprintf("%q is no address of a service: want https://HOST or http://HOST", e.Text)
}

// Remote does the recipe's checks against a service that runs already, and its health check and front page. All processes are taken to be at its
// address. Nothing is started, stopped or migrated.
func Remote(ctx context.Context, c RemoteConfig) (*Result, error) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return nil, &AddressError{c.URL}
	}
	r, err := recipe.Parse(c.Release.Recipe)
	if err != nil {
		return nil, err
	}
	if c.Step == 0 {
		c.Step = DefaultLimits().Step
	}
	unlock, err := prepare(c.Work)
	if err != nil {
		return nil, fmt.Errorf("verify %s: %w", c.URL, err)
	}
	defer unlock()
	base := strings.TrimSuffix(u.String(), "/")
	d := &driver{
		journal: journal{began: clock(), tell: c.Events, secrets: new(secrets)}, recipe: r,
		plan: plan{Release: c.Release, Work: c.Work, Limits: Limits{Step: c.Step}},
	}
	d.checker = newChecker(r, d.secrets, c.Work, c.Release.Roots)
	d.checker.base, d.checker.limit = func(string) string { return base }, c.Step
	for k, v := range r.Package.Env {
		d.checker.vars[k] = v
	}
	for _, kv := range c.Vars {
		name, v, _ := strings.Cut(kv, "=")
		d.checker.vars[name] = v
		if secretName(name) {
			d.secrets.add(v)
		}
	}
	err = d.remote(ctx, base)
	if closeErr := d.checker.close(); closeErr != nil {
		d.notes = append(d.notes, "close the browser: "+closeErr.Error())
	}
	if err := os.RemoveAll(filepath.Join(c.Work, stateDir)); err != nil { // the browser's profile
		d.notes = append(d.notes, err.Error())
	}
	d.notes = append(d.notes, "the service runs elsewhere: start, migrations, stop and logs were not looked at")
	if err != nil {
		return nil, fmt.Errorf("verify %s: %w", c.URL, context.Cause(ctx))
	}
	return d.result(), nil
}

func (d *driver) remote(ctx context.Context, base string) error {
	if p := d.recipe.Package.Processes[d.recipe.Front()]; p.Health != "" {
		_, err := d.check(ctx, d.plan.Limits.Step, proof.Check{Stage: proof.Start, Name: d.recipe.Front() + " is healthy", Kind: "health"}, func(ctx context.Context) outcome {
			return d.checker.request(ctx, base, recipe.Request{Path: p.Health})
		})
		if err != nil {
			return err
		}
	}
	return d.allChecks(ctx, proof.Checks, anyCheck)
}
