package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"headwater/internal/nix"
	"headwater/internal/nix/nar"
	"headwater/internal/nix/narinfo"
	"headwater/internal/store"
)

// ServeOptions say what is served. Store is required.
type ServeOptions struct {
	Store       *store.Store
	Key         *narinfo.SecretKey // signs what is served; nil: only the signatures that the store has are there
	Compression Compression        // of NARs, Zstd or None; default Zstd
	Streams     int                // NARs sent at a time, others wait; default 64
	Stall       time.Duration      // a client that takes nothing for so long is given up; default 1 minute
	// Log finds a derivation's build log on this machine; nil: none is served.
	Log func(nix.StorePath) string
}

// Handler serves a store as a binary cache: narinfos and NARs are made as they are asked for. NARs can also be had
// uncompressed, in ranges, or compressed on the way, as HTTP has it (Accept-Encoding: zstd).
func Handler(o ServeOptions) http.Handler {
	def(&o.Compression, Zstd)
	def(&o.Streams, 64)
	def(&o.Stall, time.Minute)
	s := &server{ServeOptions: o, streams: make(chan struct{}, o.Streams), compressor: compressor{compression: Zstd}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /"+infoName, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/x-nix-cache-info")
		io.WriteString(w, infoText) // a client that has gone needs no answer
	})
	mux.HandleFunc("GET /{name}", s.narinfo)
	mux.HandleFunc("GET /nar/{name}", s.nar)
	mux.HandleFunc("GET /log/{name}", s.log)
	return mux
}

type server struct {
	ServeOptions
	streams    chan struct{}
	compressor compressor
}

// narinfo answers /<digest>.narinfo.
func (s *server) narinfo(w http.ResponseWriter, r *http.Request) {
	digest, ok := strings.CutSuffix(r.PathValue("name"), narinfoExt)
	if !ok || !isDigest(digest) {
		http.NotFound(w, r)
		return
	}
	in, ok := s.find(w, r, digest)
	if !ok {
		return
	}
	// The name has both the path's digest, to find it, and the hash, so that what is at an address never changes.
	info := &narinfo.Info{
		Path: in.Path, URL: "nar/" + digest + "-" + in.NARHash.Base32() + ".nar" + s.Compression.suffix(), Compression: string(s.Compression),
		NARHash: in.NARHash, NARSize: in.NARSize, Refs: in.Refs, Deriver: in.Deriver, Sigs: in.Sigs, CA: in.CA,
	}
	if s.Compression == None {
		info.FileHash, info.FileSize = in.NARHash, in.NARSize
	}
	if s.Key != nil {
		info.Sign(*s.Key)
	}
	text := info.Marshal()
	w.Header().Set("Content-Type", narinfoType)
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.Write(text) // a client that has gone needs no answer
}

func isDigest(s string) bool { return len(s) == 32 && nix.IsBase32(s) }

// find looks a valid path up; if there is none it has answered.
func (s *server) find(w http.ResponseWriter, r *http.Request, digest string) (store.PathInfo, bool) {
	p, err := s.Store.ByDigest(r.Context(), digest)
	var in store.PathInfo
	if err == nil {
		in, err = s.Store.Query(r.Context(), p)
	}
	switch {
	case errors.Is(err, store.ErrInvalid):
		http.NotFound(w, r)
	case err != nil:
		http.Error(w, "the store cannot be read", http.StatusInternalServerError)
	}
	return in, err == nil
}

