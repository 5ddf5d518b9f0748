// Package mail sends plain text messages by SMTP (RFC 5321), with STARTTLS (RFC 3207)
// or TLS from the first byte (RFC 8314).
//
// It is not a queue: a message is sent or it is an error. It knows nothing of what the messages say.
package mail
