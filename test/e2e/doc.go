// Package e2e holds the conversations with the real program that users and
// scripts rely on: testdata/*.txtar for the command line and HTTP, and the
// demo's printed commands pasted into a shell.
//
// Each script gets the built binary as keystile, a directory of its own, and
// these commands besides testscript's own:
//
//	address VAR...                sets VARs to free loopback addresses
//	upstream VAR                  starts an API that shows what it receives
//	listening NAME ADDRESS        waits until a server started with & listens
//	http [!] STATUS [curl's -X, -H, -d] URL
//	                              makes a request; waits for STATUS with "until"
//	until STATUS ... URL          repeats a request until it is answered so
//	field VAR NAME...             sets VAR to a member of the JSON on stdout
//	status N keystile ARGS...     runs the program and wants the exit status
//	mode FILE 0600                wants the file's permissions
//	load NAME ADDRESS ...         requests without pause; "loaded NAME STATUS" ends
//	                              it and wants every answer to have had STATUS
//
// Nothing here reads the program's source.
package e2e
