package difference

import (
	"encoding/binary"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Cause is what is likely to have made a difference.
type Cause string

// The causes. What to do about each is in docs/check.md.
const (
	Time      Cause = "time stamp"      // when it was built
	BuildPath Cause = "build path"      // a folder that the build was in, or a temporary file's name
	Order     Cause = "order"           // the same things, in another order
	RandomID  Cause = "random id"       // a UUID or another random number; or a hash of one
	HostName  Cause = "host name"       // of the machine that built it
	User      Cause = "user"            // name or number of who built it
	Cores     Cause = "processor count" // how many the build could use
	Locale    Cause = "locale"          // language, sorting, decimal comma
	Address   Cause = "memory address"  // where something was in memory
	Kernel    Cause = "kernel"          // its release
	Number    Cause = "number"          // a count, a duration, a process id
	Follows   Cause = "follows"         // from another difference, of which it is a hash
	Unknown   Cause = "unknown"
)

// judge finds causes.
type judge struct{ Conditions }

// pattern is a form of text that tells where it comes from.
type pattern struct {
	re    *regexp.Regexp
	cause Cause
	why   string
}

const (
	days   = `(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*`
	months = `(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*`
	clock  = `\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?`
)

// patterns are tried in this order; the first that covers the difference on both sides tells.
var patterns = []pattern{
	{regexp.MustCompile(`(?i)\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b`), RandomID, "both are UUIDs"},
	{regexp.MustCompile(`\b(?:19|20)\d{2}[-/.](?:0[1-9]|1[0-2])[-/.](?:0[1-9]|[12]\d|3[01])(?:[T _]?` + clock + `)?\s*(?:Z|UTC|GMT|[+-]\d{2}:?\d{2})?`), Time, "both are a date"},
	{regexp.MustCompile(`\b(?:` + days + `,?\s+)?(?:` + months + `\s+\d{1,2}|\d{1,2}[\s-]` + months + `)[,\s-]*(?:\d{2,4}[,\s]*)?(?:` + clock + `)?(?:\s*(?:[A-Z]{3,4}|[+-]\d{4}))?(?:\s+(?:19|20)\d{2})?`), Time, "both are a date"},
	{regexp.MustCompile(`\b(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:[T_.-]?(?:[01]\d|2[0-3])[0-5]\d(?:[0-5]\d)?Z?)?\b`), Time, "both are a date"},
	{regexp.MustCompile(`\b(?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:[.,]\d+)?)?\b`), Time, "both are a time of day"},
	{regexp.MustCompile(`0x[0-9a-fA-F]{6,16}\b`), Address, "both are an address; the kernel places programs at random ones"},
	{regexp.MustCompile(`/nix/store/[0-9a-z]{32}-[^\s"':;,]*`), BuildPath, "they name different store paths"},
	{regexp.MustCompile(`[^\s"'=(<>,;:]*/(?:tmp|build|home|root|workspace|workdir|builds?|private|Users|run/user|nix/var|var/tmp|var/lib)/[^\s"'<>,;]*`), BuildPath, "both are a path of the machine that built it"},
	{regexp.MustCompile(`[\w./+-]*\btmp[.\w-]{4,}[\w./+-]*`), BuildPath, "both are a temporary file's name"},
	{regexp.MustCompile(`\b\d+(?:\.\d+)?\s?(?:ns|us|µs|ms|s|sec|secs|seconds?|min|minutes?)\b`), Time, "both say how long something took"},
}

// text judges two texts of a line that differ: a name, a line, a run of printable bytes.
func (j judge) text(a, b string) (Cause, string) {
	from, toA, toB := middle(a, b)
	for _, p := range patterns {
		x, y := covering(p.re, a, from, toA), covering(p.re, b, from, toB)
		if x != "" && y != "" && x != y {
			return p.cause, fmt.Sprintf("%s: %s and %s", p.why, x, y)
		}
	}
	x, y := word(a, from, toA, "_-.,+"), word(b, from, toB, "_-.,+")
	for _, try := range []func(x, y string) (Cause, string){j.epoch, j.place, j.number, locale} {
		if cause, why := try(x, y); cause != "" {
			return cause, why
		}
	}
	if cause, why := random(word(a, from, toA, ""), word(b, from, toB, "")); cause != "" {
		return cause, why
	}
	if sameTokens(a, b) {
		return Order, "the same words in another order"
	}
	return Unknown, ""
}

// middle is where a and b differ: both are the same up to from, and after their ends. It is of whole runes.
func middle(a, b string) (from, toA, toB int) {
	for from < min(len(a), len(b)) && a[from] == b[from] {
		from++
	}
	toA, toB = len(a), len(b)
	for toA > from && toB > from && a[toA-1] == b[toB-1] {
		toA, toB = toA-1, toB-1
	}
	return from, toA, toB
}

// covering is the match of re that the difference is in, or that it overlaps.
func covering(re *regexp.Regexp, s string, from, to int) string {
	for _, m := range re.FindAllStringIndex(s, -1) {
		if m[0] <= from && to <= m[1] || m[0] < to && from < m[1] {
			return s[m[0]:m[1]]
		}
	}
	return ""
}

// word widens what differs to a whole word, of letters, digits and more.
func word(s string, from, to int, more string) string {
	in := func(c byte) bool {
		return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80 || strings.IndexByte(more, c) >= 0
	}
	for from > 0 && in(s[from-1]) {
		from--
	}
	for to < len(s) && in(s[to]) {
		to++
	}
	return strings.Trim(s[from:to], ".,-+")
}

// near is how far a time stamp may be from when it was made: builds wait, and clocks differ.
const near = 36 * time.Hour

// when tells whether v, in seconds since 1970 or in a fraction of these, is about at t; any time of these decades will do where t is not
// known.
func when(v uint64, t time.Time) (time.Time, bool) {
	for _, unit := range []uint64{1, 1e3, 1e6, 1e9} {
		if v/unit > math.MaxInt32*2 {
			continue
		}
		at := time.Unix(int64(v/unit), 0).UTC()
		if t.IsZero() && at.Year() >= 2010 && at.Year() < 2060 || !t.IsZero() && at.Sub(t).Abs() < near {
			return at, true
		}
	}
	return time.Time{}, false
}

// epoch judges numbers that are times in seconds since 1970.
func (j judge) epoch(x, y string) (Cause, string) {
	x, _, _ = strings.Cut(x, ".")
	y, _, _ = strings.Cut(y, ".")
	if len(x) < 10 || len(y) < 10 {
		return "", ""
	}
	a, errA := strconv.ParseUint(x, 10, 64)
	b, errB := strconv.ParseUint(y, 10, 64)
	if errA != nil || errB != nil {
		return "", ""
	}
	t, okA := when(a, j.Made)
	u, okB := when(b, j.Again)
	if !okA || !okB {
		return "", ""
	}
	return Time, fmt.Sprintf("in seconds since 1970 they are %s and %s, when it was built", t.Format(time.DateTime), u.Format(time.DateTime))
}

// place judges what the second build says of its own machine.
func (j judge) place(x, y string) (Cause, string) {
	userX, hostX, atX := strings.Cut(x, "@")
	userY, hostY, atY := strings.Cut(y, "@")
	switch {
	case x == "" || y == "":
	case atX && atY && hostX != hostY:
		return j.place(hostX, hostY)
	case atX && atY:
		return j.place(userX, userY)
	case slices.Contains(j.Host, y):
		return HostName, fmt.Sprintf("%s is what the sandbox's host is called; the first was built where it is called %s", y, x)
	case slices.Contains(j.User, y):
		return User, fmt.Sprintf("%s is who builds in the sandbox; the first was built by %s", y, x)
	case j.Kernel != "" && y == j.Kernel:
		return Kernel, fmt.Sprintf("%s is the running kernel's release", y)
	}
	return "", ""
}

// maxCores is the largest number that is taken for a count of processors.
const maxCores = 1024

// number judges two numbers.
func (j judge) number(x, y string) (Cause, string) {
	a, errA := strconv.ParseUint(x, 10, 64)
	b, errB := strconv.ParseUint(y, 10, 64)
	switch {
	case errA != nil || errB != nil:
		return "", ""
	case slices.Contains(j.Cores, int(b)) && a > 0 && a <= maxCores:
		return Cores, fmt.Sprintf("%d is how many processors the second build had; the first may have had %d", b, a)
	}
	return Number, "a count, a duration, a process id or a random number"
}

// locale judges two numbers that are written in the ways of two languages.
func locale(x, y string) (Cause, string) {
	plain := func(s string) (string, bool) {
		digits := strings.NewReplacer(".", "", ",", "", "'", "").Replace(s)
		_, err := strconv.ParseUint(digits, 10, 64)
		return digits, err == nil && digits != s
	}
	a, okA := plain(x)
	b, okB := plain(y)
	if a == b && (okA || okB) {
		return Locale, fmt.Sprintf("%s and %s are one number in two languages", x, y)
	}
	return "", ""
}

// random judges words that look like nothing else: long, of hexadecimal or base64 digits.
func random(x, y string) (Cause, string) {
	const least = 8
	if len(x) < least || len(y) < least || strings.ContainsAny(x+y, ",.") {
		return "", ""
	}
	hex := strings.Trim(x+y, "0123456789abcdefABCDEF") == ""
	if !hex && (len(x) < 2*least || len(y) < 2*least || !mixed(x) || !mixed(y)) {
		return "", ""
	}
	same := 0
	for i := range min(len(x), len(y)) {
		if x[i] == y[i] {
			same++
		}
	}
	if same*2 > min(len(x), len(y)) {
		return "", ""
	}
	return RandomID, "both look random: an id, or a hash of what differs elsewhere"
}

// mixed tells whether a word has letters and digits.
func mixed(s string) bool {
	return strings.ContainsFunc(s, unicode.IsDigit) && strings.ContainsFunc(s, unicode.IsLetter)
}

func tokens(s string) []string {
	list := strings.FieldsFunc(s, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("_./-", r)
	})
	slices.Sort(list)
	return list
}

