// Package keyimport reads API keys in bulk: JSON Lines or CSV, one key a line,
// streamed, any number of them.
//
//	{"id":"key_1","organization":"acme","sha256":"9f86…","scopes":["telemetry:read"],"permitted_site_ids":["Sibaya"]}
//
//	id,organization,sha256,scopes,permitted_site_ids
//	key_1,acme,9f86…,telemetry:read,Sibaya North;Sibaya South
//
// Members: organization (required); one of secret, sha256, hmac_sha256, bcrypt and
// argon2 (required), with bcrypt and argon2 a prefix, 6 to 20 characters that the key
// begins with and no other key of the file does; id, name, environment, permitted_site_ids, scopes, allowed_ips, limit, expires_at.
// Lists in CSV are separated by ";". A line that cannot be used is reported with
// its number and left out; the others go on.
package keyimport
