package node

import (
	"bytes"
	"path"
	"regexp"
	"strconv"
	"strings"

	"headwater/internal/plan"
)

// oldWebpack finds webpack 4 in a lock of any manager: it hashes by MD4, which OpenSSL 3 has only among its legacy algorithms.
var oldWebpack = regexp.MustCompile(`(?m)^"?webpack@[^\n]*:\n\s+version:? "?4\.|"node_modules/webpack": \{\s*"version": "4\.|^\s+'?/?webpack[@/]4\.`)

// legacyHash lets webpack 4 hash as it does with Node.js 17 and later, whose OpenSSL is that one: a build ends in an error without, so whoever
// builds the upstream's does the same somewhere.
func (p planner) legacyHash(b *plan.Build, f found) {
	const option = "--openssl-legacy-provider"
	major, _, _ := strings.Cut(b.Toolchains["node"].Value, ".")
	if n, err := strconv.Atoi(major); err != nil || n < 17 || strings.Contains(b.Env["NODE_OPTIONS"], option) {
		return
	}
	name := path.Join(f.top, f.lock)
	data, err := p.Tree.Read(name)
	if err != nil {
		return // there is none
	}
	at := oldWebpack.FindIndex(data)
	if at == nil {
		return
	}
	b.Env["NODE_OPTIONS"] = strings.TrimSpace(b.Env["NODE_OPTIONS"] + " " + option)
	p.Notes.Remark("webpack 4 hashes as only Node.js 16 and older do by themselves, so NODE_OPTIONS has "+option, plan.Evidence{File: name, Line: 1 + bytes.Count(data[:at[0]], []byte("\n"))})
}
