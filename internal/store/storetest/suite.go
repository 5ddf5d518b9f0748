package storetest

import (
	"testing"

	"keystile.dev/keystile/internal/store"
)

// Run shows that a store behaves as package store promises. open gives an
// empty, migrated store each time it is called.
func Run(t *testing.T, open func(t *testing.T) *store.Store) {
	t.Helper()
	for _, group := range [][]behaviour{
		organizationBehaviours, siteBehaviours, roleBehaviours, keyBehaviours, secretBehaviours, adminTokenBehaviours,
		keyringBehaviours, signingKeyBehaviours, userBehaviours, loginBehaviours, providerBehaviours, nonceBehaviours,
		applicationBehaviours, webhookBehaviours, oauthBehaviours, visitBehaviours, keyLifeBehaviours,
		transactionBehaviours, auditBehaviours, checkpointBehaviours, feedBehaviours, decisionBehaviours, importBehaviours, sizeBehaviours,
	} {
		for _, b := range group {
			t.Run(b.name, func(t *testing.T) { b.check(t, open(t)) })
		}
	}
}

// behaviour is one guarantee, named as a sentence, and the test of it on an
// empty store.
type behaviour struct {
	name  string
	check func(t *testing.T, s *store.Store)
}
