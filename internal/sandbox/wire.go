package sandbox

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"headwater/internal/nix"
)

// A Spec goes to the first process as its strings, each ended by a NUL, lists led by their length. No argument, variable or
// path can hold a NUL, and JSON would not keep bytes that are not UTF-8.

// strings are the fields that hold one, in the order of the wire.
func (s *Spec) strings() []*string {
	return []*string{&s.Builder, &s.StoreDir, &s.Outputs, &s.Build, &s.Tmp}
}

func (s *Spec) flags() []*bool { return []*bool{&s.Network, &s.KVM, &s.other, &s.probe} }

func (s *Spec) encode() (string, error) {
	var b strings.Builder
	put := func(v string) error {
		if strings.IndexByte(v, 0) >= 0 {
			return fmt.Errorf("%.100q holds a NUL", v)
		}
		b.WriteString(v)
		b.WriteByte(0)
		return nil
	}
	var errs []error
	for _, f := range s.strings() {
		errs = append(errs, put(*f))
	}
	for _, f := range s.flags() {
		errs = append(errs, put(strconv.FormatBool(*f)))
	}
	inputs := make([]string, len(s.Inputs))
	for i, p := range s.Inputs {
		inputs[i] = string(p)
	}
	for _, list := range [][]string{s.Args, s.Env, inputs} {
		errs = append(errs, put(strconv.Itoa(len(list))))
		for _, v := range list {
			errs = append(errs, put(v))
		}
	}
	return b.String(), errors.Join(errs...)
}

func decodeSpec(wire string) (Spec, error) {
	var s Spec
	next := func() (v string, err error) {
		v, rest, ok := strings.Cut(wire, "\x00")
		if !ok {
			return "", errors.New("read specification: truncated")
		}
		wire = rest
		return v, nil
	}
	var err error
	for _, f := range s.strings() {
		if *f, err = next(); err != nil {
			return s, err
		}
	}
	for _, f := range s.flags() {
		v, err := next()
		if err != nil {
			return s, err
		}
		*f = v == "true"
	}
	var lists [3][]string
	for i := range lists {
		v, err := next()
		if err != nil {
			return s, err
		}
		n, err := strconv.Atoi(v)
		if err != nil || n < 0 || n > len(wire) {
			return s, fmt.Errorf("read specification: %q is no length", v)
		}
		lists[i] = make([]string, n)
		for j := range lists[i] {
			if lists[i][j], err = next(); err != nil {
				return s, err
			}
		}
	}
	s.Args, s.Env = lists[0], lists[1]
	s.Inputs = make([]nix.StorePath, len(lists[2]))
	for i, v := range lists[2] {
		s.Inputs[i] = nix.StorePath(v)
	}
	return s, nil
}

// specFile is a file in memory that holds spec, to be inherited.
func specFile(spec Spec) (*os.File, error) {
	wire, err := spec.encode()
	if err != nil {
		return nil, err
	}
	fd, err := unix.MemfdCreate("headwater-sandbox", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make file in memory: %w", err)
	}
	f := os.NewFile(uintptr(fd), "specification")
	_, err = f.WriteString(wire)
	if err == nil {
		_, err = f.Seek(0, 0)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("write specification: %w", err), f.Close())
	}
	return f, nil
}
