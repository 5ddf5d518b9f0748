// Package program runs the real keystile binary for black-box tests: built once,
// started on free ports, watched, signalled, and always ended.
//
//	Build ─> Start ─> Listening ─> requests ─> Signal ─> Wait
//
// It knows nothing of what the program does, and imports nothing of ours.
package program
