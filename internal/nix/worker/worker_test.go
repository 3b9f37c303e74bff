package worker_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"headwater/internal/nix"
	"headwater/internal/nix/worker"
)

// script is what a daemon says: numbers, strings and raw bytes, encoded as the specification has it.
type script []any

func (s script) bytes() []byte {
	var b []byte
	for _, v := range s {
		switch v := v.(type) {
		case int:
			b = binary.LittleEndian.AppendUint64(b, uint64(v))
		case uint64:
			b = binary.LittleEndian.AppendUint64(b, v)
		case string:
			b = binary.LittleEndian.AppendUint64(b, uint64(len(v)))
			b = append(append(b, v...), make([]byte, -len(v)&7)...)
		case []byte:
			b = append(b, v...)
		}
	}
	return b
}

const (
	daemonMagic = 0x6478696f
	last        = 0x616c7473
	next        = 0x6f6c6d67
	failed      = 0x63787470
	start       = 0x53545254
	stop        = 0x53544f50
	tell        = 0x52534c54
)

// hello is how daemons of the versions greet.
func hello(version int) script {
	s := script{daemonMagic, version}
	if version >= 0x126 {
		s = append(s, 1, "a-feature")
	}
	s = append(s, "2.99")
	if version >= 0x123 {
		s = append(s, 2) // not trusted
	}
	return append(s, last)
}

// fake is a connection to a daemon that says what it says, whatever it is asked.
type fake struct {
	io.Reader
	written bytes.Buffer
	closed  bool
}

func (f *fake) Write(b []byte) (int, error) { return f.written.Write(b) }
func (f *fake) Close() error                { f.closed = true; return nil }

func says(s ...script) *fake {
	var b []byte
	for _, s := range s {
		b = append(b, s.bytes()...)
	}
	return &fake{Reader: bytes.NewReader(b)}
}

const somePath = nix.StorePath("/nix/store/00000000000000000000000000000000-a")

func open(t *testing.T, conn io.ReadWriteCloser, sink func(worker.Message)) *worker.Client {
	t.Helper()
	c, err := worker.New(t.Context(), conn, sink)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func ignore(worker.Message) {}

func TestGreets(t *testing.T) {
	for _, c := range []struct {
		version int
		want    worker.Daemon
	}{
		{0x122, worker.Daemon{Protocol: worker.Version{1, 34}, Nix: "2.99", Trust: worker.TrustUnknown}},
		{0x123, worker.Daemon{Protocol: worker.Version{1, 35}, Nix: "2.99", Trust: worker.NotTrusted}},
		{0x126, worker.Daemon{Protocol: worker.Version{1, 38}, Nix: "2.99", Trust: worker.NotTrusted}},
		{0x199, worker.Daemon{Protocol: worker.Version{1, 38}, Nix: "2.99", Trust: worker.NotTrusted}},
	} {
		conn := says(hello(c.version))
		if d := cmp.Diff(c.want, open(t, conn, ignore).Daemon()); d != "" {
			t.Error(d)
		}
		want := script{0x6e697863, 0x126}
		if c.version >= 0x126 {
			want = append(want, 0)
		}
		if d := cmp.Diff(append(want, 0, 0).bytes(), conn.written.Bytes()); d != "" {
			t.Error(d)
		}
	}
}

func TestRefusesToGreet(t *testing.T) {
	for _, c := range []struct {
		said script
		want string
	}{
		{script{daemonMagic, 0x121}, "speaks version 1.33 of the worker protocol; 1.34 or a later 1.x is needed"},
		{script{daemonMagic, 0x222}, "version 2.34"},
		{script{daemonMagic, uint64(1 << 63)}, "protocol version is 9223372036854775808"},
		{script{[]byte("Welcome to host.example!\nbash: nix-daemon: not found\n")}, `it says "Welcome to host.example!\nbash: nix-daemon: not found\n"`},
		{script{[]byte("no")}, `it says "no"`},
		{script{}, "hung up: EOF"},
		{script{daemonMagic}, "hung up"},
		{append(hello(0x123)[:3], 3), "trust is 3, more than 2"},
		{append(hello(0x122)[:3], failed, "Error", 0, "Error", "user 'x' is not allowed", 0, 0), "user 'x' is not allowed"},
	} {
		conn := says(c.said)
		_, err := worker.New(t.Context(), conn, ignore)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want %q", err, c.want)
		}
		if !conn.closed {
			t.Errorf("%v: the connection stays open", err)
		}
	}
	var version *worker.VersionError
	if _, err := worker.New(t.Context(), says(script{daemonMagic, 0x10a}), ignore); !errors.As(err, &version) || !strings.Contains(version.Hint(), "2.8") {
		t.Errorf("error %v", err)
	}
}

