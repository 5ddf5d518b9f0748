package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"strconv"

	"github.com/spf13/cobra"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/client"
	"keystile.dev/keystile/internal/login/totp"
)

var people = thing[client.User]{
	noun: "user", plural: "users", byOrganization: true,
	columns: []string{"ID", "ORGANIZATION", "USERNAME", "EMAIL", "NAME", "ROLE", "ADMIN ROLE", "MFA", "DISABLED", "LAST LOGIN"},
	cells: func(u client.User) []string {
		return []string{
			u.ID, u.Organization, u.Username, u.Email, u.Name, u.RoleID, u.AdminRole, u.MFA, strconv.FormatBool(u.Disabled), timeText(u.LastLoginAt),
		}
	},
	all: func(ctx context.Context, m *management, o client.ListOptions) iter.Seq2[client.User, error] {
		return m.AllUsers(ctx, o)
	},
	one: findUser,
	remove: func(ctx context.Context, m *management, name string) error {
		u, err := findUser(ctx, m, name)
		if err != nil {
			return err
		}
		return m.DeleteUser(ctx, u.ID)
	},
}

// findUser reads the user with an id, or else with a username or e-mail address.
func findUser(ctx context.Context, m *management, name string) (client.User, error) {
	if keystile.ValidID(name) {
		u, err := m.User(ctx, name)
		if err == nil || !client.IsNotFound(err) {
			return u, err
		}
	}
	u, ok, err := m.FindUser(ctx, name)
	if err == nil && !ok {
		err = &client.Error{Status: http.StatusNotFound}
	}
	return u, err
}

func newUser(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "user",
		Short: "Create, list, show, change, disable and delete people who sign in; their passwords and second factors",
		Example: `  keystile user create --organization sibaya-power --username user@example.com --role role_analyst --password @password.txt
  keystile user disable user@example.com`,
	}
	cmd.AddCommand(
		newUserCreate(a), people.list(a), people.show(a), newUserUpdate(a),
		newUserSwitch(a, "disable", true), newUserSwitch(a, "enable", false), people.delete(a),
		newUserPassword(a), newUserResetMFA(a), newUserTOTP(a),
	)
	return cmd
}

func newUserCreate(a *app) *cobra.Command {
	var in client.UserCreate
	return creator(a, "user", "keystile user create --organization sibaya-power --username user@example.com --password @password.txt", func(cmd *cobra.Command) {
		flags := cmd.Flags()
		flags.StringVar(&in.Organization, "organization", "", "organisation of the user (required)")
		flags.StringVar(&in.Username, "username", "", "name to sign in with; an e-mail address is the user's e-mail (required)")
		flags.StringVar(&in.Email, "email", "", "e-mail address; default the username if that is one")
		flags.StringVar(&in.Name, "name", "", "what people call them")
		flags.StringVar(&in.RoleID, "role", "", "role whose scopes the user has")
		flags.StringVar(&in.AdminRole, "admin-role", "", "platform_admin, platform_reviewer, org_admin or org_developer; default none")
		flags.StringArrayVar(&in.CustomerIDs, "customer", nil, "customer of the platform the user stands for; repeat for more")
		flags.StringVar(&in.GroupID, "group", "", "group in the platform")
		flags.StringVar(&in.SkinID, "skin", "", "appearance in the platform")
		flags.StringVar(&in.MFA, "mfa", "", "required, optional or off; default as the role or the organisation says")
		flags.BoolVar(&in.MustChangePassword, "must-change-password", false, "the first sign-in leads to a new password")
		flags.StringVar(&in.Password, "password", "", "password: @FILE, - for standard input, or the text; default none")
		flags.StringVar(&in.PasswordHash, "password-hash", "", "import a password by its hash (argon2id, bcrypt, scrypt, PBKDF2): @FILE, - for standard input, or the text")
		flags.StringVar(&in.ID, "id", "", "id; default generated")
	}, func(ctx context.Context, m *management, f format) error {
		if err := a.readNewUser(&in); err != nil {
			return err
		}
		made, err := m.CreateUser(ctx, in)
		if err != nil {
			return err
		}
		return people.print(a, f, made)
	})
}

func (a *app) readNewUser(in *client.UserCreate) error {
	switch {
	case in.Organization == "":
		return usagef("--organization is required")
	case in.Username == "":
		return usagef("--username is required")
	case in.Password != "" && in.PasswordHash != "":
		return usagef("--password and --password-hash exclude each other")
	}
	for _, secret := range []*string{&in.Password, &in.PasswordHash} {
		given := *secret
		var err error
		if *secret, err = a.secretArgument(given); err != nil {
			return err
		}
		if given != "" && *secret == "" {
			return usagef("the password is empty")
		}
	}
	return nil
}

// userCommand completes a command about one user, given by id or name.
func (a *app) userCommand(cmd *cobra.Command, work func(ctx context.Context, m *management, f format, u client.User) error) *cobra.Command {
	var (
		t target
		f format
	)
	before := cmd.PreRunE
	cmd.PreRunE = nil
	cmd.Args = oneArgument("the user's id, username or e-mail address")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if before != nil {
			if err := before(cmd, args); err != nil {
				return err
			}
		}
		return a.withClient(cmd, &t, func(ctx context.Context, m *management) error {
			u, err := findUser(ctx, m, args[0])
			if err != nil {
				return notFound(err, "user", args[0])
			}
			return work(ctx, m, f, u)
		})
	}
	t.add(cmd)
	addFormat(cmd, &f)
	return cmd
}

