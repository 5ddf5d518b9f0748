package keystile

import "time"

// User is a person of an organisation who signs in.
//
// How a user proves who they are is kept apart: a password hash, and [Factor]s.
type User struct {
	// ID: see ValidID. New ones are "user_" and 20 digits, the UTC moment of creation to
	// the microsecond, as the Ona platform writes them.
	ID             string
	OrganizationID string
	// Username is the name to sign in with, as it was given.
	Username string
	// Email is where mail goes; the username if that is an address; empty: none. It
	// signs in, too.
	Email string
	// Name is what people call them; empty: none.
	Name string
	// RoleID names the role whose scopes the user has; empty: none.
	RoleID string
	// AdminRole is what the user may do in Keystile itself (rulings R25).
	AdminRole AdminRole
	// CustomerIDs, GroupID and SkinID are the Ona platform's: claims of its tokens and nothing else.
	CustomerIDs []string
	GroupID     string
	SkinID      string
	// MFA is whether a second factor is asked for; empty: as the role or the organisation says.
	MFA MFAPolicy
	// MustChangePassword: the next sign-in with a password leads to a new password and to nothing else.
	MustChangePassword bool
	// Disabled users' sessions and credentials are refused.
	Disabled    bool
	LastLoginAt time.Time
	CreatedAt   time.Time
	UpdatedAt   time.Time
}

// AdminRole is what a user may do in Keystile itself. A dialect's role grants nothing here.
type AdminRole string

// The admin roles, the first with the most rights (rulings R25).
const (
	AdminNone        AdminRole = ""
	PlatformAdmin    AdminRole = "platform_admin"    // everything, in every organisation
	PlatformReviewer AdminRole = "platform_reviewer" // reviews applications
	OrgAdmin         AdminRole = "org_admin"         // everything, in their own organisation
	OrgDeveloper     AdminRole = "org_developer"     // applications and keys of their own organisation
)

// AdminRoles lists the admin roles.
var AdminRoles = []AdminRole{PlatformAdmin, PlatformReviewer, OrgAdmin, OrgDeveloper}

// MFAPolicy says whether a second factor is asked for at sign-in.
type MFAPolicy string

// The policies. Of those that the user, the role and the organisation state, the
// user's counts first, then the role's, then the organisation's; none of them: MFAOptional.
const (
	MFAInherit  MFAPolicy = ""
	MFARequired MFAPolicy = "required" // asked for; enrolled at sign-in if there is none
	MFAOptional MFAPolicy = "optional" // asked for where one is enrolled
	MFAOff      MFAPolicy = "off"      // never asked for
)

// MFAOf is the policy that holds: the first that is stated.
func MFAOf(user, role, organization MFAPolicy) MFAPolicy {
	for _, p := range []MFAPolicy{user, role, organization} {
		if p != MFAInherit {
			return p
		}
	}
	return MFAOptional
}