func TestMessages(t *testing.T) {
	var got []worker.Message
	conn := says(hello(0x126), script{
		next, "\x1b[31;1mwarning:\x1b[0m be\x1b[Kware\n",
		start, 7, 3, 105, "building", 3, 1, "/nix/store/x.drv", 1, "", 0, 1, 6,
		tell, 7, 101, 1, 1, "\x1b[32mline",
		tell, 7, 9999, 0,
		start, 8, 3, 9999, "", 0, 0,
		stop, 7,
		last, 0})
	c := open(t, conn, func(m worker.Message) { got = append(got, m) })
	if _, err := c.QueryValidPaths(t.Context(), nil, false); err != nil {
		t.Fatal(err)
	}
	want := []worker.Message{
		worker.Log{Text: "warning: beware"},
		worker.Start{ID: 7, Type: worker.Build, Text: "building", Fields: []worker.Field{{Text: "/nix/store/x.drv", IsText: true}, {IsText: true}, {Number: 1}}, Parent: 6},
		worker.Tell{ID: 7, Type: worker.LogLine, Fields: []worker.Field{{Text: "\x1b[32mline", IsText: true}}},
		worker.Tell{ID: 7, Type: 9999},
		worker.Start{ID: 8, Type: 9999},
		worker.Stop{ID: 7},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// After an error that the daemon answers with, the connection goes on; after any other it is closed for good.
func TestErrors(t *testing.T) {
	conn := says(hello(0x126), script{failed, "Error", 0, "Error", "\x1b[1mno\x1b[0m such thing\n", 0, 1, 0, "while trying", last, 1, string(somePath)})
	c := open(t, conn, ignore)
	_, err := c.QueryValidPaths(t.Context(), nil, false)
	var remote *worker.RemoteError
	if !errors.As(err, &remote) || remote.Text != "no such thing" {
		t.Errorf("error %v", err)
	}
	valid, err := c.QueryValidPaths(t.Context(), nil, true)
	if d := cmp.Diff([]nix.StorePath{somePath}, valid); d != "" || err != nil {
		t.Error(d, err)
	}
	for range 2 {
		var protocol *worker.ProtocolError
		if _, err := c.QueryValidPaths(t.Context(), nil, true); !errors.As(err, &protocol) || !errors.Is(err, io.EOF) {
			t.Errorf("error %v", err)
		}
		if !conn.closed {
			t.Error("the connection stays open")
		}
	}
}

// operations are all, each with an answer that is right, as the versions give it.
func operations(version int) map[string]operation {
	info := script{"", strings.Repeat("ab", 32), 1, string(somePath), 1700000000, 5, 1, 1, "key:sig", "fixed:r:sha256:" + nix.Sum(nix.SHA256, nil).Base32()}
	result := script{string(somePath) + ".drv!out,doc", 3, "\x1b[31mbad", 1, 0, 100, 200}
	if version >= 0x125 {
		result = append(result, 0, 1, 55)
	}
	result = append(result, 1, "sha256:00!out", `{"outPath":"x"}`)
	return map[string]operation{
		"set options": {script{last}, func(ctx context.Context, c *worker.Client) (any, error) {
			return nil, c.SetOptions(ctx, worker.Settings{MaxJobs: 3, Cores: 2, KeepGoing: true, Timeout: 1500 * time.Millisecond, Extra: map[string]string{"a": "b"}})
		}, nil},
		"add temporary roots": {script{last, 1, last, 1}, func(ctx context.Context, c *worker.Client) (any, error) {
			return nil, c.AddTempRoots(ctx, []nix.StorePath{somePath, somePath})
		}, nil},
		"query path infos": {append(script{last, 0, last, 1}, info...), func(ctx context.Context, c *worker.Client) (any, error) {
			infos, err := c.QueryPathInfos(ctx, []nix.StorePath{somePath, somePath})
			if err != nil {
				return nil, err
			}
			return []any{infos[0] == nil, infos[1]}, nil
		}, []any{true, &worker.PathInfo{Path: somePath, NARHash: must(nix.ParseHash(nix.SHA256, strings.Repeat("ab", 32))), NARSize: 5, Refs: []nix.StorePath{somePath},
			RegistrationTime: 1700000000, Ultimate: true, Sigs: []string{"key:sig"}, CA: nix.ContentAddress{Method: nix.NAR, Hash: nix.Sum(nix.SHA256, nil)}}}},
		"send NAR": {script{last, []byte("hello")}, func(ctx context.Context, c *worker.Client) (any, error) {
			var text string
			err := c.NARFromPath(ctx, somePath, 5, func(r io.Reader) error {
				b := make([]byte, 2) // the rest is read over
				_, err := io.ReadFull(r, b)
				text = string(b)
				return err
			})
			return text, err
		}, "he"},
		"add to the store": {script{next, "fine", last}, func(ctx context.Context, c *worker.Client) (any, error) {
			return nil, c.AddMultiple(ctx, []worker.Object{{Info: worker.PathInfo{Path: somePath, NARSize: 5}, Write: func(w io.Writer) error {
				_, err := io.WriteString(w, "hello")
				return err
			}}}, false)
		}, nil},
		"build": {append(script{last, 1}, result...), func(ctx context.Context, c *worker.Client) (any, error) {
			return c.BuildPaths(ctx, []worker.Target{{Drv: somePath + ".drv", Outputs: []string{"doc", "out"}}}, worker.Check)
		}, []worker.Result{{Drv: somePath + ".drv", Status: worker.PermanentFailure, Text: "bad"}}},
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

type operation struct {
	answer script
	do     func(context.Context, *worker.Client) (any, error)
	want   any
}

var equalHashes = cmp.Comparer(func(x, y nix.Hash) bool { return x == y })

func TestOperations(t *testing.T) {
	for _, version := range []int{0x122, 0x125, 0x126} {
		for name, op := range operations(version) {
			c := open(t, says(hello(version), op.answer), ignore)
			got, err := op.do(t.Context(), c)
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if want := op.want; want != nil {
				if d := cmp.Diff(want, got, equalHashes); d != "" {
					t.Errorf("%s: %s", name, d)
				}
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// Wherever the daemon hangs up, the operation fails, says so, and closes the connection.
func TestDaemonHangsUp(t *testing.T) {
	for name, op := range operations(0x126) {
		whole := op.answer.bytes()
		for n := range len(whole) {
			conn := says(hello(0x126), script{whole[:n]})
			_, err := op.do(t.Context(), open(t, conn, ignore))
			var protocol *worker.ProtocolError
			if !errors.As(err, &protocol) || protocol.Operation != name || !strings.Contains(err.Error(), "hung up") || !conn.closed {
				t.Errorf("%s, after %d bytes: %v", name, n, err)
			}
		}
	}
	for _, version := range []int{0x122, 0x126} {
		whole := hello(version).bytes()
		for n := range len(whole) {
			if _, err := worker.New(t.Context(), says(script{whole[:n]}), ignore); err == nil || n >= 8 && !strings.Contains(err.Error(), "hung up") {
				t.Errorf("greeting, after %d bytes: %v", n, err)
			}
		}
	}
}

// What is not the protocol is an error that says what is wrong.
func TestWrongBytes(t *testing.T) {
	const huge = uint64(1) << 60
	answer := operations(0x126)
	for _, c := range []struct {
		op   string
		said script
		want string
	}{
		{"build", script{0x1234}, "unknown message 0x1234"},
		{"build", script{0x64617461, 5}, "message 0x64617461"},
		{"build", script{next, huge}, "length of a text is 1152921504606846976"},
		{"build", script{next, uint64(5), []byte("hello\x00\x00\x01")}, "padding of a string is not zero"},
		{"build", script{start, 1, 1, 1, "", 1, 2, 1}, "unknown kind 2 of a message's field"},
		{"build", script{start, 1, 1, 1, "", huge}, "length of a list is"},
		{"build", script{failed, "Error", 0, "", "text", 1}, "position of an error is 1"},
		{"build", script{last, huge}, "length of a list is"},
		{"build", script{last, 1, "/etc/passwd"}, "not in /nix/store"},
		{"build", script{last, 1, string(somePath) + "!out", 15}, "status of a build is 15"},
		{"build", script{last, 1, string(somePath) + "!out", 0, "", 0, 0, 0, 0, 2}, "tag of an optional number is 2"},
		{"query path infos", script{last, 1, "x"}, "not in /nix/store"},
		{"query path infos", script{last, 1, "", "abc"}, "wrong length 3"},
		{"query path infos", script{last, 1, "", strings.Repeat("ab", 32), 0, 0, huge * 8}, "NAR size is"},
		{"query path infos", script{last, 1, "", strings.Repeat("ab", 32), 0, 0, 1, 0, 0, "what:ever"}, "content address"},
		{"query path infos", script{last, 1, uint64(1 << 17)}, "length of a string is"},
	} {
		conn := says(hello(0x126), c.said, script{make([]byte, 1<<10)})
		_, err := answer[c.op].do(t.Context(), open(t, conn, ignore))
		var protocol *worker.ProtocolError
		if !errors.As(err, &protocol) || !strings.Contains(err.Error(), c.want) || !conn.closed {
			t.Errorf("error %v, want %q", err, c.want)
		}
	}
}

// endless is a stream without end.
type endless byte

func (e endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(e)
	}
	return len(b), nil
}

// A text that is too long for memory is cut, and an endless one is refused before it is read.
func TestLongTexts(t *testing.T) {
	var got worker.Log
	const size = 100 << 20
	conn := &fake{Reader: io.MultiReader(
		says(hello(0x126), script{next, size}), io.LimitReader(endless('x'), size), says(script{last, 0}))}
	c := open(t, conn, func(m worker.Message) { got = m.(worker.Log) })
	if _, err := c.QueryValidPaths(t.Context(), nil, false); err != nil {
		t.Fatal(err)
	}
	if len(got.Text) != 1<<20 {
		t.Errorf("%d bytes", len(got.Text))
	}
	conn = &fake{Reader: io.MultiReader(says(hello(0x126)), endless(0xff))}
	if _, err := open(t, conn, ignore).QueryValidPaths(t.Context(), nil, false); err == nil {
		t.Error("no error")
	}
}

// Requests are what the specification says.
func TestRequests(t *testing.T) {
	const p = string(somePath)
	infos := script{p, "", nix.Sum(nix.SHA256, nil).Base16(), 1, p, 0, 5, 0, 0, "text:" + nix.Sum(nix.SHA256, nil).String()}
	stream := append(append(script{1}, infos...), []byte("hello")).bytes()
	for _, c := range []struct {
		do     func(context.Context, *worker.Client) error
		answer script
		want   script
	}{
		{func(ctx context.Context, c *worker.Client) error {
			_, err := c.QueryValidPaths(ctx, []nix.StorePath{somePath}, true)
			return err
		}, script{last, 0}, script{31, 1, p, 1}},
		{func(ctx context.Context, c *worker.Client) error {
			return c.SetOptions(ctx, worker.Settings{KeepGoing: true, MaxJobs: 3, Cores: 2, MaxSilent: 1, Timeout: 1500 * time.Millisecond, Substitute: true, Extra: map[string]string{"z": "1", "a": "2"}})
		}, script{last}, script{19, 0, 1, 0, 1, 3, 1, 1, 7, 0, 0, 2, 1, 3, "a", "2", "timeout", "2", "z", "1"}},
		{func(ctx context.Context, c *worker.Client) error {
			_, err := c.BuildPaths(ctx, []worker.Target{{Drv: somePath, Outputs: []string{"doc", "out"}}}, worker.Check)
			return err
		}, script{last, 0}, script{46, 1, p + "!doc,out", 2}},
		{func(ctx context.Context, c *worker.Client) error {
			return c.AddMultiple(ctx, []worker.Object{{
				Info: worker.PathInfo{Path: somePath, NARHash: nix.Sum(nix.SHA256, nil), NARSize: 5, Refs: []nix.StorePath{somePath},
					CA: nix.ContentAddress{Method: nix.Text, Hash: nix.Sum(nix.SHA256, nil)}},
				Write: func(w io.Writer) error { _, err := io.WriteString(w, "hello"); return err },
			}}, false)
		}, script{last}, script{44, 0, 0, len(stream), stream, 0}},
		{func(ctx context.Context, c *worker.Client) error {
			return c.NARFromPath(ctx, somePath, 0, func(io.Reader) error { return nil })
		}, script{last}, script{38, p}},
	} {
		conn := says(hello(0x126), c.answer)
		client := open(t, conn, ignore)
		conn.written.Reset()
		if err := c.do(t.Context(), client); err != nil {
			t.Error(err)
		}
		if d := cmp.Diff(c.want.bytes(), conn.written.Bytes()); d != "" {
			t.Error(d)
		}
	}
}

// An error in the middle of an upload ends it, though the daemon reads no more.
func TestUploadIsRefused(t *testing.T) {
	ours, theirs := net.Pipe()
	go func() {
		theirs.Write(hello(0x122).bytes())
		io.ReadFull(theirs, make([]byte, 100))
		theirs.Write(script{failed, "Error", 0, "Error", "disk is full", 0, 0}.bytes())
	}()
	go io.CopyN(io.Discard, theirs, 32) // the greeting
	c, err := worker.New(t.Context(), ours, ignore)
	if err != nil {
		t.Fatal(err)
	}
	err = c.AddMultiple(t.Context(), []worker.Object{{Info: worker.PathInfo{Path: somePath, NARSize: 1 << 40}, Write: func(w io.Writer) error {
		_, err := io.CopyN(w, endless(0), 1<<40)
		return err
	}}}, false)
	var remote *worker.RemoteError
	if !errors.As(err, &remote) || remote.Text != "disk is full" {
		t.Errorf("error %v", err)
	}
	if _, err := c.QueryValidPaths(t.Context(), nil, false); err == nil {
		t.Error("the connection is still used")
	}
}

// An object that is not as long as it says is our own fault, and not sent to its end.
func TestUploadOfWrongLength(t *testing.T) {
	c := open(t, says(hello(0x126), script{last}), ignore)
	err := c.AddMultiple(t.Context(), []worker.Object{{Info: worker.PathInfo{Path: somePath, NARSize: 4}, Write: func(w io.Writer) error {
		_, err := io.WriteString(w, "hello")
		return err
	}}}, false)
	if err == nil || !strings.Contains(err.Error(), "has 5 bytes, want 4") {
		t.Errorf("error %v", err)
	}
}

func TestCancel(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	go theirs.Write(hello(0x122).bytes())
	go io.Copy(io.Discard, theirs)
	c, err := worker.New(t.Context(), ours, ignore)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	time.AfterFunc(10*time.Millisecond, func() { cancel(why) })
	if _, err := c.BuildPaths(ctx, nil, worker.Normal); !errors.Is(err, why) {
		t.Errorf("error %v", err)
	}
}

// Any number of requests at once gets its answers in order.
func TestBatches(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		valid := rapid.SliceOfN(rapid.Bool(), 0, 300).Draw(rt, "valid")
		s := script{}
		for _, v := range valid {
			s = append(s, last)
			if v {
				s = append(s, 1, "", strings.Repeat("00", 32), 0, 0, 1, 0, 0, "")
			} else {
				s = append(s, 0)
			}
		}
		c := open(t, says(hello(0x126), s), ignore)
		infos, err := c.QueryPathInfos(t.Context(), make([]nix.StorePath, len(valid)))
		if err != nil {
			rt.Fatal(err)
		}
		for i, info := range infos {
			if (info != nil) != valid[i] {
				rt.Errorf("path %d: %v", i, info)
			}
		}
	})
}

// FuzzDaemon has a daemon say anything at all: no operation panics, none believes a length, and each ends.
func FuzzDaemon(f *testing.F) {
	for _, version := range []int{0x122, 0x126} {
		for _, op := range operations(version) {
			f.Add(append(hello(version), op.answer...).bytes())
		}
	}
	f.Add(append(hello(0x126), next, "text", start, 1, 1, 1, "t", 1, 0, 1, 0, tell, 1, 1, 1, 1, "t", stop, 1, failed, "", 0, "", "t", 0, 1, 0, "t").bytes())
	f.Fuzz(func(t *testing.T, said []byte) {
		for _, op := range operations(0x126) {
			c, err := worker.New(t.Context(), &fake{Reader: bytes.NewReader(said)}, ignore)
			if err != nil {
				return
			}
			_, err = op.do(t.Context(), c)
			var remote *worker.RemoteError
			var protocol *worker.ProtocolError
			if err != nil && !errors.As(err, &remote) && !errors.As(err, &protocol) {
				t.Errorf("error %v is of no known kind", err)
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}
