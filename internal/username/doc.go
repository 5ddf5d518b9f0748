// Package username says when two texts name the same user: it gives usernames
// and e-mail addresses the form in which they are compared, and refuses names
// that people could not tell from another's.
//
//	" Ｕser＠Example.COM. " --Canonical--> "user@example.com"   what look-ups compare
//	"аlice" (Cyrillic а)   --Parse------> refused: it mixes scripts
//	"сара"  (all Cyrillic) --Parse------> canonical "сара", skeleton "capa"
//
// # The canonical form
//
// A username is made comparable by the UsernameCaseMapped profile (RFC 8265,
// section 3.3): full-width forms become plain ones, capitals small ones, and
// what can be composed is composed (NFC). Spaces within, control characters,
// symbols and compatibility characters are refused. Before that, spaces around
// the name and dots at its end go: nobody sees them. Of an e-mail address, the
// local part is treated so, and the domain gets the ASCII form in which it is
// looked up (RFC 5891). There is at most one @: with two, two programs may
// disagree on where the domain begins. A name that is changed by a second
// treatment is refused, so that a canonical form is its own.
//
// The local parts of addresses are compared without regard to case, as every
// mail provider of note does, although RFC 5321, section 2.4, would allow otherwise.
//
// # Names that look alike
//
// Unicode has letters that look the same. Two rules keep them harmless:
//
//   - A username, a local part, and each label of a domain is written in one
//     script, or in those that Japanese, Korean or Chinese mixes (UTS #39,
//     section 5.2, "highly restrictive"). Digits are 0 to 9.
//   - What is then still confusable is so as a whole. Each name has a skeleton
//     (UTS #39, section 4) in which Cyrillic, Greek and Armenian letters are
//     replaced by the Latin ones that they look like. A name with the skeleton of
//     another user's is refused when it is given; both cannot be.
//
// The table is ours and short: letters, not pairs such as rn and m, and nothing
// within ASCII, so that no name an American keyboard can type is ever refused for
// another. A name with letters beyond ASCII is shown in small letters, because
// capitals look alike in other ways (Greek Η and Latin H).
//
// Skeletons are for refusing alone. Who signs in, or is vouched for by an
// identity provider, is found by the canonical form: otherwise whoever is given
// the address сара@… by their provider would be capa@….
//
// It is not the place for which names are taken, which the store knows.
package username
