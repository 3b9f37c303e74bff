package browser

import (
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// hidden are values that no error may have in it.
type hidden struct{ values []string }

// shortest is the length in characters from which a value is hidden: a text without every "a" says nothing.
const shortest = 3

// add hides a value, also in the forms that addresses, quotes and JSON have it in.
func (h *hidden) add(value string) {
	if utf8.RuneCountInString(value) < shortest {
		return
	}
	forms := []string{value, plain(value), url.QueryEscape(value), url.PathEscape(value), unquoted(strconv.Quote(value))}
	if quoted, err := json.Marshal(value); err == nil {
		forms = append(forms, unquoted(string(quoted)))
	}
	for _, f := range forms {
		if f != "" && !slices.Contains(h.values, f) {
			h.values = append(h.values, f)
		}
	}
	// The longest first, since one may be a part of another.
	slices.SortFunc(h.values, func(a, b string) int { return len(b) - len(a) })
}

func unquoted(s string) string { return s[1 : len(s)-1] }

// in is a text without the values.
func (h *hidden) in(text string) string {
	for _, v := range h.values {
		text = strings.ReplaceAll(text, v, "•••")
	}
	return text
}
