package config

import (
	"net"
	"net/mail"
)

// checkMail refuses what no mail could be sent with, and warns of what nobody would be sent.
func (c *checker) checkMail() {
	m := c.Mail
	if m.Server == "" {
		for path, value := range map[string]string{"mail.from": m.From, "mail.username": m.Username, "mail.password": m.Password.Reveal()} {
			if value != "" {
				c.add(path, "set mail.server, or remove it", "means nothing without mail.server")
			}
		}
		return
	}
	c.checkListen("mail.server", m.Server)
	if host, _, err := net.SplitHostPort(m.Server); err == nil && host == "" {
		c.add("mail.server", "write host:port, such as smtp.example.com:587", "names no host")
	}
	if _, err := mail.ParseAddress(m.From); err != nil {
		c.add("mail.from", "write an address such as Keystile <no-reply@example.com>", "is not an address")
	}
	if (m.Username == "") != (m.Password == "") {
		c.add("mail.password", "give both mail.username and mail.password, or neither", "goes with mail.username")
	}
	if m.Security == "none" && !loopback(m.Server) {
		c.add("mail.security", "use starttls or tls", "reset links would cross the network in clear")
	}
	if c.PublicURL == "" {
		c.warn("mail.server", "set public_url", "no link can be sent: the server does not know its own URL")
	}
}
