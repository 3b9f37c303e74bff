// Package proof is the record of a verification: what was verified, what was done, what was seen, and how long it took.
//
// A record is JSON of a fixed shape with no host's name or path in it, and its encoding is a function of its content, so that it can be
// signed, and compared with the next one's.
//
//	data, err := record.Encode()
//	record, err := proof.Decode(data)
package proof

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// Format is the version of the record that this package reads and writes.
const Format = 1

// MaxSize is the largest record that Decode reads, in bytes.
const MaxSize = 16 << 20

// Record is a whole verification.
type Record struct {
	Format  int       `json:"proof"` // version of the record's format: 1
	Service string    `json:"service"`
	Release string    `json:"release"`
	Package string    `json:"package,omitempty"` // store path, "" where an address was verified
	URL     string    `json:"url,omitempty"`     // the address that was verified, "" where a package was started
	Lock    string    `json:"lock,omitempty"`    // "sha256:" and the hexadecimal digest of headwater.lock
	Recipe  string    `json:"recipe"`            // the same, of headwater.yaml
	From    string    `json:"from,omitempty"`    // the older release whose data was upgraded, "" if none
	Started time.Time `json:"started"`           // UTC
	Took    Millis    `json:"took"`
	Passed  bool      `json:"passed"`

	Checks    []Check   `json:"checks"` // in the order in which they ended
	Processes []Process `json:"processes,omitempty"`
	Notes     []string  `json:"notes,omitempty"` // what was not verified, and why
}

// Millis is a time span, in milliseconds in JSON.
type Millis time.Duration

// MarshalJSON writes whole milliseconds.
func (m Millis) MarshalJSON() ([]byte, error) {
	return json.Marshal(time.Duration(m).Milliseconds())
}

// UnmarshalJSON reads milliseconds.
func (m *Millis) UnmarshalJSON(b []byte) error {
	var n int64
	if err := json.Unmarshal(b, &n); err != nil {
		return err
	}
	*m = Millis(time.Duration(n) * time.Millisecond)
	return nil
}

// Stage says at which point of a verification something was checked.
type Stage string

// The stages, in order.
const (
	Start     Stage = "start"      // services, migrations of an empty database, processes, health
	Checks    Stage = "checks"     // the recipe's checks
	Remigrate Stage = "re-migrate" // migrations again, where nothing is to be done
	Stop      Stage = "stop"
	Restart   Stage = "restart" // on the same data
	Upgrade   Stage = "upgrade" // of an older release's data
	Audit     Stage = "audit"   // of what was left: logs, processes
)

// Check is one thing that was looked at.
type Check struct {
	Stage    Stage     `json:"stage"`
	Name     string    `json:"name"`
	Kind     string    `json:"kind"` // "start", "migrate", "health", "request", "browser", "oauth2", "stop", "audit", "limit"
	OK       bool      `json:"ok"`
	At       Millis    `json:"at"` // since Record.Started
	Took     Millis    `json:"took"`
	Findings []Finding `json:"findings,omitempty"` // of a check that looks at several things
	Shots    []Shot    `json:"screenshots,omitempty"`
	Failure  *Failure  `json:"failure,omitempty"` // set if and only if not OK
}

// Finding is one of the things that a check looks at.
type Finding struct {
	Name     string `json:"name"`
	OK       bool   `json:"ok"`
	Expected string `json:"expected,omitempty"`
	Seen     string `json:"seen,omitempty"`
	Took     Millis `json:"took"`
}

// Shot is a screenshot.
type Shot struct {
	Title  string `json:"title"`
	SHA256 string `json:"sha256"` // hexadecimal, of the PNG
}

// Failure tells why a check failed.
type Failure struct {
	Expected string   `json:"expected"`
	Seen     string   `json:"seen"`
	Process  string   `json:"process,omitempty"` // whose log Log is from
	Log      []string `json:"log,omitempty"`     // its last lines
	Causes   []Cause  `json:"causes,omitempty"`  // likely ones, the likeliest first
}

// Cause is a known class of faults that what was seen speaks for.
type Cause struct {
	Class  string `json:"class"`            // "missing file", "read-only file system", …
	Text   string `json:"text"`             // what is the matter, with its evidence
	Change string `json:"change,omitempty"` // the recipe's key to look at: "package.env.TMPDIR"
	Line   int    `json:"line,omitempty"`   // where that is in headwater.yaml, 0 if it is not there
}

// Process is a process of the service, and what it took.
type Process struct {
	Name       string `json:"name"`
	Starts     int    `json:"starts"`               // how often it was started
	Ready      Millis `json:"ready,omitempty"`      // from its first start until it was healthy; 0 if it has no health check
	PeakMemory int64  `json:"peakMemory"`           // bytes (proportional set size, all of its children), as far as it was looked at
	StopStatus *int   `json:"stopStatus,omitempty"` // exit status once it was asked to end, nil if it was not
}

// Failed lists the checks that failed.
func (r *Record) Failed() []Check {
	var list []Check
	for _, c := range r.Checks {
		if !c.OK {
			list = append(list, c)
		}
	}
	return list
}

// Encode gives the record's bytes: indented JSON, by the order of the types' fields, with a line end.
func (r *Record) Encode() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(r); err != nil {
		return nil, fmt.Errorf("encode proof: %w", err)
	}
	return b.Bytes(), nil
}

// Decode reads a record. Unknown keys, another format and a verdict that the checks do not bear out are errors.
func Decode(data []byte) (*Record, error) {
	if len(data) > MaxSize {
		return nil, fmt.Errorf("read proof: %d bytes, more than %d", len(data), MaxSize)
	}
	var version struct {
		Format int `json:"proof"`
	}
	if err := json.Unmarshal(data, &version); err != nil {
		return nil, fmt.Errorf("read proof: %w", err)
	}
	if version.Format != Format {
		return nil, fmt.Errorf("read proof: format %d, this program reads %d", version.Format, Format)
	}
	r := new(Record)
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(r); err != nil {
		return nil, fmt.Errorf("read proof: %w", err)
	}
	if err := dec.Decode(new(json.RawMessage)); err != io.EOF {
		return nil, errors.New("read proof: more than one record in the file")
	}
	for _, c := range r.Checks {
		if c.OK != (c.Failure == nil) {
			return nil, fmt.Errorf("read proof: check %q: a failure is told of what failed, and only of that", c.Name)
		}
	}
	if r.Passed != (len(r.Failed()) == 0 && len(r.Checks) > 0) {
		return nil, errors.New("read proof: the verdict is not what the checks say")
	}
	return r, nil
}
