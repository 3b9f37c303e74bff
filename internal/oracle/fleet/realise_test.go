package fleet_test

import (
	"bytes"
	"fmt"
	"sync"
	"time"

	"headwater/internal/dag"
	"headwater/internal/engine"
	"headwater/internal/event"
)

// realisation is an engine's attempt.
type realisation struct {
	done chan struct{}
	err  error // once done is closed

	mu  sync.Mutex
	log bytes.Buffer
}

// realise has an engine build the goal.
func (f *fleet) realise(e engine.Engine) *realisation {
	r := &realisation{done: make(chan struct{})}
	go func() {
		defer close(r.done)
		_, r.err = e.Realise(f.t.Context(), []*dag.Node{f.goal()}, engine.Options{KeepGoing: true, Events: r.note})
	}()
	return r
}

// note writes down what was said and what builders wrote.
func (r *realisation) note(e event.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch e := e.(type) {
	case event.Message:
		fmt.Fprintln(&r.log, e.Text)
	case event.Log:
		fmt.Fprintln(&r.log, e.Line)
	}
}

func (r *realisation) Log() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.String()
}

func (r *realisation) Await(ok func(log string) bool) bool {
	for {
		select {
		case <-r.done:
			return ok(r.Log())
		case <-time.After(5 * time.Millisecond):
			if ok(r.Log()) {
				return true
			}
		}
	}
}

func (r *realisation) Wait() error {
	<-r.done
	return r.err
}
