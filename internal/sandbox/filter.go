package sandbox

import (
	"fmt"
	"unsafe"

	seccomp "github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// policy refuses what a store object cannot keep: setuid and setgid modes (EPERM), extended attributes (ENOTSUP). Nix 2.8
// refuses setting attributes only; later versions refuse reading them too, since what is read depends on the host.
func policy() seccomp.Policy {
	var modes []seccomp.NameWithConditions
	for name, argument := range map[string]uint32{"chmod": 1, "fchmod": 1, "fchmodat": 2, "fchmodat2": 2} {
		for _, bit := range []uint64{unix.S_ISUID, unix.S_ISGID} {
			modes = append(modes, seccomp.NameWithConditions{Name: name, Conditions: seccomp.ArgumentConditions{
				{Argument: argument, Operation: seccomp.BitsSet, Value: bit},
			}})
		}
	}
	return seccomp.Policy{
		DefaultAction: seccomp.ActionAllow,
		Syscalls: []seccomp.SyscallGroup{
			{Action: seccomp.ActionErrno | seccomp.Action(unix.EPERM), NamesWithCondtions: modes},
			{Action: seccomp.ActionErrno | seccomp.Action(unix.ENOTSUP), Names: []string{
				"setxattr", "lsetxattr", "fsetxattr", "setxattrat", "getxattr", "lgetxattr", "fgetxattr", "getxattrat",
				"listxattr", "llistxattr", "flistxattr", "listxattrat",
			}},
		},
	}
}

// filter is the assembled policy. The library lets system calls of other architectures pass unseen (32-bit calls of a 64-bit
// process); here they do not exist.
func filter() ([]bpf.RawInstruction, error) {
	p := policy()
	program, err := p.Assemble()
	if err != nil {
		return nil, err
	}
	native, err := arch.GetInfo("")
	if err != nil {
		return nil, err
	}
	const archOffset = 4 // in struct seccomp_data
	guard := []bpf.Instruction{
		bpf.LoadAbsolute{Off: archOffset, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(native.ID), SkipTrue: 1},
		bpf.RetConstant{Val: uint32(seccomp.ActionErrno) | uint32(unix.ENOSYS)},
	}
	return bpf.Assemble(append(guard, program...))
}

func loadFilter() error {
	raw, err := filter()
	if err != nil {
		return fmt.Errorf("assemble system call filter: %w", err)
	}
	program := make([]unix.SockFilter, len(raw))
	for i, in := range raw {
		program[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	head := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&head))); errno != 0 {
		return fmt.Errorf("load system call filter: %w", errno)
	}
	return nil
}
