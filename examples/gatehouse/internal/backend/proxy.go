package backend

import (
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"slices"
)

// forwardedHeaders tell the backend who asks. A client could invent them, so they are passed on only from trusted proxies.
func forwardedHeaders() []string {
	return []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Protocol", "X-Forwarded-Ssl"}
}

// NewProxy returns a handler that passes requests to the backend at socket, telling it the client's address, and the host
// and scheme that the client used.
func NewProxy(socket string, trusted []netip.Prefix, log *slog.Logger) http.Handler {
	return &httputil.ReverseProxy{
		Transport: transport(socket),
		ErrorLog:  slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = "http", "backend"
			r.Out.Host = r.In.Host
			for _, name := range forwardedHeaders() {
				r.Out.Header.Del(name)
			}
			r.SetXForwarded()
			if isTrusted(r.In, trusted) {
				keep(r, "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto")
			}
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if r.Context().Err() == nil {
				log.Warn("the backend did not answer", "path", r.URL.Path, "error", err)
			}
			w.Header().Set("Retry-After", "2")
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusServiceUnavailable)
			w.Write([]byte(`{"detail":"Gatehouse is starting. Try again in a moment."}` + "\n"))
		},
	}
}

// keep takes over what a trusted proxy in front of us said.
func keep(r *httputil.ProxyRequest, names ...string) {
	for _, name := range names {
		if value := r.In.Header.Get(name); value != "" {
			r.Out.Header.Set(name, value)
		}
	}
}

func isTrusted(r *http.Request, trusted []netip.Prefix) bool {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	address, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	address = address.Unmap()
	return slices.ContainsFunc(trusted, func(prefix netip.Prefix) bool { return prefix.Contains(address) })
}
