package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"keystile.dev/keystile/client"
)

// narrowing is what a key is to be narrowed to.
type narrowing struct {
	scopes, sites, networks []string
	expires                 string
	toUsed                  bool
}

func newKeyNarrow(a *app) *cobra.Command {
	var (
		t   target
		f   format
		n   narrowing
		yes bool
	)
	cmd := &cobra.Command{
		Use:   "narrow ID",
		Short: "Let a key do less: fewer scopes, sites or networks, an earlier end",
		Long: `Takes rights from a key; it never gives any: what would widen the key is refused.
Lists replace the key's; --to-used takes what keystile key propose prints. If
somebody else changes the key meanwhile nothing is done.`,
		Example: "  keystile key narrow key_sibaya --scope telemetry:read --yes\n  keystile key narrow key_sibaya --to-used --yes",
		Args:    oneArgument("the key's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if n.empty() {
				return usagef("nothing to take away: give --scope, --site, --allow-ip, --expires or --to-used")
			}
			if err := a.confirm(yes, "take rights from key "+args[0]+"?"); err != nil {
				return err
			}
			return a.withClient(cmd, &t, func(ctx context.Context, m *management) error {
				key, err := m.Key(ctx, args[0])
				if err != nil {
					return notFound(err, "key", args[0])
				}
				update, err := n.update(ctx, m, key)
				if err != nil {
					return err
				}
				if key, err = m.UpdateKey(ctx, args[0], key.Version, update); err != nil {
					return err
				}
				return a.printOneKey(f, key)
			})
		},
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&n.scopes, "scope", nil, "scope it keeps; repeat for more")
	flags.StringArrayVar(&n.sites, "site", nil, "site it keeps; repeat for more")
	flags.StringArrayVar(&n.networks, "allow-ip", nil, "network it may be used from, as a CIDR; repeat for more")
	flags.StringVar(&n.expires, "expires", "", "earlier end, RFC 3339")
	flags.BoolVar(&n.toUsed, "to-used", false, "keep the scopes and sites that it really used")
	flags.BoolVar(&yes, "yes", false, "do not ask")
	t.add(cmd)
	addFormat(cmd, &f)
	return cmd
}

func (n *narrowing) empty() bool {
	return n.scopes == nil && n.sites == nil && n.networks == nil && n.expires == "" && !n.toUsed
}

// update is the change of a key that the narrowing asks for, and nothing wider.
func (n *narrowing) update(ctx context.Context, m *management, key client.Key) (client.KeyUpdate, error) {
	var u client.KeyUpdate
	if n.toUsed {
		usage, err := m.KeyUsage(ctx, key.ID, "day", time.Time{}, time.Time{})
		if err != nil {
			return u, err
		}
		if usage.Proposal == nil {
			return u, fmt.Errorf("key %s: nothing narrower can be proposed", key.ID)
		}
		u.Scopes, u.PermittedSiteIDs = &usage.Proposal.Scopes, &usage.Proposal.PermittedSiteIDs
	}
	if n.scopes != nil {
		u.Scopes = &n.scopes
	}
	if n.sites != nil {
		u.PermittedSiteIDs = &n.sites
	}
	if n.networks != nil {
		u.AllowedIPs = &n.networks
	}
	if n.expires != "" {
		at, err := timeFlag("--expires", n.expires)
		if err != nil {
			return u, err
		}
		u.ExpiresAt = &at
	}
	return u, errors.Join(
		within("scope", u.Scopes, func(s string) bool {
			return slices.ContainsFunc(key.Scopes, func(held string) bool { return covers(held, s) })
		}),
		within("site", u.PermittedSiteIDs, func(s string) bool { return slices.Contains(key.PermittedSiteIDs, s) }),
		within("network", u.AllowedIPs, func(s string) bool { return inside(key.AllowedIPs, s) }),
		earlier(u.ExpiresAt, key.ExpiresAt),
	)
}

// within says which of a list the key does not have.
func within(noun string, list *[]string, held func(string) bool) error {
	if list == nil {
		return nil
	}
	var errs []error
	for _, one := range *list {
		if !held(one) {
			errs = append(errs, fmt.Errorf("%s %s: the key does not have it; narrowing only takes rights away", noun, one))
		}
	}
	return errors.Join(errs...)
}

// covers says whether a held scope covers another, as noun:* covers every verb.
func covers(held, scope string) bool {
	noun, all := strings.CutSuffix(held, ":*")
	return held == scope || all && strings.HasPrefix(scope, noun+":")
}

// inside says whether a network lies within one of those a key is held to; a key
// that is held to none may be held to any.
func inside(networks []string, text string) bool {
	if len(networks) == 0 {
		return true
	}
	network, err := netip.ParsePrefix(text)
	if err != nil {
		addr, err := netip.ParseAddr(text)
		if err != nil {
			return false
		}
		network = netip.PrefixFrom(addr, addr.BitLen())
	}
	return slices.ContainsFunc(networks, func(text string) bool {
		held, err := netip.ParsePrefix(text)
		return err == nil && held.Bits() <= network.Bits() && held.Contains(network.Addr())
	})
}

func earlier(wanted, present *time.Time) error {
	if wanted == nil || present == nil || !wanted.After(*present) {
		return nil
	}
	return fmt.Errorf("expires %s: the key ends at %s already; narrowing never lets it live longer", timeText(wanted), timeText(present))
}
