// Package e2e holds the conversations with the real program that users and
// scripts rely on: testdata/*.txtar for the command line and HTTP, and the
// demo's printed commands pasted into a shell.
//
// Each script gets the built binary as keystile, a directory of its own, and
// these commands besides testscript's own:
//
//	address VAR...            sets VARs to free loopback addresses
//	upstream VAR              starts an API that answers what it receives
//	status N COMMAND ARGS...  runs a command and wants its exit status
//	serve NAME ARGS...        starts "keystile ARGS" and waits until it listens
//	output NAME [!] PATTERN   waits until its standard error matches, or wants no match
//	hup NAME                  sends it SIGHUP
//	stop NAME                 sends it SIGTERM and wants exit status 0
//	http STATUS ARGS... URL   makes a request with curl's -X, -H and -d
//	until STATUS ARGS... URL  repeats a request until it is answered so
//	load NAME STATUS ARGS... URL
//	                          requests without a pause from now on
//	loaded NAME               ends that, and wants each request answered so
//	field VAR PATH            sets VAR to a member of the JSON on stdout: id, 0.id
//	tamper STATEMENT          changes the store behind the program's back
//	mode FILE PERMISSIONS     wants the file's permissions, such as 0600
//
// Nothing here reads the program's source.
package e2e
