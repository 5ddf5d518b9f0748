// Package limittest is the behaviour every limit.Limiter must show, run on each
// of them by its own tests, with the clock it counts by:
//
//	limittest.Run(t, func(t *testing.T) limit.Limiter { … }, limittest.NewVirtual)
//
// It also finds the Valkey or Redis server for tests. It is for tests only.
package limittest
