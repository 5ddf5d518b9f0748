package archtest

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// root is the vocabulary, package keystile.
const root = "."

// anything opens every door.
const anything = "*"

// doors lists, for each package, what else of ours it may import. A row for
// "room/*" speaks for the folders in a room that have no row of their own; a
// folder whose name ends in "test" may import the room it lies in and whatever
// that room may. Rooms that are not built yet may have rows.
var doors = map[string][]string{
	root:       {},
	"client":   {}, // what a stranger would write: it shares no code with the server
	"sdk/go/*": {}, // the same: what callers build into their own programs
	"cmd/*":    {anything},

	"internal/gate": {root, "internal/credential", "internal/policy", "internal/limit", "internal/replay"},

	"internal/credential":      {root},
	"internal/credential/warm": {root},
	"internal/credential/*":    {root, "internal/credential", "internal/credential/warm"},

	"internal/jws": {root, "internal/credential"}, // reads with the bounded readers of credentials
	// Session tokens are signed tokens, and nothing else in the room of credentials is.
	"internal/credential/sessionjwt": {root, "internal/credential", "internal/credential/warm", "internal/jws"},
	"internal/dpop":                  {root, "internal/credential", "internal/jws"}, // a proof is a signed token, read with the bounded readers
	"internal/clientmetadata":        {root, "internal/jws"},                        // whether a client's keys can verify anything
	// Access tokens may be bound to a key, whose proofs come with them.
	"internal/credential/oauthtoken": {root, "internal/credential", "internal/credential/warm", "internal/dpop"},
	"internal/outbound":              {root},
	"internal/mtls":                  {},
	"internal/federation":            {root, "internal/jws", "internal/outbound"},

	"internal/policy":    {root},
	"internal/limit":     {root},
	"internal/replay":    {root},
	"internal/keyring":   {root, "internal/jws"}, // its token keys sign and verify
	"internal/feed":      {root},
	"internal/gather":    {root},
	"internal/audit":     {root},
	"internal/usage":     {root},
	"internal/metrics":   {root},
	"internal/tracing":   {root},
	"internal/username":  {root},
	"internal/yamlfile":  {root},
	"internal/store":     {root, "internal/store/gen"},
	"internal/store/gen": {},

	"internal/problem":   {root},
	"internal/dialect":   {root, "internal/dialect/*", "internal/problem"},
	"internal/dialect/*": {root, "internal/problem"},
	// Two platforms have sign-in endpoints of their own. What those read goes through the strict reader of JSON and the
	// classifier of the gate; who signs in is for package login.
	"internal/dialect/door":   {root, "internal/credential", "internal/limit", "internal/login"},
	"internal/dialect/ona":    {root, "internal/problem", "internal/dialect/door", "internal/credential", "internal/login"},
	"internal/dialect/nao":    {root, "internal/problem", "internal/dialect/door", "internal/login"},
	"internal/dialect/aurora": {root, "internal/problem", "internal/dialect/door"}, // reads the bodies of webhooks as sign-in doors read theirs
	"internal/dialect/dialecttest": {
		root, "internal/dialect", "internal/dialect/*", "internal/problem", "internal/login", "internal/limit",
	},
	"internal/enforce":   {root, "internal/dialect", "internal/dpop", "internal/mtls", "internal/problem"}, // dpop: how a refused proof is challenged; mtls: which certificate a request came with
	"internal/enforce/*": {root, "internal/enforce", "internal/dialect", "internal/mtls", "internal/problem"},

	"internal/manage":    {root, "internal/store", "internal/keyring", "internal/credential/apikey", "internal/credential/onetime", "internal/credential/partner", "internal/credential/oauthtoken", "internal/clientmetadata", "internal/outbound", "internal/webhook", "internal/jws", "internal/mtls", "internal/username", "internal/login/password", "internal/login/totp"}, // outbound: which addresses are public is listed once, there; clientmetadata, jws: redirect URIs and a client's keys are judged where they are read; what names, passwords and factors may be is written once, there
	"internal/login":     {root, "internal/store", "internal/keyring", "internal/credential/apikey", "internal/username", "internal/login/*"},                                                                                                                                                                                                                                    // credential/apikey: an auth_token is an API key
	"internal/partner":   {root, "internal/store", "internal/credential/partner", "internal/gather", "internal/problem"},
	"internal/webhook":   {root, "internal/store", "internal/credential/partner"},                                                                                                                           // deliveries carry session tokens, which are made as a launch makes them
	"internal/oidc":      {root, "internal/store", "internal/credential", "internal/credential/oauthtoken", "internal/clientmetadata", "internal/dpop", "internal/gather", "internal/jws", "internal/mtls"}, // credential: the classifier finds tokens where the gate does
	"internal/login/*":   {root},
	"internal/mail":      {root},
	"internal/backup":    {root, "internal/store"},                                                          // it copies a store's snapshot
	"internal/leak":      {root, "internal/manage"},                                                         // who answers to a leak is manage; this is the desk in front of it
	"internal/keyimport": {root, "internal/credential/apikey", "internal/store", "internal/login/password"}, // which hashes can be verified is written once, there
	"internal/api":       {root, "internal/manage", "internal/state", "internal/problem"},
	"internal/state":     {root, "internal/yamlfile", "internal/store", "internal/manage", "internal/credential/apikey", "internal/credential/partner", "internal/username"},
	"internal/config":    {root, "internal/yamlfile"},
	"internal/console":   {root, "internal/login", "internal/login/totp", "internal/manage", "internal/oidc", "internal/problem"}, // problem: programs that open an application are not refused with a page; the pages follow what the services answer; their types are the seam

	"internal/archtest": {},
	"examples/*":        {}, // stand for other people's programs
	"test/*":            {anything},
}

