// Package sdk runs the SDKs of every language against a real server: what one side
// signs, the other accepts, once; people log in, and whose session a token is of
// can be told by whoever verifies it.
package sdk
