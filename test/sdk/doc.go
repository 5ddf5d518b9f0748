// Package sdk runs the signing helpers of every language against a real server:
// what one side signs, the other accepts, once.
package sdk