// nar answers /nar/<digest>-<NAR hash>.nar, and with .zst after it.
func (s *server) nar(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	name, compressed := strings.CutSuffix(name, ".nar"+Zstd.suffix())
	if !compressed {
		name, _ = strings.CutSuffix(name, ".nar")
	}
	digest, hash, _ := strings.Cut(name, "-")
	if !isDigest(digest) {
		http.NotFound(w, r)
		return
	}
	in, ok := s.find(w, r, digest)
	if !ok {
		return
	}
	if in.NARHash.Base32() != hash {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/x-nix-nar")
	h.Set("ETag", strconv.Quote(hash))
	if compressed {
		h.Set("ETag", strconv.Quote(hash+Zstd.suffix()))
		s.stream(w, r, in, true)
		return
	}
	h.Set("Vary", "Accept-Encoding")
	part, err := rangeOf(r, in.NARSize)
	switch {
	case err != nil:
		h.Set("Content-Range", fmt.Sprintf("bytes */%d", in.NARSize))
		http.Error(w, err.Error(), http.StatusRequestedRangeNotSatisfiable)
	case part != nil:
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", part.from, part.from+part.length-1, in.NARSize))
		h.Set("Content-Length", strconv.FormatInt(part.length, 10))
		s.part(w, r, in, *part, http.StatusPartialContent)
	case accepts(r, "zstd"):
		h.Set("ETag", strconv.Quote(hash+"-zstd"))
		h.Set("Content-Encoding", "zstd")
		s.stream(w, r, in, true)
	default:
		h.Set("Accept-Ranges", "bytes")
		h.Set("Content-Length", strconv.FormatInt(in.NARSize, 10))
		s.stream(w, r, in, false)
	}
}

// accepts tells whether a client named an encoding and did not refuse it (RFC 9110, section 12.5.3).
func accepts(r *http.Request, encoding string) bool {
	for _, line := range r.Header.Values("Accept-Encoding") {
		for part := range strings.SplitSeq(line, ",") {
			name, weight, _ := strings.Cut(part, ";")
			if strings.EqualFold(strings.TrimSpace(name), encoding) {
				q := strings.TrimPrefix(strings.ReplaceAll(weight, " ", ""), "q=")
				f, err := strconv.ParseFloat(q, 64)
				return q == "" || err == nil && f > 0
			}
		}
	}
	return false
}

// stream sends the whole NAR.
func (s *server) stream(w http.ResponseWriter, r *http.Request, in store.PathInfo, compressed bool) {
	if !compressed {
		s.part(w, r, in, span{0, in.NARSize}, http.StatusOK)
		return
	}
	s.send(w, r, http.StatusOK, func(ctx context.Context, to io.Writer) error {
		z, err := s.compressor.to(to, in.NARSize)
		if err != nil {
			return err
		}
		n := &counter{w: z}
		if err := nar.DumpTo(ctx, s.Store.RealPath(in.Path), n); err != nil {
			return err
		}
		if n.n != in.NARSize {
			return errChanged
		}
		return z.Close()
	})
}

// part sends a part of a NAR.
func (s *server) part(w http.ResponseWriter, r *http.Request, in store.PathInfo, part span, status int) {
	s.send(w, r, status, func(ctx context.Context, to io.Writer) error {
		cut := &cutter{w: to, skip: part.from, left: part.length}
		err := nar.DumpTo(ctx, s.Store.RealPath(in.Path), cut)
		if cut.left == 0 {
			return nil // all that was asked for
		}
		return errors.Join(err, errChanged)
	})
}

var errChanged = errors.New("the path is not what the store has registered")

// send answers with a body that write makes. What fails in its middle can be told only by breaking the answer off.
func (s *server) send(w http.ResponseWriter, r *http.Request, status int, write func(context.Context, io.Writer) error) {
	if r.Method == http.MethodHead {
		w.WriteHeader(status)
		return
	}
	select {
	case s.streams <- struct{}{}:
	case <-r.Context().Done():
		return
	}
	defer func() { <-s.streams }()
	w.WriteHeader(status)
	if err := write(r.Context(), &patient{w, http.NewResponseController(w), s.Stall}); err != nil {
		panic(http.ErrAbortHandler)
	}
}

// patient is a client that is waited for only so long.
type patient struct {
	w       io.Writer
	control *http.ResponseController
	stall   time.Duration
}

func (p *patient) Write(b []byte) (int, error) {
	err := p.control.SetWriteDeadline(time.Now().Add(p.stall))
	if err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	return p.w.Write(b)
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}

// span is a part of a file, in bytes.
type span struct{ from, length int64 }

// cutter passes a span on, and ends the writing after it.
type cutter struct {
	w          io.Writer
	skip, left int64
}

var errEnough = errors.New("that was all")

func (c *cutter) Write(b []byte) (int, error) {
	all := len(b)
	skipped := min(c.skip, int64(len(b)))
	c.skip -= skipped
	b = b[skipped:]
	over := int64(len(b)) > c.left
	b = b[:min(c.left, int64(len(b)))]
	n, err := c.w.Write(b)
	c.left -= int64(n)
	switch {
	case err != nil:
		return 0, err
	case over:
		return 0, errEnough
	}
	return all, nil
}

// rangeOf reads a request for one range of bytes (RFC 9110, section 14.1.2); nil means the whole. Requests for several, or with
// a condition, get the whole.
func rangeOf(r *http.Request, size int64) (*span, error) {
	text, ok := strings.CutPrefix(r.Header.Get("Range"), "bytes=")
	if !ok || strings.Contains(text, ",") || r.Header.Get("If-Range") != "" || r.Method != http.MethodGet {
		return nil, nil
	}
	first, last, ok := strings.Cut(strings.TrimSpace(text), "-")
	if !ok {
		return nil, nil
	}
	end := size - 1
	if first == "" { // the last so many bytes
		n, err := strconv.ParseInt(last, 10, 64)
		if err != nil || n <= 0 {
			return nil, errors.New("no such range")
		}
		return &span{max(0, size-n), min(n, size)}, nil
	}
	from, err := strconv.ParseInt(first, 10, 64)
	if err != nil || from < 0 || from >= size {
		return nil, errors.New("no such range")
	}
	if last != "" {
		n, err := strconv.ParseInt(last, 10, 64)
		if err != nil || n < from {
			return nil, nil // malformed: as if there were none
		}
		end = min(end, n)
	}
	return &span{from, end - from + 1}, nil
}

// log answers /log/<derivation>.
func (s *server) log(w http.ResponseWriter, r *http.Request) {
	p, err := nix.ParseStoreBase(r.PathValue("name"))
	if err != nil || s.Log == nil || !p.IsDerivation() {
		http.NotFound(w, r)
		return
	}
	f, err := os.Open(s.Log(p))
	if err != nil {
		http.NotFound(w, r)
		return
	}
	defer f.Close() // only read
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	http.ServeContent(w, r, "", time.Time{}, f)
}
