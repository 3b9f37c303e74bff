package run_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"testing"
	"time"

	"headwater/internal/run"
)

// An error of a run in a room has the same text, types and hint as one of a run on the machine.
func TestErrorsAreTold(t *testing.T) {
	for _, err := range []error{
		&run.EndedError{Process: "web", Cause: errors.New("exit status 1"), Log: "/log", Tail: "bye"},
		&run.EndedError{Process: "web", Log: "/log"},
		&run.UnhealthyError{Process: "web", URL: "http://127.0.0.1:1/", Cause: errors.New("answers 503"), Log: "/log", Tail: "x"},
		&run.LogLimitError{Process: "web", Limit: 5, Log: "/log"},
		&run.PortError{Process: "web", Port: 80, Cause: errors.New("in use")},
		&run.ServiceError{Service: "db", Cause: errors.New("no such program")},
		&run.StopError{Process: "web", Within: time.Second},
		&fs.PathError{Op: "open", Path: "/x", Err: errors.New("no")},
	} {
		told, marshalErr := json.Marshal(run.TellError(fmt.Errorf("start: %w", errors.Join(err, errors.New("more")))))
		got, unmarshalErr := run.Untell(told)
		if marshalErr != nil || unmarshalErr != nil || got.Error() != "start: "+err.Error()+"\nmore" {
			t.Errorf("%v, %v: %q of %q", marshalErr, unmarshalErr, got, err)
		}
		same := false
		switch err.(type) {
		case *run.EndedError:
			same = is[*run.EndedError](got, err)
		case *run.UnhealthyError:
			same = is[*run.UnhealthyError](got, err)
		case *run.LogLimitError:
			same = is[*run.LogLimitError](got, err)
		case *run.PortError:
			same = is[*run.PortError](got, err)
			var hint interface{ Hint() string }
			same = same && errors.As(got, &hint)
		case *run.ServiceError:
			same = is[*run.ServiceError](got, err)
		case *run.StopError:
			same = is[*run.StopError](got, err)
		case *fs.PathError:
			same = is[*fs.PathError](got, err)
		}
		if !same {
			t.Errorf("%T is lost", err)
		}
	}
}

func is[T error](got, want error) bool {
	var e T
	return errors.As(got, &e) && e.Error() == want.Error()
}
