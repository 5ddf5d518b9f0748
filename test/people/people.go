package people

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential/sessionjwt"
	"keystile.dev/keystile/internal/keyring"
	"keystile.dev/keystile/internal/manage"
	"keystile.dev/keystile/internal/store"
)

// Issuer signs in and mints. It is safe for concurrent use.
type Issuer struct {
	store  *store.Store
	keys   *keyring.TokenKeys
	minter *sessionjwt.Minter
}

// Person is a user with a live session.
type Person struct {
	Session keystile.Session
	User    keystile.User
}

// Open opens the store of a house. masterKey is as configuration names it;
// publicURL is the server's, which its tokens name.
func Open(ctx context.Context, storeURL, masterKey, publicURL string) (i *Issuer, err error) {
	master, err := keyring.LoadMaster(masterKey, func(string) string { return "" })
	if err != nil {
		return nil, err
	}
	i = &Issuer{}
	if i.store, err = store.Open(ctx, store.Options{URL: storeURL, Logger: slog.New(slog.DiscardHandler)}); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, i.store.Close())
		}
	}()
	return i, i.openKeys(ctx, master, publicURL)
}

func (i *Issuer) openKeys(ctx context.Context, master *keyring.Master, publicURL string) error {
	wrapped, err := i.store.Keyset(ctx, "sealing")
	if err != nil {
		return err
	}
	sealer, err := keyring.OpenSealer(master, wrapped)
	if err != nil {
		return err
	}
	sealed, err := i.store.Keyset(ctx, "token_id")
	if err != nil {
		return err
	}
	ids, err := keyring.OpenTokenIDs(sealer, sealed, rand.Reader)
	if err != nil {
		return err
	}
	service := &manage.Service{Store: i.store, Sealer: sealer, Random: rand.Reader, Now: time.Now}
	if err := service.EnsureTokenKeys(ctx, store.Actor{Name: "test"}, keystile.EdDSA, keystile.HS256); err != nil {
		return err
	}
	i.keys = keyring.NewTokenKeys(keyring.TokenKeysOptions{Load: service.TokenSet, Now: time.Now})
	i.minter, err = sessionjwt.NewMinter(sessionjwt.MinterOptions{Keys: i.keys, IDs: ids, Issuer: publicURL, Now: time.Now})
	return err
}

// Close closes the store.
func (i *Issuer) Close() error { return i.store.Close() }

// signInBatch is how many people one transaction signs in.
const signInBatch = 1000

// SignIn makes n users of an organisation with a role, each with a session.
func (i *Issuer) SignIn(ctx context.Context, organization, role string, n int) ([]Person, error) {
	now := time.Now().UTC().Truncate(time.Microsecond)
	people := make([]Person, n)
	for p := range people {
		id := fmt.Sprintf("%s_%09d", organization, p)
		people[p] = Person{
			User: keystile.User{ID: "user_" + id, OrganizationID: organization, Username: id + "@example.com", RoleID: role},
			Session: keystile.Session{
				ID: "ses_" + id, UserID: "user_" + id, OrganizationID: organization, Door: keystile.DoorOna,
				Methods: []keystile.AuthMethod{keystile.MethodPassword}, AuthenticatedAt: now, CreatedAt: now, LastUsedAt: now, ExpiresAt: now.Add(30 * 24 * time.Hour),
			},
		}
	}
	for from := 0; from < n; from += signInBatch {
		batch := people[from:min(from+signInBatch, n)]
		err := i.store.Mutate(ctx, store.Actor{Name: "test"}, func(ctx context.Context, tx *store.Tx) error {
			for _, p := range batch {
				name := store.SignInName{Name: p.User.Username, Skeleton: p.User.Username}
				if err := errors.Join(tx.CreateUser(ctx, p.User, name), tx.CreateSession(ctx, p.Session)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return people, nil
}

// SignOut ends a session.
func (i *Issuer) SignOut(ctx context.Context, p Person) error {
	return i.store.Mutate(ctx, store.Actor{Name: "test"}, func(ctx context.Context, tx *store.Tx) error {
		return tx.RevokeSession(ctx, p.Session.ID)
	})
}

// Ona mints a token as the Ona platform reads it.
func (i *Issuer) Ona(ctx context.Context, p Person) (string, error) {
	token, _, err := i.minter.Ona(ctx, p.Session, p.User)
	return token.Reveal(), err
}

// KeysChanged makes the next token one of the keys as they are then; the feed tells
// a server so.
func (i *Issuer) KeysChanged() { i.keys.Apply(keystile.Change{Kind: keystile.ChangeTokenKey}) }

// Standard mints a token under the public key that signs now.
func (i *Issuer) Standard(ctx context.Context, p Person) (string, error) {
	token, _, err := i.minter.Standard(ctx, p.Session, p.User, "", 0)
	return token.Reveal(), err
}
