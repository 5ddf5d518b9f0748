package api

// Paging is what every list takes.
type Paging struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"200" default:"50" doc:"How many items at most"`
	Cursor string `query:"cursor" maxLength:"512" doc:"next_cursor of the page before; absent: the beginning"`
}

// List is one page of a collection.
type List[T any] struct {
	Items      []T    `json:"items" nullable:"false"`
	NextCursor string `json:"next_cursor" doc:"Where the next page begins; empty at the end"`
}

type listOutput[T any] struct{ Body List[T] }

// listing is a collection as a caller sees it.
type listing[T, W any] struct {
	// binding names the collection and its filter: what a cursor of it is good for.
	binding []string
	// read returns at most limit things that follow after.
	read func(after string, limit int) ([]T, error)
	// place is where a thing stands in the order.
	place func(T) string
	// through, after read, is where it stopped before the end although it read fewer
	// things than it might; empty: it did not. nil: it never does.
	through func() string
	wire    func(T) W
}

// listPage reads one page. One thing more than asked for is read, to know
// whether there is a next page.
func listPage[T, W any](a *API, c *caller, p Paging, from listing[T, W]) (*listOutput[W], error) {
	binding := append([]string{c.token.ID}, from.binding...)
	after, err := a.cursors.open(p.Cursor, binding...)
	if err != nil {
		return nil, err
	}
	things, err := from.read(after, p.Limit+1)
	if err != nil {
		return nil, err
	}
	out := &listOutput[W]{Body: List[W]{Items: []W{}}}
	if len(things) > p.Limit {
		things = things[:p.Limit]
		out.Body.NextCursor = a.cursors.seal(from.place(things[len(things)-1]), binding...)
	} else if from.through != nil && from.through() != "" {
		out.Body.NextCursor = a.cursors.seal(from.through(), binding...)
	}
	for _, thing := range things {
		out.Body.Items = append(out.Body.Items, from.wire(thing))
	}
	return out, nil
}
