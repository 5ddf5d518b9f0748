package main

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/client"
	"keystile.dev/keystile/internal/state"
	"keystile.dev/keystile/internal/yamlfile"
)

// State files on their way to a server are one text, with a line of "---" between two of
// them: documents of YAML. The server calls it sentState and counts its lines through.
const (
	sentState = "state"
	between   = "---\n"
)

// maxPadding bounds the empty lines that stand for the documents before, in bytes.
const maxPadding = 16 << 20

// sentStates is what is sent, and where each file begins in it.
type sentStates struct {
	data  []byte
	names []string
	lines []int // of the text that stand before the file
}

func joinStates(files []state.File) sentStates {
	var s sentStates
	for i, f := range files {
		if i > 0 {
			if n := len(s.data); n > 0 && s.data[n-1] != '\n' {
				s.data = append(s.data, '\n')
			}
			s.data = append(s.data, between...)
		}
		s.names = append(s.names, f.Name)
		s.lines = append(s.lines, bytes.Count(s.data, []byte{'\n'}))
		s.data = append(s.data, f.Data...)
	}
	return s
}

// place is the file and its line that a line of the text stands in.
func (s *sentStates) place(line int) (file string, at int) {
	i, found := slices.BinarySearch(s.lines, line-1)
	if !found {
		i--
	}
	i = max(i, 0)
	return s.names[i], line - s.lines[i]
}

// problems writes what a server found wrong as apply does beside the store:
// FILE:LINE: field: what is wrong; remedy. The server's fields begin with the line.
func (s *sentStates) problems(refused *client.Error) error {
	problems := make(yamlfile.Problems, len(refused.Fields))
	for i, field := range refused.Fields {
		line, name := 1, field.Field
		if number, rest, ok := strings.Cut(field.Field, ":"); ok {
			if n, err := strconv.Atoi(number); err == nil {
				line, name = n, strings.TrimSpace(rest)
			}
		}
		file, at := s.place(line)
		problems[i] = yamlfile.Problem{File: file, Line: at, Field: name, Problem: field.Problem, Remedy: field.Remedy}
	}
	return problems
}

// named is a line of the server's with the file in place of sentState.
func (s *sentStates) named(text string) string {
	rest, ok := strings.CutPrefix(text, sentState+":")
	if !ok {
		return text
	}
	number, rest, ok := strings.Cut(rest, ":")
	line, err := strconv.Atoi(number)
	if !ok || err != nil {
		return text
	}
	file, at := s.place(line)
	return fmt.Sprintf("%s:%d:%s", file, at, rest)
}

// splitStates cuts a text into the files that it was put together from. Each has empty
// lines in place of those before it, so that its lines are those of the text.
func splitStates(sent []byte) ([]state.File, error) {
	var files []state.File
	padding, begin, before, lines, content := 0, 0, 0, 0, false
	for at := 0; at < len(sent); lines++ {
		end := len(sent)
		if i := bytes.IndexByte(sent[at:], '\n'); i >= 0 {
			end = at + i + 1
		}
		switch text := bytes.TrimRight(sent[at:end], "\r\n"); {
		case string(text) == "---" && content:
			files = append(files, stateFile(sent[begin:at], before))
			begin, before, content = end, lines+1, false
			if padding += before; padding > maxPadding {
				return nil, keystile.Invalidf("", "apply fewer files at a time", "the text has too many documents for its length")
			}
		case len(text) > 0 && text[0] != '#' && text[0] != '%' && string(text) != "---":
			content = true // what stands before the first "---" of a file is no document
		}
		at = end
	}
	return append(files, stateFile(sent[begin:], before)), nil
}

func stateFile(data []byte, before int) state.File {
	if before > 0 {
		data = slices.Concat(bytes.Repeat([]byte{'\n'}, before), data)
	}
	return state.File{Name: sentState, Data: data}
}
