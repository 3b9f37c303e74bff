package server

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics is what /-/metrics tells.
type metrics struct {
	registry      *prometheus.Registry
	requests      *prometheus.CounterVec
	seconds       *prometheus.HistogramVec
	backendStarts prometheus.Counter
}

func newMetrics(version string) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatehouse_requests_total",
			Help: "Requests answered, by who answered them and by status.",
		}, []string{"by", "code", "method"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "gatehouse_request_seconds",
			Help: "How long requests took.",
		}, []string{"by"}),
		backendStarts: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "gatehouse_backend_starts_total",
			Help: "How often the backend was started; more than once means it died.",
		}),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        "gatehouse_build_info",
		Help:        "Always 1; the version is in the label.",
		ConstLabels: prometheus.Labels{"version": version},
	})
	build.Set(1)
	m.registry.MustRegister(m.requests, m.seconds, m.backendStarts, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// count is middleware that counts and times what the handler named by answers.
func (m *metrics) count(by string) func(http.Handler) http.Handler {
	requests := m.requests.MustCurryWith(prometheus.Labels{"by": by})
	seconds := m.seconds.MustCurryWith(prometheus.Labels{"by": by})
	return func(next http.Handler) http.Handler {
		return promhttp.InstrumentHandlerCounter(requests, promhttp.InstrumentHandlerDuration(seconds, next))
	}
}
