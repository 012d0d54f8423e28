// Command hcl answers what OpenTofu's own parser sees in a set of configuration files, so that tests can hold this project's
// policy against it.
//
// Each value on stdin is a JSON object {"files": [{"path": "main.tf", "content": "<base64>"}]}; each answer is one line of JSON on
// stdout, in order. Nothing is evaluated but constant texts and path.module, and nothing is read from the disk.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// file is one file of a set.
type file struct {
	Path    string `json:"path"`
	Content []byte `json:"content"`
}

// set is one question.
type set struct {
	Files []file `json:"files"`
}

// fact is one thing that OpenTofu's parser sees.
type fact struct {
	// Kind is "file", "block", "attribute", "requirement" or "call".
	Kind string `json:"kind"`
	File string `json:"file"`
	Line int    `json:"line"`
	// In holds the types of the blocks around it, outermost first; "template" where it stands in a template file.
	In []string `json:"in"`
	// Name is the role of a file, the type of a block, or the name of an attribute, a provider or a function.
	Name string `json:"name"`
	// Labels are those of a block, or of the block that an attribute stands in.
	Labels []string `json:"labels"`
	// Value is the constant text of an attribute, the source of a requirement, or the first argument of a call; null where
	// there is none or where it is computed.
	Value *string `json:"value"`
	// Version is that of a requirement.
	Version *string `json:"version"`
}

// answer is what was seen; Errors are those for which OpenTofu would stop before it does anything.
type answer struct {
	Errors []string `json:"errors"`
	Facts  []fact   `json:"facts"`
}

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "hcl:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	questions := json.NewDecoder(bufio.NewReaderSize(in, 1<<20))
	sink := bufio.NewWriterSize(out, 1<<20)
	answers := json.NewEncoder(sink)
	for {
		var question set
		err := questions.Decode(&question)
		if errors.Is(err, io.EOF) {
			return sink.Flush()
		}
		if err != nil {
			return err
		}
		if err := answers.Encode(read(question)); err != nil {
			return err
		}
		// Who asks for one answer waits for it; of many, what is left is flushed at the end.
		if buffered, ok := questions.Buffered().(interface{ Len() int }); !ok || buffered.Len() <= 1 {
			if err := sink.Flush(); err != nil {
				return err
			}
		}
	}
}

func read(question set) (is answer) {
	seen := survey{files: map[string][]byte{}, answer: answer{Errors: []string{}, Facts: []fact{}}}
	defer func() {
		if fault := recover(); fault != nil {
			seen.answer.Errors = append(seen.answer.Errors, fmt.Sprintf("panic: %v", fault))
			is = seen.answer
		}
	}()
	for _, one := range question.Files {
		seen.files[one.Path] = one.Content
	}
	for _, one := range question.Files {
		seen.file(one)
	}
	return seen.answer
}
