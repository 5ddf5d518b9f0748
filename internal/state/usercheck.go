package state

import (
	"fmt"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/manage"
	"keystile.dev/keystile/internal/yamlfile"
)

func (k *users) check(c *checker) {
	k.byName = map[string]*entry[user]{}
	for i := range k.entries {
		e := &k.entries[i]
		u := e.value
		if u.ID != "" {
			identity(c, e, "user", u.ID)
		}
		checkSignInNames(c, e)
		if name := u.canonical(); name != "" && k.byName[name] == nil {
			k.byName[name] = e
		}
		reference(c, e, "organization", u.Organization)
		reference(c, e, "role_id", u.RoleID)
		reference(c, e, "group_id", u.GroupID)
		reference(c, e, "skin_id", u.SkinID)
		label(c, e, "name", u.Name)
		if len(u.CustomerIDs) > manage.MaxCustomers {
			c.add(e.from, e.path("customer_ids"), fmt.Sprintf("name at most %d", manage.MaxCustomers), "names %d customers", len(u.CustomerIDs))
		}
		for i, id := range u.CustomerIDs {
			reference(c, e, fmt.Sprintf("customer_ids[%d]", i), id)
		}
		checkProofs(c, e)
	}
}

// checkSignInNames checks the username and address, settles how they are written,
// and that no other entry has them or one that looks like them.
func checkSignInNames(c *checker, e *entry[user]) {
	u := e.value
	if u.Username == "" {
		return // missing, which the decoder reported
	}
	person := keystile.User{Username: u.Username, Email: u.Email}
	names, err := manage.SignInNames(&person)
	if err != nil {
		c.adopt(e.from, e.path(""), err)
		return
	}
	u.Username, u.Email, u.names = person.Username, person.Email, names
	for i, name := range names {
		field := []string{"username", "email"}[i]
		key := "name to sign in with " + name.Skeleton
		if first, ok := c.seen[key]; ok {
			c.add(e.from, e.path(field), "keep one", "%s is given, or can be mistaken for one that is given, a second time (first at %s)", yamlfile.Quote(name.Name), first)
			continue
		}
		c.seen[key] = e.where()
	}
}

// checkProofs checks what a user proves who they are with.
func checkProofs(c *checker, e *entry[user]) {
	u := e.value
	exclude := func(first, second bool, a, b string) {
		if first && second {
			c.add(e.from, e.path(b), "keep one of them", "%s and %s exclude each other", a, b)
		}
	}
	exclude(u.Password != "", u.PasswordHash != "", "password", "password_hash")
	exclude(u.TOTPSecret != "", u.TOTP != nil, "totp_secret", "totp")
	exclude(u.AuthToken != "", u.AuthTokenSealed != nil, "auth_token", "auth_token_sealed")
	for _, member := range []struct {
		name  string
		given keystile.Secret
		check func(keystile.Secret) error
	}{
		{"password", u.Password, manage.CheckPassword},
		{"password_hash", u.PasswordHash, manage.CheckPasswordHash},
		{"totp_secret", u.TOTPSecret, func(text keystile.Secret) error { _, err := manage.TOTPSecret(text); return err }},
		{"auth_token", u.AuthToken, manage.CheckAuthToken},
	} {
		switch {
		case member.given != "":
			c.adopt(e.from, e.path(""), member.check(member.given))
		case e.from.positions.Has(e.path(member.name)):
			c.add(e.from, e.path(member.name), "write it, or remove the line", "is empty")
		}
	}
	if u.TOTP != nil {
		reference(c, e, "totp.id", u.TOTP.ID)
		label(c, e, "totp.name", u.TOTP.Name)
	}
	if u.AuthTokenSealed != nil {
		reference(c, e, "auth_token_sealed.id", u.AuthTokenSealed.ID)
	}
}
