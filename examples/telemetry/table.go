package telemetry

import (
	"bytes"
	"compress/gzip"
	_ "embed" // for the records
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"sort"
	"strconv"
	"sync"
	"time"
)

//go:embed records.csv.gz
var packedRecords []byte

// step is the distance between two samples of an inverter.
const step = 5 * time.Minute

// sample is one line of the file, eight bytes: half a megabyte for all.
type sample struct {
	watts      int32
	deciDegree int16 // a tenth of a degree Celsius
	errorCode  uint16
}

// stateOf is the inverter_state the file gives; it follows from the rest, and
// reading the file checks that it does.
func (s sample) stateOf() int {
	switch {
	case s.errorCode != 0:
		return stateFault
	case s.watts > 0:
		return stateProducing
	}
	return stateStandby
}

// States of an inverter, as inverter_state in a record.
const (
	stateStandby   = 0 // no sun
	stateProducing = 1
	stateFault     = 2
)

// asset is one inverter with its samples, a step apart from first on.
type asset struct {
	id, site string
	first    time.Time
	samples  []sample
}

// at is the time of a sample.
func (a *asset) at(i int) time.Time { return a.first.Add(time.Duration(i) * step) }

// table holds all assets by site, ordered by id.
type table struct {
	sites map[string][]*asset
}

// asset finds one; nil if there is none of that id at that site.
func (t *table) asset(site, id string) *asset {
	for _, a := range t.sites[site] {
		if a.id == id {
			return a
		}
	}
	return nil
}

// records is the embedded table, read once.
var records = sync.OnceValues(func() (*table, error) { return readTable(bytes.NewReader(packedRecords)) })

// columns of the file, in order.
const (
	columnSite = iota
	columnAsset
	columnTime
	columnWatts
	columnDegrees
	columnState
	columnError
	columns
)

// readTable reads a compressed file as generate writes it.
func readTable(packed io.Reader) (*table, error) {
	plain, err := gzip.NewReader(packed)
	if err != nil {
		return nil, fmt.Errorf("telemetry: unpack the records: %w", err)
	}
	lines := csv.NewReader(plain)
	lines.FieldsPerRecord = columns
	lines.ReuseRecord = true
	if _, err := lines.Read(); err != nil {
		return nil, fmt.Errorf("telemetry: read the header: %w", err)
	}
	t := &table{sites: map[string][]*asset{}}
	var current *asset
	for {
		fields, err := lines.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("telemetry: read the records: %w", err)
		}
		if current, err = t.add(current, fields); err != nil {
			line, _ := lines.FieldPos(0)
			return nil, fmt.Errorf("telemetry: records, line %d: %w", line, err)
		}
	}
	for _, assets := range t.sites {
		sort.Slice(assets, func(i, j int) bool { return assets[i].id < assets[j].id })
	}
	return t, nil
}

// add appends one line to the asset it continues, or begins the next asset.
func (t *table) add(current *asset, fields []string) (*asset, error) {
	at, err := time.Parse(time.RFC3339, fields[columnTime])
	if err != nil {
		return nil, fmt.Errorf("time: %w", err)
	}
	s, err := parseSample(fields)
	if err != nil {
		return nil, err
	}
	if current == nil || current.id != fields[columnAsset] {
		site := string([]byte(fields[columnSite])) // not a piece of the line
		current = &asset{id: string([]byte(fields[columnAsset])), site: site, first: at, samples: make([]sample, 0, 2048)}
		if t.asset(site, current.id) != nil {
			return nil, fmt.Errorf("%s comes twice", current.id)
		}
		t.sites[site] = append(t.sites[site], current)
	}
	if !at.Equal(current.at(len(current.samples))) {
		return nil, fmt.Errorf("%s is not %v after the line before", fields[columnTime], step)
	}
	current.samples = append(current.samples, s)
	return current, nil
}

// parseSample reads the measured columns.
func parseSample(fields []string) (sample, error) {
	watts, err := strconv.ParseInt(fields[columnWatts], 10, 32)
	if err != nil {
		return sample{}, fmt.Errorf("power: %w", err)
	}
	degrees, err := strconv.ParseFloat(fields[columnDegrees], 64)
	if err != nil || !(degrees >= -100 && degrees <= 200) { // NaN is in no range
		return sample{}, fmt.Errorf("temperature %q: %w", fields[columnDegrees], errors.Join(err, errRange))
	}
	code, err := strconv.ParseUint(fields[columnError], 10, 16)
	if err != nil {
		return sample{}, fmt.Errorf("error code: %w", err)
	}
	s := sample{watts: int32(watts), deciDegree: int16(roundTo(degrees*10, 1)), errorCode: uint16(code)}
	if fields[columnState] != strconv.Itoa(s.stateOf()) {
		return sample{}, fmt.Errorf("state %s does not go with the power and error code", fields[columnState])
	}
	return s, nil
}

var errRange = errors.New("out of range")
