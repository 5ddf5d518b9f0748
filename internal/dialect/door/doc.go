// Package door is what the sign-in doors of the dialects share: strict reading
// of what callers send, proving what they carry, and telling apart what the
// login service says. How a door words its answers is the dialect's own.
//
//	bytes --Members--> texts          Authorization --Bearer, Session--> principal
//	login error --Judge--> Verdict    (the dialect makes status and body of it)
//
// It knows no paths and no answer formats, and it decides nothing about people:
// package login does.
package door
