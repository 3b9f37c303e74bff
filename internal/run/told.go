package run

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"time"
)

// toldError is an error that crosses from the child of a run to its parent as JSON: its text, and those of its causes that callers branch on.
type toldError struct {
	Text   string      `json:"text"`
	Causes []toldCause `json:"causes,omitempty"`
}

// toldCause is one error with a type. Which of the fields count, its kind says.
type toldCause struct {
	Kind      string        `json:"kind"`
	Name      string        `json:"name,omitempty"` // of a process or a service; of a path, a call
	Port      int           `json:"port,omitempty"`
	URL       string        `json:"url,omitempty"`
	Log       string        `json:"log,omitempty"`
	Tail      string        `json:"tail,omitempty"`
	Cause     string        `json:"cause,omitempty"`
	Operation string        `json:"operation,omitempty"`
	Within    time.Duration `json:"within,omitempty"`
	Limit     int64         `json:"limit,omitempty"`
}

func (e *toldError) Error() string { return e.Text }

// Unwrap gives the causes, with the types that they had.
func (e *toldError) Unwrap() []error {
	var list []error
	for _, c := range e.Causes {
		if err := c.err(); err != nil {
			list = append(list, err)
		}
	}
	return list
}

// tellError keeps of an error what can be told.
func tellError(err error) *toldError {
	told := &toldError{Text: err.Error()}
	var ended *EndedError
	if errors.As(err, &ended) {
		told.Causes = append(told.Causes, toldCause{Kind: "ended", Name: ended.Process, Cause: textOf(ended.Cause), Log: ended.Log, Tail: ended.Tail})
	}
	var unhealthy *UnhealthyError
	if errors.As(err, &unhealthy) {
		told.Causes = append(told.Causes, toldCause{Kind: "unhealthy", Name: unhealthy.Process, URL: unhealthy.URL, Cause: textOf(unhealthy.Cause), Log: unhealthy.Log, Tail: unhealthy.Tail})
	}
	var printed *LogLimitError
	if errors.As(err, &printed) {
		told.Causes = append(told.Causes, toldCause{Kind: "printed", Name: printed.Process, Limit: printed.Limit, Log: printed.Log})
	}
	var port *PortError
	if errors.As(err, &port) {
		told.Causes = append(told.Causes, toldCause{Kind: "port", Name: port.Process, Port: port.Port, Cause: textOf(port.Cause)})
	}
	var service *ServiceError
	if errors.As(err, &service) {
		told.Causes = append(told.Causes, toldCause{Kind: "service", Name: service.Service, Cause: textOf(service.Cause)})
	}
	var stop *StopError
	if errors.As(err, &stop) {
		told.Causes = append(told.Causes, toldCause{Kind: "stop", Name: stop.Process, Within: stop.Within})
	}
	var file *fs.PathError
	if errors.As(err, &file) {
		told.Causes = append(told.Causes, toldCause{Kind: "path", Operation: file.Op, Name: file.Path, Cause: textOf(file.Err)})
	}
	var network *net.OpError
	if errors.As(err, &network) {
		told.Causes = append(told.Causes, toldCause{Kind: "network", Operation: network.Op, Name: network.Net, Cause: textOf(network.Err)})
	}
	var call *os.SyscallError
	if errors.As(err, &call) {
		told.Causes = append(told.Causes, toldCause{Kind: "call", Name: call.Syscall, Cause: textOf(call.Err)})
	}
	return told
}

func textOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// err makes the error anew, nil if its kind is not known.
func (c toldCause) err() error {
	var cause error
	if c.Cause != "" {
		cause = errors.New(c.Cause)
	}
	switch c.Kind {
	case "ended":
		return &EndedError{Process: c.Name, Cause: cause, Log: c.Log, Tail: c.Tail}
	case "unhealthy":
		return &UnhealthyError{Process: c.Name, URL: c.URL, Cause: cause, Log: c.Log, Tail: c.Tail}
	case "printed":
		return &LogLimitError{Process: c.Name, Limit: c.Limit, Log: c.Log}
	case "port":
		return &PortError{Process: c.Name, Port: c.Port, Cause: cause}
	case "service":
		return &ServiceError{Service: c.Name, Cause: cause}
	case "stop":
		return &StopError{Process: c.Name, Within: c.Within}
	case "path":
		return &fs.PathError{Op: c.Operation, Path: c.Name, Err: cause}
	case "network":
		return &net.OpError{Op: c.Operation, Net: c.Name, Err: cause}
	case "call":
		return &os.SyscallError{Syscall: c.Name, Err: cause}
	}
	return nil
}
