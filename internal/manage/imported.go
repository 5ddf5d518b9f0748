package manage

import (
	"fmt"

	keystile "keystile.dev/keystile"
)

// CheckImported says what is wrong with a key that is imported in bulk, all of it:
// what is wrong with one that is created is wrong here, but that it has expired. The
// store says whether its organisation and its sites are there.
func CheckImported(key keystile.APIKey) error {
	var p problems
	p.id("id", key.ID, keyIDs...)
	p.reference("organization", key.OrganizationID)
	checkKeyRights(&p, key)
	if len(key.PermittedSiteIDs) <= MaxSites {
		seen := make(map[string]bool, len(key.PermittedSiteIDs))
		for i, id := range key.PermittedSiteIDs {
			if at := fmt.Sprintf("permitted_site_ids[%d]", i); seen[id] {
				p.add(at, "name it once", "names a site a second time")
			} else {
				p.foreignID(at, id)
			}
			seen[id] = true
		}
	}
	return p.err()
}