// checkDoors reports imports that no door allows, and packages without a row.
func checkDoors(t *tree) (broken []string) {
	for _, f := range t.packages {
		allowed, ok := doorsOf(f.path)
		if !ok {
			broken = append(broken, fmt.Sprintf("%s has no row in the table of doors", f.path))
			continue
		}
		for _, s := range f.files {
			for _, i := range s.imports() {
				if problem := t.judge(f.path, i.path, allowed); problem != "" {
					broken = append(broken, fmt.Sprintf("%s: %s", s.name, problem))
				}
			}
		}
	}
	return broken
}

// judge says what is wrong with one import of a package, if anything.
func (t *tree) judge(from, name string, allowed []string) string {
	into, ours := t.ours(name)
	switch {
	case !ours && from == root && strings.Contains(strings.Split(name, "/")[0], "."):
		return "the vocabulary imports the standard library only, not " + name
	case !ours:
		return ""
	case closed(into) && (!strings.HasPrefix(from, "test/") || !strings.HasPrefix(into, "test/")): // black-box tests share what starts the program
		return "nothing imports " + into
	case isTestRoom(into) && !isTestRoom(from) && !strings.HasPrefix(from, "test/"):
		return into + " is for tests"
	}
	if !slices.ContainsFunc(allowed, func(door string) bool { return leads(door, into) }) {
		return fmt.Sprintf("no door leads from %s to %s", from, into)
	}
	return ""
}

// closed says whether a folder is an end: a program, or a black-box test.
func closed(where string) bool {
	return strings.HasPrefix(where, "cmd/") || strings.HasPrefix(where, "test/")
}

// ours is the folder of an import path of this module.
func (t *tree) ours(name string) (string, bool) {
	if name == t.module {
		return root, true
	}
	return strings.CutPrefix(name, t.module+"/")
}

// doorsOf finds the row for a package.
func doorsOf(where string) ([]string, bool) {
	if row, ok := doors[where]; ok {
		return row, true
	}
	if parent := path.Dir(where); isTestRoom(where) {
		row, ok := doorsOf(parent)
		return append([]string{root, parent}, row...), ok
	}
	for above := path.Dir(where); above != "."; above = path.Dir(above) {
		if row, ok := doors[above+"/*"]; ok {
			return row, true
		}
	}
	return nil, false
}

// leads says whether a door leads into a folder; "room/*" leads to all in it.
func leads(door, into string) bool {
	room, all := strings.CutSuffix(door, "/*")
	return door == anything || door == into || all && path.Dir(into) == room
}

// isTestRoom says whether a folder holds behaviour suites: credentialtest in
// credential, but not archtest, which is a room of its own.
func isTestRoom(where string) bool {
	return strings.HasPrefix(where, "internal/") && strings.Count(where, "/") == 2 && strings.HasSuffix(where, "test")
}
