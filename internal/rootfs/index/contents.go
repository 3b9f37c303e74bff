package index

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// maxContentsLine is the longest line of Contents, in bytes; Debian's longest has a few hundred.
const maxContentsLine = 64 << 10

// ScanContents reads a Contents index line by line and gives visit each file's path, without a leading slash, and the packages
// that have it: "libdevel/zlib1g-dev", "admin/dpkg,utils/dpkg-dev", each after its section. The slices are valid during the call
// alone. (Debian's wiki, "DebianRepository/Format", "Contents".)
func ScanContents(r io.Reader, visit func(path, packages []byte)) error {
	in := bufio.NewReaderSize(r, maxContentsLine)
	for n := 1; ; n++ {
		line, err := in.ReadSlice('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("parse Contents: line %d: %w", n, err)
		}
		// A path may have spaces in it, the list of packages has none.
		line = bytes.TrimRight(line, "\n\t ")
		if i := bytes.LastIndexAny(line, "\t "); i > 0 {
			if path := bytes.TrimRight(line[:i], "\t "); len(path) > 0 {
				visit(path, line[i+1:])
			}
		}
		if err != nil {
			return nil
		}
	}
}
