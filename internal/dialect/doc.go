// Package dialect is the list of the API platforms whose wire formats Keystile
// speaks. At the enforcement points a dialect decides one thing: what the body
// of a refusal looks like, so that the platform's own clients understand it.
//
//	route.Errors --Find--> Dialect --Refusal--> content type, body
//
// Status, challenge, limits and every other header field are the same in all
// dialects and are written by package enforce.
//
// To add one: a folder with a type that has the methods of Dialect and imports
// nothing of this room, its golden files in dialecttest, and a line in all.
package dialect
