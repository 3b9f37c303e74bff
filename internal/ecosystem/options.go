package ecosystem

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// Options reads a component's options into a struct with json tags. An option that the struct does not have and one of the
// wrong type are errors.
func Options(options map[string]any, into any) error {
	b, err := json.Marshal(options)
	if err != nil {
		return fmt.Errorf("read options: %w", err)
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) {
			return fmt.Errorf("read options: %s is a %s, want %s (a number or a truth value that is meant as text needs quotes)", wrong.Field, wrong.Value, wrong.Type)
		}
		return fmt.Errorf("read options: %w", err)
	}
	return nil
}
