package telemetry

import (
	"math"
	"time"
)

// record is one element of an answer, with the members Ona's clients read. The
// inverters have no battery, so soc and soh are never there.
type record struct {
	AssetID string `json:"asset_id"`
	SiteID  string `json:"site_id"`
	// Timestamp is when the interval begins, UTC, as 2025-11-01T00:00:00+00:00.
	Timestamp string `json:"timestamp"`
	// Power is the mean over the interval, kW.
	Power float64 `json:"power"`
	// KWh is the energy of the interval.
	KWh           float64 `json:"kWh"`
	InverterState int     `json:"inverter_state"`
	// RunState is 1 while the inverter feeds in, else 0.
	RunState int `json:"run_state"`
	// AssetTime is Timestamp on the asset's own clock.
	AssetTime string `json:"asset_ts"`
	// KVArh is the reactive energy of the interval, KVA the apparent power.
	KVArh float64 `json:"kVArh"`
	KVA   float64 `json:"kVA"`
	// PF is the power factor; absent while nothing is produced.
	PF float64 `json:"PF,omitempty"`
	// Temperature of the inverter, degrees Celsius.
	Temperature float64 `json:"temperature"`
	// ErrorCode and ErrorType are there during a fault.
	ErrorCode int    `json:"error_code,omitempty"`
	ErrorType string `json:"error_type,omitempty"`
}

// period is one element of the answer of /telemetry/data-period.
type period struct {
	AssetID string `json:"asset_id"`
	SiteID  string `json:"site_id"`
	// Start and End enclose all records of the asset; End is not itself in it.
	Start string `json:"start"`
	End   string `json:"end"`
	// Records is their number at five minutes.
	Records int `json:"records"`
}

// assetClock is the plants' local time: South Africa, without summer time.
var assetClock = time.FixedZone("SAST", 2*60*60)

// stamp writes a time the way all of Python's and JavaScript's parsers read it.
func stamp(t time.Time) string { return t.Format("2006-01-02T15:04:05-07:00") }

// powerFactor is what the inverters are set to.
const powerFactor = 0.99

// errorTypes names the codes of a fault.
var errorTypes = map[uint16]string{301: "grid_voltage", 402: "insulation", 503: "temperature"}

// summarize makes one record of consecutive samples of an asset: the first of
// them gives its time, the worst its state.
func summarize(a *asset, from, to int) record {
	var watts int64
	var degrees int64
	state, code := stateStandby, uint16(0)
	for _, s := range a.samples[from:to] {
		watts += int64(s.watts)
		degrees += int64(s.deciDegree)
		state = max(state, s.stateOf())
		if code == 0 {
			code = s.errorCode
		}
	}
	n := float64(to - from)
	kw := float64(watts) / n / 1000
	kwh := float64(watts) / 1000 * step.Hours()
	r := record{
		AssetID: a.id, SiteID: a.site, Timestamp: stamp(a.at(from)), AssetTime: stamp(a.at(from).In(assetClock)),
		Power: roundTo(kw, 1e-3), KWh: roundTo(kwh, 1e-4), InverterState: state,
		Temperature: roundTo(float64(degrees)/n/10, 0.1), ErrorCode: int(code), ErrorType: errorTypes[code],
	}
	if watts > 0 {
		r.RunState, r.PF = 1, powerFactor
		r.KVA = roundTo(kw/powerFactor, 1e-3)
		r.KVArh = roundTo(kwh*math.Sqrt(1/(powerFactor*powerFactor)-1), 1e-4)
	}
	return r
}

// roundTo rounds to a multiple of unit, a power of ten up to 1.
func roundTo(x, unit float64) float64 {
	scale := math.Round(1 / unit)
	return math.Round(x*scale) / scale
}
