package main

import (
	"encoding/base32"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"keystile.dev/keystile/internal/login/totp"
)

// newTokenTOTP is an authenticator app in a terminal: it knows no user and opens
// no store, so it is no way around anybody's factor.
func newTokenTOTP(a *app) *cobra.Command {
	var secret string
	cmd := &cobra.Command{
		Use:   "totp",
		Short: "Print the current code of a TOTP secret, as an authenticator app shows it",
		Long: `Prints the six digits of a TOTP secret for the current 30 seconds (RFC 6238,
SHA-1). It works on the secret alone. A server takes each code once: for another
sign-in wait until the next.`,
		Example: "  keystile token totp --secret @totp.txt",
		Args:    noArguments,
		RunE: func(*cobra.Command, []string) error {
			if secret == "" {
				return usagef("--secret is required")
			}
			text, err := a.secretArgument(secret)
			if err != nil {
				return err
			}
			key, err := decodeTOTP(text)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(a.stdout, totp.Code(key, totp.Step(time.Now())))
			return err
		},
	}
	cmd.Flags().StringVar(&secret, "secret", "", "the secret in base32: @FILE, - for standard input, or the text")
	addUnreadConfig(cmd)
	return cmd
}

// decodeTOTP reads a secret as people write it: base32 (RFC 4648, section 6) in
// any case, with or without padding and spaces.
func decodeTOTP(text string) ([]byte, error) {
	plain := strings.ToUpper(strings.NewReplacer(" ", "", "-", "", "=", "").Replace(text))
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(plain)
	if err != nil || len(key) == 0 {
		return nil, usagef("--secret: write the secret in base32, such as JBSWY3DPEHPK3PXP")
	}
	return key, nil
}