// sameTokens tells whether two texts have the same words.
func sameTokens(a, b string) bool {
	x := tokens(a)
	return len(x) > 1 && slices.Equal(x, tokens(b))
}

// shape is a name without what tells one build's from another's: hashes, ids, numbers.
func shape(name string) string { return hashed.ReplaceAllString(name, "*") }

var hashed = regexp.MustCompile(`[0-9A-Za-z]*\d[0-9A-Za-z]*|[0-9A-Z_a-z-]{20,}`)

// stamp judges four or eight bytes that are a time in seconds since 1970, in whichever order. at is where the bytes differ first.
func (j judge) stamp(a, b []byte, at int) (Cause, string) {
	if j.Again.IsZero() {
		return "", "" // any four bytes are some time
	}
	for start := max(at-3, 0); start <= at; start++ {
		if start+4 > len(a) || start+4 > len(b) {
			break
		}
		for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
			t, okA := when(uint64(order.Uint32(a[start:])), j.Made)
			u, okB := when(uint64(order.Uint32(b[start:])), j.Again)
			if okA && okB && !t.Equal(u) {
				return Time, fmt.Sprintf("as a number of four bytes they are %s and %s, when it was built", t.Format(time.DateTime), u.Format(time.DateTime))
			}
		}
	}
	return "", ""
}

// identifier judges sixteen random bytes of which some bits are not (RFC 9562, section 5.4), and a linker's build id.
func identifier(a, b []byte, from, to int) (Cause, string) {
	if i := strings.LastIndex(string(a[max(from-64, 0):from]), "GNU\x00"); i >= 0 && to-from <= 20 {
		return Follows, "it is a build id, a hash of the whole program"
	}
	for start := max(from-15, 0); start <= from && start+16 <= min(len(a), len(b)); start++ {
		if to > start+16 || to-from < 8 {
			continue
		}
		version := func(s []byte) bool { return s[start+6]>>4 == 4 && s[start+8]>>6 == 2 }
		if version(a) && version(b) {
			return RandomID, "both are the bytes of a random UUID"
		}
	}
	return "", ""
}
