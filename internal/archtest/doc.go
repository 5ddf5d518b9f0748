// Package archtest is the house rules as a test: which rooms may know which,
// what may leave a room, how deep folders and how long files and functions may
// be. It reads the source, so that breaking a rule fails the ordinary test run.
//
// To open a door between two rooms, add it to the table in doors.go, and say in
// the change why the interface should not be declared by whoever needs it.
//
// It is not a linter: what golangci-lint can say is left to it.
package archtest
