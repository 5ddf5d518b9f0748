// Package password hashes passwords, verifies hashes of its own and of other
// systems, and says which passwords are too weak.
//
//	new      argon2id, m=19456 KiB t=2 p=1 (OWASP Password Storage Cheat Sheet), as a PHC string
//	imported argon2id, argon2i, bcrypt, scrypt, PBKDF2: verified, and replaced at the next sign-in
//
// Hashing takes much memory and time on purpose, so [Hasher] bounds how much of it
// goes on at once: a flood of sign-ins waits, and what would wait too long is told so.
//
// It knows no users and no store.
package password
