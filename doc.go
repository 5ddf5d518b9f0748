// Package keystile is the vocabulary of the Keystile credential server: the
// words every room of the house speaks, and nothing else.
//
// It imports the standard library only. It holds no behaviour beyond what a
// word needs to be safe to use: a [Secret] that cannot be printed by accident,
// a [Reason] that knows its HTTP status, a [Principal] that can be asked
// whether it holds a scope.
//
//	Request   what an enforcement point makes of its own wire format
//	Found     the credential the classifier saw in it, and where
//	Presented that credential parsed by its Kind
//	Principal who it stands for, immutable and shared by pointer
//	Decision  yes or no, and why
//
// The durable things (Organization, Site, Role, APIKey, AdminToken, Route,
// Event) have one file each.
package keystile
