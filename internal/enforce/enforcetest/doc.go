// Package enforcetest is the behaviour that every enforcement point must show.
//
//	func TestContract(t *testing.T) { enforcetest.Run(t, newClient) }
//
// newClient builds the point around the gate it is given and returns a Client,
// which turns a Call into the point's own wire format and its answer back. The
// suite then plays caller and gate at once: it says what the gate decides and
// checks what the caller and the upstream get to see.
//
// It is not for what only one point does: streaming, batches, header families.
package enforcetest
