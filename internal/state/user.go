package state

import keystile "keystile.dev/keystile"

// user is a person.
type user struct {
	Username     string          `yaml:"username,required" example:"user@example.com" doc:"Name to sign in with; an e-mail address is the user's e-mail."`
	Password     keystile.Secret `yaml:"password" doc:"Password, of any strength."`
	PasswordHash keystile.Secret `yaml:"password_hash" doc:"In place of password: argon2id, bcrypt, scrypt or PBKDF2; renewed at the next sign-in."`
	Organization string          `yaml:"organization,required" example:"sibaya-power" doc:"Organization of the user."`
	RoleID       string          `yaml:"role_id" example:"role_analyst" doc:"Role in the platform; it grants nothing in Keystile itself."`
	AdminRole    string          `yaml:"admin_role" enum:"platform_admin platform_reviewer org_admin org_developer" doc:"Role in Keystile itself. Absent: none."`
	CustomerIDs  []string        `yaml:"customer_ids" doc:"Customers of the platform the user stands for."`
	GroupID      string          `yaml:"group_id" doc:"Group in the platform."`
	SkinID       string          `yaml:"skin_id" doc:"Appearance in the platform."`
	MFA          string          `yaml:"mfa" enum:"required optional off" doc:"Whether a second factor is asked for."`
	TOTPSecret   keystile.Secret `yaml:"totp_secret" doc:"An enrolled factor, as base32."`
	AuthToken    keystile.Secret `yaml:"auth_token" doc:"The user's personal API key."`
}
