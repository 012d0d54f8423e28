// A provider of OpenTofu that attacks instead of serving. OpenTofu starts it as it starts every provider; it reads what to attack
// from targets.json of its work folder, tries everything, and leaves there what came of it, as loot.json. It says nothing that
// is not so: an attempt counts as done only where its effect was seen.
package main

import (
	"encoding/json"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// targets is what the test prepared outside of the run.
type targets struct {
	OtherRunFile   string `json:"otherRunFile"`
	OtherProcess   int    `json:"otherProcess"`
	HostFile       string `json:"hostFile"`
	HostFolder     string `json:"hostFolder"`
	ProviderFolder string `json:"providerFolder"`
	HomeFile       string `json:"homeFile"`
	HostAPI        string `json:"hostApi"`
	OtherBackend   string `json:"otherBackend"`
	ForeignAddress string `json:"foreignAddress"`
	UDP            string `json:"udp"`
	AbstractSocket string `json:"abstractSocket"`
	PathSocket     string `json:"pathSocket"`
	ListenAt       string `json:"listenAt"`
	HostProcess    int    `json:"hostProcess"`
	SharedMemory   int    `json:"sharedMemory"`
	OrphanSeconds  string `json:"orphanSeconds"`
	ForkBomb       int    `json:"forkBomb"`
}

// attempts are tried in this order: those that use the machine up come last.
var attempts = []struct {
	name string
	try  func(targets) error
}{
	{"read another run's variables", readOtherRun},
	{"write into another run's folder", writeOtherRun},
	{"read another process's memory", readMemory},
	{"read another process's environment", readEnvironment},
	{"attach to another process", attach},
	{"read a kubeconfig of the host", readHostFile},
	{"write into the host's folders", writeHostFolder},
	{"change the mode of a file outside", changeMode},
	{"change the times of a file outside", changeTimes},
	{"replace a provider for other runs", replaceProvider},
	{"read the operator's home", readHome},
	{"read the kernel's log", readKernelLog},
	{"call the host's API", callHost},
	{"call the host's API by multipath TCP", callHostByMultipath},
	{"call another run's state backend", callBackend},
	{"call an address of the machine", callForeign},
	{"call a foreign address on the port of its proxy", callForeignByProxyPort},
	{"ask its proxy for a host that is not granted", askForOther},
	{"ask its proxy for the metadata address", askForMetadata},
	{"call the metadata address", callMetadata},
	{"call the internet by address", callInternet},
	{"look a name up", lookUp},
	{"send a datagram", sendDatagram},
	{"send raw packets", rawSocket},
	{"connect to an abstract socket", abstractSocket},
	{"connect to a socket in a folder", pathSocket},
	{"listen where others connect", listen},
	{"make a socket to the hypervisor", hypervisorSocket},
	{"make such a socket by numbers of other ABIs", hypervisorSocketByOtherNumbers},
	{"set up an io_uring", ioUring},
	{"send a signal to the host", signalHost},
	{"use shared memory of others", sharedMemory},
	{"become root of a new namespace", newNamespace},
	{"leave a process behind", leaveOrphan},
	{"dump its memory", dumpCore},
	{"open files without an end", openFiles},
	{"write a file without an end", fillDisk},
	{"take memory without an end", takeMemory},
	{"start processes without an end", forkBomb},
}

func main() {
	// A provider's own child of the fork bomb or an orphan: it waits to be ended.
	if len(os.Args) > 2 && os.Args[1] == "wait" {
		signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
		wait()
	}
	// A child of the attempt by 32-bit system calls: a filter may kill whoever makes one.
	if len(os.Args) > 1 && os.Args[1] == "socket32" {
		if err := socket32(afVsock, syscall.SOCK_STREAM); err != nil {
			fail(err)
		}
		os.Exit(0)
	}
	// A file that is too long is an error, not the end.
	signal.Ignore(syscall.SIGXFSZ)
	var t targets
	text, err := os.ReadFile("targets.json")
	if err == nil {
		err = json.Unmarshal(text, &t)
	}
	if err != nil {
		fail(err)
	}
	loot := map[string]string{}
	for _, attempt := range attempts {
		outcome := "done"
		if err := attempt.try(t); err != nil {
			outcome = strings.ReplaceAll(err.Error(), "\n", " ")
		}
		loot[attempt.name] = outcome
	}
	text, err = json.MarshalIndent(loot, "", "  ")
	if err == nil {
		err = os.WriteFile("loot.json", text, 0o600)
	}
	if err != nil {
		fail(err)
	}
	os.Exit(1)
}

func fail(err error) {
	_, _ = os.Stderr.WriteString("hostile: " + err.Error() + "\n")
	os.Exit(2)
}

func wait() {
	for {
		syscall.Pause()
	}
}
