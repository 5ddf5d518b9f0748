package main

import (
	"math"
	"math/rand/v2"
	"time"
)

// step is the distance between two records.
const step = 5 * time.Minute

// location is the plants' time zone: South Africa, without summer time.
var location = time.FixedZone("SAST", 2*60*60)

// plant is one invented solar plant.
type plant struct {
	site                string
	latitude, longitude float64 // degrees, north and east positive
	firstInverter       int64
	inverters           int64
	dcKW, acKW          float64 // of one inverter: modules connected, and its rating
	faults              []fault
}

// fault is a time during which one inverter stands still.
type fault struct {
	inverter int64 // counted from 0
	day      int
	from, to time.Duration // after midnight, local
	code     int
}

// Fault codes, as error_code in a record.
const (
	faultGridVoltage = 301 // the grid's voltage out of range
	faultInsulation  = 402 // insulation resistance of the modules too low
	faultTemperature = 503 // the inverter too hot
)

// plants are the three sites. Places are real to two decimals, the plants not.
var plants = []plant{
	{
		site: "Sibaya", latitude: -29.65, longitude: 31.11, firstInverter: 1000000054495190, inverters: 10, dcKW: 120, acKW: 100,
		faults: []fault{{inverter: 3, day: 2, from: 10*time.Hour + 20*time.Minute, to: 11*time.Hour + 5*time.Minute, code: faultGridVoltage}},
	},
	{
		site: "Umhlanga", latitude: -29.73, longitude: 31.08, firstInverter: 1000000054495290, inverters: 10, dcKW: 66, acKW: 60,
		faults: []fault{{inverter: 7, day: 5, from: 5 * time.Hour, to: 9 * time.Hour, code: faultInsulation}},
	},
	{
		site: "Ballito", latitude: -29.54, longitude: 31.21, firstInverter: 1000000054495390, inverters: 10, dcKW: 55, acKW: 50,
		faults: []fault{{inverter: 0, day: 4, from: 12 * time.Hour, to: 13*time.Hour + 30*time.Minute, code: faultTemperature}},
	},
}

// sample is what one inverter reports at one time.
type sample struct {
	powerW      int
	temperature float64 // of the inverter, degrees Celsius
	state       int
	errorCode   int
}

// States of an inverter, as inverter_state in a record.
const (
	stateStandby   = 0 // no sun
	stateProducing = 1
	stateFault     = 2
)

// weather is what a whole site shares at one time.
type weather struct {
	irradiance float64 // global horizontal, W/m²
	ambient    float64 // degrees Celsius
}

// cosZenith is the cosine of the angle between the sun and the vertical.
// Declination and equation of time are Spencer's Fourier series (J. W. Spencer,
// "Fourier series representation of the position of the sun", Search 2 (5),
// 1971, p. 172), good to a fraction of a degree.
func cosZenith(t time.Time, latitude, longitude float64) float64 {
	t = t.UTC()
	hour := float64(t.Hour()) + float64(t.Minute())/60
	gamma := 2 * math.Pi * (float64(t.YearDay()-1) + hour/24) / 365
	s1, c1 := math.Sincos(gamma)
	s2, c2 := math.Sincos(2 * gamma)
	s3, c3 := math.Sincos(3 * gamma)
	declination := 0.006918 - 0.399912*c1 + 0.070257*s1 - 0.006758*c2 + 0.000907*s2 - 0.002697*c3 + 0.00148*s3
	minutes := 229.18 * (0.000075 + 0.001868*c1 - 0.032077*s1 - 0.014615*c2 - 0.04089*s2)
	solarHour := hour + (4*longitude+minutes)/60
	hourAngle := (solarHour - 12) * math.Pi / 12
	phi := latitude * math.Pi / 180
	return math.Sin(phi)*math.Sin(declination) + math.Cos(phi)*math.Cos(declination)*math.Cos(hourAngle)
}

// clearSky is the global horizontal irradiance under a cloudless sky in W/m²
// (B. Haurwitz, "Insolation in relation to cloudiness and cloud density", Journal
// of Meteorology 2, 1945, p. 154; coefficients as in M. Reno, C. Hansen, J. Stein,
// "Global horizontal irradiance clear sky models", SAND2012-2389, 2012).
func clearSky(cosZenith float64) float64 {
	if cosZenith <= 0 {
		return 0
	}
	return 1098 * cosZenith * math.Exp(-0.059/cosZenith)
}

