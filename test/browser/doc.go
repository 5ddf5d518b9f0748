// Package browser proves the pages in a real browser: Chromium, driven over its
// DevTools protocol, against the real server with its real mail, passwords,
// codes and passkeys.
//
//	Chromium ──TLS──> keystile serve ──SMTP──> mailbox (in the test)
//	  │ virtual authenticator
//	  └ accessibility checker (axe-core), put in past the page's own policy
//
// Every page is looked at light, dark and on a phone: the checker finds nothing,
// nothing scrolls sideways, and the browser logs no error. With
// KEYSTILE_SCREENSHOTS=DIR pictures of all of them are left there.
//
// It is a module of its own, so that the browser's driver is no dependency of the
// product: cd test/browser && go test.
//
// It holds tests only. What a page refuses is tested beside it, in
// internal/console; here is what only a browser can tell.
package browser
