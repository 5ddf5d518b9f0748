package policy

// NamesHost says whether any route speaks for this host by name. The host is
// lower-case ASCII without a port or final dot.
func (t *Table) NamesHost(host string) bool {
	_, ok := t.byHost[host]
	return ok
}