// sky is one kind of day: how much of the clear sky's light arrives on average,
// and how much that varies.
type sky struct{ mean, spread, warmth float64 }

// skies are the kinds of day, drawn with equal chance.
var skies = []sky{
	{mean: 0.97, spread: 0.02, warmth: 2},  // clear
	{mean: 0.95, spread: 0.04, warmth: 1},  // haze
	{mean: 0.78, spread: 0.20, warmth: 0},  // broken clouds
	{mean: 0.45, spread: 0.15, warmth: -3}, // overcast
}

// siteWeather simulates one site: a kind of day each day, and clouds and
// warmth as first-order autoregressive noise, so that neighbouring records are
// alike.
func siteWeather(p plant, from time.Time, steps int, random *rand.Rand) []weather {
	const (
		cloudMemory, warmthMemory = 0.92, 0.99 // correlation with the record before
		meanTemperature, swing    = 21.0, 3.5  // early November on that coast
		warmestHour               = 14
	)
	perDay := int(24 * time.Hour / step)
	var today sky
	cloud, warmth := random.NormFloat64(), random.NormFloat64()
	out := make([]weather, steps)
	for i := range out {
		t := from.Add(time.Duration(i) * step)
		if i%perDay == 0 {
			today = skies[random.IntN(len(skies))]
		}
		cloud = cloudMemory*cloud + math.Sqrt(1-cloudMemory*cloudMemory)*random.NormFloat64()
		warmth = warmthMemory*warmth + math.Sqrt(1-warmthMemory*warmthMemory)*random.NormFloat64()
		through := min(max(today.mean+today.spread*cloud, 0.08), 1.02)
		local := t.In(location)
		hour := float64(local.Hour()) + float64(local.Minute())/60
		out[i] = weather{
			irradiance: through * clearSky(cosZenith(t.Add(step/2), p.latitude, p.longitude)),
			ambient:    meanTemperature + today.warmth + warmth + swing*math.Cos(2*math.Pi*(hour-warmestHour)/24),
		}
	}
	return out
}

// inverterOutput turns the site's weather into what one inverter reports.
//
// Modules: output falls by 0.4 % a degree above 25 °C, their temperature is
// ambient + (NOCT-20)/800 × irradiance with a nominal operating cell
// temperature of 45 °C (IEC 61215). Inverter: 97 % efficient, cut off at its
// rating, started at 0.5 % of it. Modules lie flat, so that the irradiance on the
// horizontal is what they see.
func inverterOutput(p plant, number int64, sky []weather, random *rand.Rand) []sample {
	const (
		perDegree, noct, efficiency = -0.004, 45.0, 0.97
		starts                      = 0.005
	)
	clean := 1 - 0.04*random.Float64() // dust and mismatch
	out := make([]sample, len(sky))
	for i, w := range sky {
		module := w.ambient + (noct-20)/800*w.irradiance
		kw := p.dcKW * w.irradiance / 1000 * (1 + perDegree*(module-25)) * efficiency * clean * (1 + 0.004*random.NormFloat64())
		kw = min(kw, p.acKW)
		s := sample{state: stateProducing}
		if kw < starts*p.acKW {
			kw, s.state = 0, stateStandby
		}
		if code := p.faultAt(number, i); code != 0 {
			kw, s.state, s.errorCode = 0, stateFault, code
		}
		s.powerW = int(math.Round(kw * 1000))
		heat := 22 * kw / p.acKW
		s.temperature = math.Round((w.ambient+heat+0.3*random.NormFloat64())*10) / 10
		out[i] = s
	}
	return out
}

// faultAt is the fault of an inverter at a record, or 0.
func (p plant) faultAt(number int64, record int) int {
	at := time.Duration(record)*step + time.Duration(2)*time.Hour // records begin at midnight UTC
	for _, f := range p.faults {
		midnight := time.Duration(f.day) * 24 * time.Hour
		if f.inverter == number && at >= midnight+f.from && at < midnight+f.to {
			return f.code
		}
	}
	return 0
}
