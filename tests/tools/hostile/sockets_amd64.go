package main

import "syscall"

// socketI386 is socket(2) by its number of 32-bit programs: the descriptor, or an error below zero.
func socketI386(family, kind uint32) int32

func socket32(family, kind int) error {
	if answer := socketI386(uint32(family), uint32(kind)); answer < 0 {
		return syscall.Errno(-answer)
	}
	return nil
}

func socketX32(family, kind int) (int, error) {
	const x32 = 0x40000000
	socket, _, errno := syscall.Syscall(x32|syscall.SYS_SOCKET, uintptr(family), uintptr(kind), 0)
	if errno != 0 {
		return -1, errno
	}
	return int(socket), nil
}
