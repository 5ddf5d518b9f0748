package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store/gen"
)

// SignInName is a name that a user signs in with: their username or e-mail
// address, as package username makes it comparable.
type SignInName struct {
	// Name is the canonical form: what look-ups compare, byte by byte.
	Name string
	// Skeleton is the same for names that look alike. It is unique, too, and never looked up.
	Skeleton string
}

// UserNames lists the names a user signs in with, by name.
func (r *reads) UserNames(ctx context.Context, id string) ([]SignInName, error) {
	rows, err := r.q.ListUserNames(ctx, id)
	if err != nil {
		return nil, r.fail("read the names of user "+clip(id), err)
	}
	names := make([]SignInName, len(rows))
	for i, row := range rows {
		names[i] = SignInName{Name: row.Name, Skeleton: row.Skeleton}
	}
	return names, nil
}

// UserLookup is a user with what says what they may do.
type UserLookup struct {
	User         keystile.User
	Organization keystile.Organization
	// Role is the user's; the zero Role where they have none.
	Role keystile.Role
	// Revision of the feed, read no later than the rest: a cache drops what it
	// read before a newer change of the same thing.
	Revision int64
}

// errUnknownUser is made once: a flood of unknown names must cost little.
var errUnknownUser = fmt.Errorf("no user has that name: %w", keystile.ErrNotFound)

// FindUser finds the user who signs in with a name, given in canonical form.
// None is [keystile.ErrNotFound]; whether user and organisation are enabled is
// the caller's to judge.
func (r *reads) FindUser(ctx context.Context, name string) (UserLookup, error) {
	if name == "" || checkText("username", name) != nil {
		return UserLookup{}, errUnknownUser // PostgreSQL would call it an error, not unknown
	}
	row, err := r.q.FindUserByName(ctx, name)
	if errors.Is(err, sql.ErrNoRows) {
		return UserLookup{}, errUnknownUser
	}
	if err != nil {
		return UserLookup{}, r.fail("look up a user", err)
	}
	return r.userLookup(ctx, gen.FindUserByIDRow(row))
}

// FindUserByID is FindUser for the user of an id.
func (r *reads) FindUserByID(ctx context.Context, id string) (UserLookup, error) {
	row, err := r.q.FindUserByID(ctx, id)
	if err != nil {
		return UserLookup{}, r.fail("look up user "+clip(id), err)
	}
	return r.userLookup(ctx, row)
}

// userLookup adds the role. It is read after the revision, so that a change
// since then is noticed.
func (r *reads) userLookup(ctx context.Context, row gen.FindUserByIDRow) (UserLookup, error) {
	const op = "look up a user"
	found := UserLookup{Revision: row.Revision}
	var err error
	if found.User, err = userOf(row.User); err != nil {
		return UserLookup{}, r.fail(op, err)
	}
	if found.Organization, err = organizationOf(row.Organization); err != nil {
		return UserLookup{}, r.fail(op, err)
	}
	if found.User.RoleID == "" {
		return found, nil
	}
	// A role that is deleted meanwhile was taken from the user first: no scopes.
	if found.Role, err = r.Role(ctx, found.User.RoleID); err != nil && !errors.Is(err, keystile.ErrNotFound) {
		return UserLookup{}, err
	}
	return found, nil
}

// SiteIDs lists the ids of all sites of an organisation, in order: those that
// its users may read.
func (r *reads) SiteIDs(ctx context.Context, organizationID string) ([]string, error) {
	ids, err := r.q.ListSiteIDsOfOrganization(ctx, organizationID)
	return ids, r.fail("list the sites of organization "+clip(organizationID), err)
}

// APIKeysOfUser lists the API keys that a user owns, by id.
func (r *reads) APIKeysOfUser(ctx context.Context, userID string) ([]keystile.APIKey, error) {
	rows, err := r.q.ListAPIKeysOfUser(ctx, userID, maxLimit)
	if err != nil {
		return nil, r.fail("list the API keys of user "+clip(userID), err)
	}
	return mapRows(rows, apiKeyOf, r.fail, "list the API keys of user "+clip(userID))
}

// checkNames refuses names that could not be told apart, and a user without any.
func checkNames(names []SignInName) error {
	if len(names) == 0 {
		return keystile.Invalidf("username", "give one", "a user has a name to sign in with")
	}
	seen := map[string]bool{}
	for _, n := range names {
		if n.Name == "" || n.Skeleton == "" {
			return keystile.Invalidf("username", "give its canonical form", "the name is empty")
		}
		if err := checkTexts(text{"username", n.Name}, text{"username", n.Skeleton}); err != nil {
			return err
		}
		if seen[n.Skeleton] {
			return keystile.Invalidf("email", "use one of them for both", "looks like the username and is not the same")
		}
		seen[n.Skeleton] = true
	}
	return nil
}

// namesFree refuses names that are, or look like, another user's.
func (t *Tx) namesFree(ctx context.Context, id string, names []SignInName) error {
	for _, n := range names {
		taken, err := t.q.ListUserNamesLike(ctx, n.Name, n.Skeleton)
		if err != nil {
			return t.fail("look for users of the same name", err)
		}
		for _, other := range taken {
			switch {
			case other.UserID == id:
			case other.Name == n.Name:
				return conflict("a user with the name %q exists already", clip(n.Name))
			default:
				return conflict("the name %q can be mistaken for another user's; choose another", clip(n.Name))
			}
		}
	}
	return nil
}

// insertNames gives a user names that were free a moment ago.
func (t *Tx) insertNames(ctx context.Context, id string, names []SignInName) error {
	for _, n := range names {
		inserted, err := t.q.InsertUserName(ctx, n.Name, n.Skeleton, id)
		if err != nil {
			return t.fail("name user "+id, err)
		}
		if inserted == 0 {
			// Somebody else took it meanwhile, and half of the user is written: nothing of this may be kept.
			t.broken = conflict("a user with the name %q exists already", clip(n.Name))
			return t.broken
		}
	}
	return nil
}

func (t *Tx) replaceNames(ctx context.Context, id string, names []SignInName) error {
	if err := t.namesFree(ctx, id, names); err != nil {
		return err
	}
	if err := t.q.DeleteUserNames(ctx, id); err != nil {
		return t.fail("rename user "+id, err)
	}
	return t.insertNames(ctx, id, names)
}

func sortedNames(names []SignInName) []SignInName {
	return slices.SortedFunc(slices.Values(names), func(a, b SignInName) int { return cmp.Compare(a.Name, b.Name) })
}

func nameTexts(names []SignInName) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = n.Name
	}
	return out
}
