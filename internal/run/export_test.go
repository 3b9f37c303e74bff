package run

import "encoding/json"

// TellError is tellError.
func TellError(err error) error { return tellError(err) }

// Untell reads what was told.
func Untell(text []byte) (error, error) {
	e := new(toldError)
	return e, json.Unmarshal(text, e)
}
