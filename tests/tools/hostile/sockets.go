package main

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"unsafe"
)

// vsock(7): between a virtual machine and what runs it. It belongs to no network namespace.
const afVsock = 40

func hypervisorSocket(targets) error {
	socket, err := syscall.Socket(afVsock, syscall.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	return syscall.Close(socket)
}

// By the numbers that the system call has for x32 programs and for 32-bit ones: a filter that knows one number misses these.
func hypervisorSocketByOtherNumbers(targets) error {
	if socket, err := socketX32(afVsock, syscall.SOCK_STREAM); err == nil {
		return syscall.Close(socket)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	said, err := exec.Command(self, "socket32").CombinedOutput()
	if err != nil {
		return errors.New(err.Error() + " " + strings.TrimSpace(string(said)))
	}
	return nil
}

// What makes sockets without the system call for it (IORING_OP_SOCKET).
func ioUring(targets) error {
	const setup = 425
	var parameters [120]byte
	ring, _, errno := syscall.Syscall(setup, 1, uintptr(unsafe.Pointer(&parameters[0])), 0)
	if errno != 0 {
		return errno
	}
	return syscall.Close(int(ring))
}
