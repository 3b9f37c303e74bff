package verify

import (
	"net/url"

	"headwater/internal/proof"
	"headwater/internal/recipe"
)

// For the external tests.

func CausesIn(r *recipe.Recipe, text string) []proof.Cause { return causesIn(r, text) }

func Settings(r *recipe.Recipe, text string) []proof.Cause { return settings(r, text) }

func TokenCauses(findings []proof.Finding) []proof.Cause { return tokenCauses(findings) }

func Pointer(body []byte, p string) (string, error) { return pointer(body, p) }

func Assets(at *url.URL, body []byte) []*url.URL { return assets(at, body) }

func Suspicious(line string) bool { return newFaults().in(line) }

// BrokenPage is brokenPage.
func BrokenPage(problems []string) []proof.Cause { return brokenPage(problems) }
