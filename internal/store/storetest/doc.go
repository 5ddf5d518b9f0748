// Package storetest is the behaviour every engine of package store must show,
// and the way other packages' tests come by a store.
//
//	s := storetest.Open(t)                       an empty, migrated SQLite store
//	storetest.Engines(t, func(t *testing.T, s *store.Store) { ... })
//	                                             the same test on SQLite and on PostgreSQL
//	storetest.Run(t, open)                       the whole suite
//
// PostgreSQL is found through KEYSTILE_TEST_POSTGRES. A test that needs it and
// does not find it fails: an engine that was not tried is not a passed test.
package storetest
