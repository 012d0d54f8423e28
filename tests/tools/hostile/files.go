package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

func readFile(path string) error {
	text, err := os.ReadFile(path)
	if err == nil && len(text) == 0 {
		err = errors.New("it is empty")
	}
	return err
}

func readOtherRun(t targets) error { return readFile(t.OtherRunFile) }

func writeOtherRun(t targets) error {
	return os.WriteFile(filepath.Join(filepath.Dir(t.OtherRunFile), "planted.tf"), []byte("x"), 0o600)
}

func readMemory(t targets) error {
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", t.OtherProcess))
	if err != nil {
		return err
	}
	var from uint64
	if _, err := fmt.Sscanf(string(maps), "%x-", &from); err != nil {
		return err
	}
	memory, err := os.Open(fmt.Sprintf("/proc/%d/mem", t.OtherProcess))
	if err != nil {
		return err
	}
	defer memory.Close()
	_, err = memory.ReadAt(make([]byte, 16), int64(from))
	return err
}

func readEnvironment(t targets) error {
	return readFile(fmt.Sprintf("/proc/%d/environ", t.OtherProcess))
}

func attach(t targets) error {
	if err := syscall.PtraceAttach(t.OtherProcess); err != nil {
		return err
	}
	_, _ = syscall.Wait4(t.OtherProcess, nil, 0, nil)
	return syscall.PtraceDetach(t.OtherProcess)
}

func readHostFile(t targets) error { return readFile(t.HostFile) }

func writeHostFolder(t targets) error {
	return os.WriteFile(filepath.Join(t.HostFolder, "planted"), []byte("x"), 0o600)
}

func changeMode(t targets) error { return os.Chmod(t.HostFile, 0o666) }

func changeTimes(t targets) error { return os.Chtimes(t.HostFile, time.Unix(1, 0), time.Unix(1, 0)) }

func replaceProvider(t targets) error {
	return os.WriteFile(filepath.Join(t.ProviderFolder, "terraform-provider-other"), []byte("x"), 0o755)
}

func readHome(t targets) error { return readFile(t.HomeFile) }

func readKernelLog(targets) error {
	log, err := os.Open("/dev/kmsg")
	if err != nil {
		return err
	}
	return log.Close()
}

func dumpCore(targets) error {
	limit := syscall.Rlimit{Cur: 1 << 20, Max: 1 << 20}
	return syscall.Setrlimit(syscall.RLIMIT_CORE, &limit)
}

func openFiles(targets) error {
	var open []*os.File
	defer func() {
		for _, file := range open {
			_ = file.Close()
		}
	}()
	// More than a run may have, and fewer than most machines allow.
	for len(open) < 9_000 {
		file, err := os.Open("/dev/null")
		if err != nil {
			return err
		}
		open = append(open, file)
	}
	return nil
}

func fillDisk(targets) error {
	file, err := os.Create("large")
	if err != nil {
		return err
	}
	defer os.Remove("large")
	defer file.Close()
	// A hole, which takes no room; a limit does not ask for the reason.
	_, err = file.WriteAt([]byte("x"), 64<<30)
	return err
}

func takeMemory(targets) error {
	memory, err := syscall.Mmap(-1, 0, 32<<30, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE|syscall.MAP_NORESERVE)
	if err != nil {
		return err
	}
	return syscall.Munmap(memory)
}

func sharedMemory(t targets) error {
	address, _, failed := syscall.Syscall(syscall.SYS_SHMAT, uintptr(t.SharedMemory), 0, 0)
	if failed != 0 {
		return failed
	}
	_, _, failed = syscall.Syscall(syscall.SYS_SHMDT, address, 0, 0)
	if failed != 0 {
		return failed
	}
	return nil
}
