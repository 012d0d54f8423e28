// Command client-go answers what Go programs read out of a document, so that tests can hold this project's own readers against it.
//
//	client-go kubeconfig    what kubectl would use of a kubeconfig, by client-go's own loader
//	client-go request       what a Go service would read out of a create's body, by encoding/json
//
// Each document on stdin is four bytes of length, big-endian, and its bytes; each answer is one line of JSON on stdout, in
// order. Nothing that a document names is run, opened or dialled.
package main

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// maxBytes is the largest document: twice the largest kubeconfig that the host takes.
const maxBytes = 2 << 20

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "client-go:", err)
		os.Exit(1)
	}
}

func run(args []string, in io.Reader, out io.Writer) error {
	readers := map[string]func([]byte) any{"kubeconfig": readKubeconfig, "request": readRequest}
	if len(args) != 1 || readers[args[0]] == nil {
		return errors.New("usage: client-go kubeconfig | request")
	}
	read := readers[args[0]]
	source, sink := bufio.NewReaderSize(in, 1<<20), bufio.NewWriterSize(out, 1<<20)
	answers := json.NewEncoder(sink)
	for {
		document, err := next(source)
		if errors.Is(err, io.EOF) {
			return sink.Flush()
		}
		if err != nil {
			return err
		}
		if err := answers.Encode(read(document)); err != nil {
			return err
		}
		// Who asks for one answer waits for it.
		if source.Buffered() == 0 {
			if err := sink.Flush(); err != nil {
				return err
			}
		}
	}
}

// next gives the next document, or io.EOF at the end of the input.
func next(source io.Reader) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(source, length[:]); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(length[:])
	if size > maxBytes {
		return nil, fmt.Errorf("a document of %d bytes is longer than %d", size, maxBytes)
	}
	document := make([]byte, size)
	if _, err := io.ReadFull(source, document); err != nil {
		return nil, fmt.Errorf("a document is cut off: %w", err)
	}
	return document, nil
}
