package onetime

// TakeAllPlaces makes costly proofs of pairs that failed often wait until leave is called.
func TakeAllPlaces(k *Kind) (leave func()) {
	for range cap(k.costly.places) {
		k.costly.places <- struct{}{}
	}
	return func() {
		for range cap(k.costly.places) {
			<-k.costly.places
		}
	}
}
