package cache

import (
	"bytes"
	"errors"
	"io"
	"os"
)

// spool holds what is written to it, in memory while it is small, else in a file, to be read several times.
type spool struct {
	dir         string // for the file
	contentType string
	buf         bytes.Buffer
	file        *os.File // nil while all is in buf
	size        int64
}

// maxInMemory bounds what a spool keeps in memory, in bytes.
const maxInMemory = 2 << 20

func textSpool(text []byte, contentType string) *spool {
	s := &spool{contentType: contentType, size: int64(len(text))}
	s.buf.Write(text)
	return s
}

// Write is io.Writer's.
func (s *spool) Write(b []byte) (int, error) {
	if s.file == nil && s.buf.Len()+len(b) > maxInMemory {
		f, err := createTemp(s.dir)
		if err != nil {
			return 0, err
		}
		s.file = f
		if _, err := f.Write(s.buf.Bytes()); err != nil {
			return 0, err
		}
		s.buf = bytes.Buffer{}
	}
	s.size += int64(len(b))
	if s.file != nil {
		return s.file.Write(b)
	}
	return s.buf.Write(b)
}

// content is what can be read from anywhere.
type content interface {
	io.ReadSeeker
	io.ReaderAt
}

// reader reads all from the start. Readers do not disturb one another.
func (s *spool) reader() content {
	if s.file != nil {
		return io.NewSectionReader(s.file, 0, s.size)
	}
	return bytes.NewReader(s.buf.Bytes())
}

// moveTo gives the file away: it is a good one, of the same folder.
func (s *spool) moveTo(to string) error {
	if err := os.Rename(s.file.Name(), to); err != nil {
		return err
	}
	err := s.file.Close()
	s.file = nil
	return err
}

// Close deletes the file, if there is one still.
func (s *spool) Close() error {
	if s.file == nil {
		return nil
	}
	err := errors.Join(s.file.Close(), os.Remove(s.file.Name()))
	s.file = nil
	return err
}
