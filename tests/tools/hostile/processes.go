package main

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

func signalHost(t targets) error { return syscall.Kill(t.HostProcess, 0) }

func newNamespace(targets) error {
	command := exec.Command("/bin/true")
	command.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	return command.Run()
}

// In a session of its own, and nobody's child: it belongs to no group that anybody kills.
func leaveOrphan(t targets) error {
	command := exec.Command("/bin/sh", "-c", "setsid sleep "+t.OrphanSeconds+" >/dev/null 2>&1 </dev/null & exit 0")
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return command.Run()
}

func forkBomb(t targets) error {
	self, err := os.Executable()
	if err != nil {
		// Where /proc is closed.
		self = "/bin/sleep"
	}
	for started := range t.ForkBomb {
		command := exec.Command(self, "wait", t.OrphanSeconds)
		if self == "/bin/sleep" {
			command = exec.Command(self, t.OrphanSeconds)
		}
		command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := command.Start(); err != nil {
			return fmt.Errorf("after %d: %w", started, err)
		}
	}
	return nil
}