func newUserUpdate(a *app) *cobra.Command {
	var username, email, name, role, admin, group, skin, policy string
	var customers []string
	var mustChange bool
	var cmd *cobra.Command
	cmd = a.userCommand(&cobra.Command{
		Use: "update USER", Short: "Change a user; an empty value is none",
		Example: "  keystile user update user@example.com --role role_admin --mfa required",
	}, func(ctx context.Context, m *management, f format, u client.User) error {
		var in client.UserUpdate
		for flag, set := range map[string]func(){
			"username": func() { in.Username = &username }, "email": func() { in.Email = &email }, "name": func() { in.Name = &name },
			"role": func() { in.RoleID = &role }, "admin-role": func() { in.AdminRole = &admin }, "group": func() { in.GroupID = &group },
			"skin": func() { in.SkinID = &skin }, "mfa": func() { in.MFA = &policy }, "customer": func() { in.CustomerIDs = &customers },
			"must-change-password": func() { in.MustChangePassword = &mustChange },
		} {
			if cmd.Flags().Changed(flag) {
				set()
			}
		}
		if in == (client.UserUpdate{}) {
			return usagef("nothing to change: give a flag, such as --role")
		}
		changed, err := m.UpdateUser(ctx, u.ID, client.Version{}, in)
		if err != nil {
			return err
		}
		return people.print(a, f, changed)
	})
	flags := cmd.Flags()
	flags.StringVar(&username, "username", "", "name to sign in with")
	flags.StringVar(&email, "email", "", "e-mail address")
	flags.StringVar(&name, "name", "", "what people call them")
	flags.StringVar(&role, "role", "", "role whose scopes the user has")
	flags.StringVar(&admin, "admin-role", "", "platform_admin, platform_reviewer, org_admin or org_developer")
	flags.StringArrayVar(&customers, "customer", nil, "customer of the platform; repeat for more; they replace those there are")
	flags.StringVar(&group, "group", "", "group in the platform")
	flags.StringVar(&skin, "skin", "", "appearance in the platform")
	flags.StringVar(&policy, "mfa", "", "required, optional or off")
	flags.BoolVar(&mustChange, "must-change-password", false, "the next sign-in leads to a new password")
	return cmd
}

// newUserSwitch disables or enables a user: a disabled one's sessions and
// credentials are refused, and the sessions do not come back.
func newUserSwitch(a *app, verb string, disabled bool) *cobra.Command {
	return a.userCommand(&cobra.Command{
		Use: verb + " USER", Short: map[bool]string{true: "End a user's sessions and refuse their credentials", false: "Accept a user's credentials again"}[disabled],
		Example: "  keystile user " + verb + " user@example.com",
	}, func(ctx context.Context, m *management, f format, u client.User) error {
		changed, err := m.UpdateUser(ctx, u.ID, client.Version{}, client.UserUpdate{Disabled: &disabled})
		if err != nil {
			return err
		}
		return people.print(a, f, changed)
	})
}

func newUserPassword(a *app) *cobra.Command {
	var in client.PasswordSet
	cmd := a.userCommand(&cobra.Command{
		Use: "set-password USER --password @FILE", Short: "Give a user a password and end their sessions",
		Example: "  keystile user set-password user@example.com --password @password.txt --must-change",
		PreRunE: func(*cobra.Command, []string) (err error) {
			if in.Password == "" {
				return usagef("--password is required: @FILE, or - for standard input")
			}
			if in.Password, err = a.secretArgument(in.Password); err == nil && in.Password == "" {
				err = usagef("the password is empty")
			}
			return err
		},
	}, func(ctx context.Context, m *management, f format, u client.User) error {
		changed, err := m.SetUserPassword(ctx, u.ID, in)
		if err != nil {
			return err
		}
		return people.print(a, f, changed)
	})
	cmd.Flags().StringVar(&in.Password, "password", "", "@FILE, - for standard input, or the text (required)")
	cmd.Flags().BoolVar(&in.MustChange, "must-change", false, "the next sign-in with it leads to a new password")
	return cmd
}

func newUserResetMFA(a *app) *cobra.Command {
	var yes bool
	cmd := a.userCommand(&cobra.Command{
		Use: "reset-mfa USER", Short: "Remove every second factor and recovery code of a user, and end their sessions",
		Example: "  keystile user reset-mfa user@example.com --yes",
		PreRunE: func(_ *cobra.Command, args []string) error {
			return a.confirm(yes, "remove every second factor of user "+args[0]+"?")
		},
	}, func(ctx context.Context, m *management, f format, u client.User) error {
		changed, err := m.ResetUserMFA(ctx, u.ID)
		if err != nil {
			return err
		}
		return people.print(a, f, changed)
	})
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

func newUserTOTP(a *app) *cobra.Command {
	return a.userCommand(&cobra.Command{
		Use: "totp USER", Short: "Give a user a TOTP factor and print it once, as an otpauth URI and a QR code",
		Example: "  keystile user totp user@example.com",
	}, func(ctx context.Context, m *management, f format, u client.User) error {
		made, err := m.EnrolUserTOTP(ctx, u.ID)
		if err != nil {
			return err
		}
		if f == formatJSON {
			return printJSON(a.stdout, made)
		}
		code, err := totp.Terminal(keystile.Secret(made.URI))
		if err != nil {
			return errors.Join(err, printFields(a.stdout, "uri", made.URI))
		}
		_, err = fmt.Fprintf(a.stdout, "%s\nShown only now; scan it with an authenticator app, or enter:\n%s\n", code, made.URI)
		return err
	})
}
