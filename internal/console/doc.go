// Package console is the pages people see: signing in, and their own account.
//
// Pages are rendered here, on the server, and work without JavaScript; passkeys
// alone need the one script. What a page does is done by package login, behind
// the interfaces in people.go; a page only asks, shows and sends on.
//
//	request ─> headers ─> same origin? ─> who? ─> access ─> form token? ─> handler ─> answer
//	                           │            │        │           │                     │ a view, or
//	                           no           │    too little      no                    │ a redirect
//	                           └─> 403      │        └─> /login  └─> 403               v
//	                                        └ cookie: session id and its MAC      layout.html
//
// # How a browser is known
//
// The cookie is the session's id and an HMAC over it (cookie.go). The id alone
// opens nothing, for it is shown in lists, logs and tokens; the MAC needs no
// column of its own, and a made-up cookie costs no look-up. Every sign-in makes a
// new session, so a new cookie: proving oneself again (step-up) is a sign-in too,
// and ends the session before it. A session cannot be fixed, because none exists
// before somebody is signed in.
//
// A form is believed if the browser says that it comes from this origin
// (Sec-Fetch-Site, else Origin) and, once somebody is signed in, if it carries
// the token of their session. A request with neither header is no browser's, and
// may sign in; it cannot do more without the token.
//
// # To add a page
//
// A handler in a .go file of the page's name, an .html file that defines "main",
// and a line in the list of routes (routes.go) that says who may see it. The
// navigation is the list in page.go. forms, error summaries, notices, tables,
// empty states and questions ("confirm.html") are there to be used: parts.html.
//
// It is not the management API (package api), and holds no rule about passwords
// or factors.
package console
