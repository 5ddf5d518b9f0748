package telemetry

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	firstInverter = "INV-1000000054495190"
	firstRequest  = "/telemetry/inverter?asset_id=" + firstInverter + "&site_id=Sibaya&start=2025-11-01T00:00:00&end=2025-11-01T12:00:00"
)

type reply struct {
	Records    []map[string]any `json:"records"`
	NextCursor string           `json:"next_cursor"`
	Error      string           `json:"error"`
}

func ask(t *testing.T, method, target string) (int, http.Header, reply) {
	t.Helper()
	w := httptest.NewRecorder()
	Handler().ServeHTTP(w, httptest.NewRequest(method, target, nil))
	var body reply
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
		t.Fatalf("%s: %v in %.200q", target, err, w.Body)
	}
	if ct := w.Header().Get("Content-Type"); ct != "application/json" {
		t.Errorf("%s: Content-Type %q", target, ct)
	}
	return w.Code, w.Header(), body
}

// good asks and wants records.
func good(t *testing.T, target string) reply {
	t.Helper()
	code, _, body := ask(t, http.MethodGet, target)
	if code != http.StatusOK || body.Records == nil || body.Error != "" {
		t.Fatalf("%s: %d %q", target, code, body.Error)
	}
	return body
}

// number reads a member that must be a number.
func number(t *testing.T, r map[string]any, name string) float64 {
	t.Helper()
	n, ok := r[name].(float64)
	if !ok {
		t.Fatalf("%s is %v in %v", name, r[name], r)
	}
	return n
}

func TestTheDocumentedRequestAnswersRecordsWithEveryRequiredMember(t *testing.T) {
	body := good(t, firstRequest)
	if len(body.Records) != 144 || body.NextCursor != "" {
		t.Fatalf("%d records, cursor %q", len(body.Records), body.NextCursor)
	}
	allowed := map[string]bool{
		"asset_id": true, "site_id": true, "timestamp": true, "power": true, "kWh": true, "inverter_state": true, "run_state": true,
		"asset_ts": true, "kVArh": true, "kVA": true, "PF": true, "temperature": true, "soc": true, "soh": true, "error_code": true, "error_type": true,
	}
	day, most := time.Date(2025, 11, 1, 0, 0, 0, 0, time.UTC), 0.0
	for i, r := range body.Records {
		for name := range r {
			if !allowed[name] {
				t.Fatalf("a member nobody knows: %s", name)
			}
		}
		if r["asset_id"] != firstInverter || r["site_id"] != "Sibaya" {
			t.Fatalf("record %d is of %v at %v", i, r["asset_id"], r["site_id"])
		}
		text, isText := r["timestamp"].(string)
		if at, err := time.Parse(time.RFC3339, text); !isText || err != nil || !at.Equal(day.Add(time.Duration(i)*step)) || !strings.HasSuffix(text, "+00:00") {
			t.Fatalf("record %d is at %q", i, text)
		}
		power, kwh := number(t, r, "power"), number(t, r, "kWh")
		if power < 0 || power > 100 || math.Abs(kwh-power/12) > 1e-4 {
			t.Fatalf("record %d: %v kW and %v kWh", i, power, kwh)
		}
		producing := power > 0
		if (number(t, r, "run_state") == 1) != producing || (number(t, r, "inverter_state") == stateProducing) != producing {
			t.Fatalf("record %d: %v", i, r)
		}
		most = max(most, power)
	}
	if most < 80 {
		t.Errorf("the most it made on a clear morning is %v kW", most)
	}
	if r := body.Records[0]; number(t, r, "power") != 0 || r["asset_ts"] != "2025-11-01T02:00:00+02:00" {
		t.Errorf("the first record: %v", r)
	}
}

func TestTheRecordInTheReadmeIsReal(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, shown, _ := strings.Cut(string(readme), "```json\n")
	shown, _, _ = strings.Cut(shown, "```")
	w := httptest.NewRecorder()
	const target = "/telemetry/inverter?asset_id=" + firstInverter + "&site_id=Sibaya&start=2025-11-01T08:10:00&end=2025-11-01T08:15:00"
	Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, target, nil))
	if got, want := strings.TrimSpace(w.Body.String()), strings.ReplaceAll(shown, "\n", ""); got != strings.ReplaceAll(want, ", \"", ",\"") {
		t.Errorf("the README shows\n%s\nand the answer is\n%s", want, got)
	}
}

func TestEverySiteHasTenInvertersForSevenDays(t *testing.T) {
	for _, site := range []string{"Sibaya", "Umhlanga", "Ballito"} {
		body := good(t, "/telemetry/data-period?site_id="+site)
		if len(body.Records) != 10 {
			t.Fatalf("%s has %d inverters", site, len(body.Records))
		}
		for _, r := range body.Records {
			if r["start"] != "2025-11-01T00:00:00+00:00" || r["end"] != "2025-11-08T00:00:00+00:00" || r["site_id"] != site || number(t, r, "records") != 7*288 {
				t.Errorf("%v", r)
			}
		}
	}
	if body := good(t, "/telemetry/data-period?site_id=Sibaya&asset_id="+firstInverter); len(body.Records) != 1 {
		t.Errorf("one inverter: %v", body.Records)
	}
}

func TestAnAssetOfAnotherSiteHasNoRecords(t *testing.T) {
	const span = "&start=2025-11-01&end=2025-11-02"
	for _, target := range []string{
		"/telemetry/inverter?site_id=Umhlanga&asset_id=" + firstInverter + span,
		"/telemetry/inverter?site_id=Nowhere&asset_id=" + firstInverter + span,
		"/telemetry/inverter?site_id=Sibaya&asset_id=INV-1" + span,
		"/telemetry/site?site_id=Nowhere" + span,
		"/telemetry/site?site_id=sibaya" + span,
		"/telemetry/data-period?site_id=Nowhere",
		"/telemetry/data-period?site_id=Umhlanga&asset_id=" + firstInverter,
		"/telemetry/site?site_id=Sibaya&start=2024-11-01&end=2024-11-02",
		"/telemetry/site?site_id=Sibaya&start=2026-11-01&end=2026-11-02",
	} {
		if body := good(t, target); len(body.Records) != 0 {
			t.Errorf("%s: %d records", target, len(body.Records))
		}
	}
}

func TestPagesTogetherAreTheWholeAnswerInOrder(t *testing.T) {
	for _, target := range []string{
		firstRequest,
		"/telemetry/site?site_id=Ballito&start=2025-11-01T05:02:00&end=2025-11-01T06:31:00",
		"/telemetry/site?site_id=Ballito&start=2025-11-01T05:00:00&end=2025-11-07T05:00:00&resolution=daily",
	} {
		whole := good(t, target)
		for _, limit := range []int{1, 7, 10, 999} {
			var got []map[string]any
			cursor := ""
			for range 1000 {
				body := good(t, target+"&limit="+strconv.Itoa(limit)+"&cursor="+url.QueryEscape(cursor))
				if len(body.Records) > limit {
					t.Fatalf("%s: a page of %d, the limit is %d", target, len(body.Records), limit)
				}
				got = append(got, body.Records...)
				if cursor = body.NextCursor; cursor == "" {
					break
				}
			}
			if len(got) != len(whole.Records) {
				t.Fatalf("%s: pages of %d hold %d records, want %d", target, limit, len(got), len(whole.Records))
			}
			for i := range got {
				if got[i]["timestamp"] != whole.Records[i]["timestamp"] || got[i]["asset_id"] != whole.Records[i]["asset_id"] {
					t.Fatalf("%s: pages of %d: record %d is %v, want %v", target, limit, i, got[i], whole.Records[i])
				}
			}
		}
	}
	if body := good(t, "/telemetry/site?site_id=Sibaya&start=2025-11-01&end=2025-11-08"); len(body.Records) != 1000 || body.NextCursor == "" {
		t.Errorf("without a limit: %d records, cursor %q", len(body.Records), body.NextCursor)
	}
}

func TestDailyRecordsAddUpTheDay(t *testing.T) {
	daily := good(t, "/telemetry/inverter?site_id=Sibaya&asset_id="+firstInverter+"&start=2025-11-01&end=2025-11-08&resolution=daily")
	if len(daily.Records) != 7 {
		t.Fatalf("%d days", len(daily.Records))
	}
	for i, day := range daily.Records {
		date := time.Date(2025, 11, 1+i, 0, 0, 0, 0, time.UTC)
		fine := good(t, "/telemetry/inverter?site_id=Sibaya&asset_id="+firstInverter+"&start="+date.Format(time.DateOnly)+"&end="+date.AddDate(0, 0, 1).Format(time.DateOnly))
		sum := 0.0
		for _, r := range fine.Records {
			sum += number(t, r, "kWh")
		}
		if got := number(t, day, "kWh"); math.Abs(got-sum) > 0.02 || got < 100 || got > 900 {
			t.Errorf("%v: %v kWh a day, %v in all its records", date, got, sum)
		}
		if got := number(t, day, "power"); math.Abs(got-sum/24) > 0.01 {
			t.Errorf("%v: a mean of %v kW, want %v", date, got, sum/24)
		}
		if day["timestamp"] != stamp(date) {
			t.Errorf("day %d is at %v", i, day["timestamp"])
		}
	}
}

func TestAFaultShows(t *testing.T) {
	body := good(t, "/telemetry/inverter?site_id=Sibaya&asset_id=INV-1000000054495193&start=2025-11-03T08:20:00&end=2025-11-03T09:05:00")
	if len(body.Records) != 9 {
		t.Fatalf("%d records", len(body.Records))
	}
	for _, r := range body.Records {
		if number(t, r, "inverter_state") != stateFault || number(t, r, "run_state") != 0 || number(t, r, "power") != 0 ||
			number(t, r, "error_code") != 301 || r["error_type"] != "grid_voltage" {
			t.Errorf("%v", r)
		}
	}
}

func TestTimesMayCarryAnOffset(t *testing.T) {
	utc := good(t, "/telemetry/site?site_id=Sibaya&start=2025-11-01T08:00:00&end=2025-11-01T09:00:00Z")
	local := good(t, "/telemetry/site?site_id=Sibaya&start="+url.QueryEscape("2025-11-01T10:00:00+02:00")+"&end="+url.QueryEscape("2025-11-01T11:00:00+02:00"))
	if len(utc.Records) != 120 || len(local.Records) != 120 || utc.Records[0]["timestamp"] != local.Records[0]["timestamp"] {
		t.Errorf("%d and %d records", len(utc.Records), len(local.Records))
	}
}

func TestWhatCannotBeReadIs400(t *testing.T) {
	const span = "&start=2025-11-01T00:00:00&end=2025-11-01T12:00:00"
	long := strings.Repeat("a", 200)
	for _, target := range []string{
		"/", "/telemetry", "/telemetry/", "/telemetry/inverters", "/prod/telemetry/inverter", "/telemetry/inverter/1",
		"/telemetry/inverter", "/telemetry/site", "/telemetry/data-period",
		"/telemetry/inverter?site_id=Sibaya" + span,
		"/telemetry/inverter?asset_id=INV-1" + span,
		"/telemetry/inverter?asset_id=INV-1&asset_id=INV-2&site_id=Sibaya" + span,
		"/telemetry/site?site_id=Sibaya&site_id=Ballito" + span,
		"/telemetry/site?site_id=Si%20baya" + span,
		"/telemetry/site?site_id=Sibaya%00" + span,
		"/telemetry/site?site_id=" + long + span,
		"/telemetry/site?site_id=" + span,
		"/telemetry/site?site_id=Sibaya;x=1" + span,
		"/telemetry/site?site_id=%zz" + span,
		"/telemetry/site?site_id=Sibaya",
		"/telemetry/site?site_id=Sibaya&start=2025-11-01",
		"/telemetry/site?site_id=Sibaya&start=yesterday&end=today",
		"/telemetry/site?site_id=Sibaya&start=2025-11-02&end=2025-11-01",
		"/telemetry/site?site_id=Sibaya&start=2025-11-01&end=2025-11-01",
		"/telemetry/site?site_id=Sibaya&start=2025-11-01&end=2025-12-02T00:00:01",
		"/telemetry/site?site_id=Sibaya&start=2025-13-01&end=2025-13-02",
		"/telemetry/site?site_id=Sibaya&resolution=1h" + span,
		"/telemetry/site?site_id=Sibaya&resolution=DAILY" + span,
		"/telemetry/site?site_id=Sibaya&limit=0" + span,
		"/telemetry/site?site_id=Sibaya&limit=1001" + span,
		"/telemetry/site?site_id=Sibaya&limit=-1" + span,
		"/telemetry/site?site_id=Sibaya&limit=ten" + span,
		"/telemetry/site?site_id=Sibaya&cursor=nonsense" + span,
		"/telemetry/site?site_id=Sibaya&cursor=MTc2MTk1NTIwMA" + span,
		"/telemetry/site?site_id=Sibaya&cursor=" + position{asset: 70_000}.cursor() + span,
		"/telemetry/data-period?site_id=Si%2Fbaya",
		"/telemetry/data-period?site_id=Sibaya&asset_id=a%2Fb",
	} {
		if code, _, body := ask(t, http.MethodGet, target); code != http.StatusBadRequest || body.Error != "Invalid request" {
			t.Errorf("%s: %d %q", target, code, body.Error)
		}
	}
}

func TestOnlyReadingIsAllowed(t *testing.T) {
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch} {
		if code, header, _ := ask(t, method, firstRequest); code != http.StatusMethodNotAllowed || header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %d, Allow %q", method, code, header.Get("Allow"))
		}
	}
	if code, _, _ := ask(t, http.MethodHead, firstRequest); code != http.StatusOK {
		t.Errorf("HEAD: %d", code)
	}
}

func TestTheRecordsTakeLittleMemory(t *testing.T) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	read, err := readTable(bytes.NewReader(packedRecords))
	if err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if total := after.TotalAlloc - before.TotalAlloc; total > 8<<20 {
		t.Errorf("reading them takes %d bytes", total)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if kept := int64(after.HeapAlloc) - int64(before.HeapAlloc); kept > 1<<20 {
		t.Errorf("keeping them takes %d bytes", kept)
	}
	if len(read.sites) != 3 {
		t.Errorf("%d sites", len(read.sites))
	}
}

func pack(t testing.TB, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestADamagedFileIsNoticed(t *testing.T) {
	const header = "site_id,asset_id,timestamp,power_w,temperature_c,inverter_state,error_code\n"
	const line = "S,A,2025-11-01T00:00:00Z,0,20.0,0,0\n"
	if _, err := readTable(bytes.NewReader(pack(t, header+line+"S,A,2025-11-01T00:05:00Z,5,20.0,1,0\nS,B,2025-11-01T00:00:00Z,0,20.0,2,301\n"))); err != nil {
		t.Fatalf("a good file: %v", err)
	}
	for name, data := range map[string][]byte{
		"not packed":       []byte(header + line),
		"cut short":        pack(t, header+line)[:30],
		"empty":            pack(t, ""),
		"too few columns":  pack(t, header+"S,A,2025-11-01T00:00:00Z,0\n"),
		"a gap":            pack(t, header+line+"S,A,2025-11-01T00:10:00Z,0,20.0,0,0\n"),
		"a repeated asset": pack(t, header+line+"S,B,2025-11-01T00:00:00Z,0,20.0,0,0\n"+line),
		"no time":          pack(t, header+"S,A,noon,0,20.0,0,0\n"),
		"no power":         pack(t, header+"S,A,2025-11-01T00:00:00Z,x,20.0,0,0\n"),
		"no temperature":   pack(t, header+"S,A,2025-11-01T00:00:00Z,0,NaN,0,0\n"),
		"no code":          pack(t, header+"S,A,2025-11-01T00:00:00Z,0,20.0,0,-1\n"),
		"a wrong state":    pack(t, header+"S,A,2025-11-01T00:00:00Z,0,20.0,1,0\n"),
	} {
		if _, err := readTable(bytes.NewReader(data)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// FuzzQuery reads arbitrary query strings: no panic, and nothing out of bounds.
func FuzzQuery(f *testing.F) {
	f.Add("asset_id=INV-1&site_id=Sibaya&start=2025-11-01T00:00:00&end=2025-11-01T12:00:00")
	f.Add("site_id=S&asset_id=A&start=2025-11-01&end=2025-11-02&resolution=daily&limit=5&cursor=MTc2MTk1NTIwMC4z")
	f.Add("site_id=%00&start=0000-01-01&end=9999-12-31&limit=-0")
	f.Add("site_id=S&asset_id=A&start=2025-11-01T00:00:00%2B02:00&end=2025-11-02T00:00:00Z&cursor=LTEuMA")
	t, err := records()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(tt *testing.T, raw string) {
		q, err := parseQuery(raw, true)
		if err != nil {
			return
		}
		if !ids.MatchString(q.site) || !ids.MatchString(q.asset) || q.limit < 1 || q.limit > maxRecords || q.end.Sub(q.start) > maxSpan {
			tt.Fatalf("%+v was accepted", q)
		}
		a := page(t.sites["Sibaya"], q)
		if list, ok := a.Records.([]record); !ok || len(list) > q.limit {
			tt.Fatalf("a page of %d, the limit is %d", len(list), q.limit)
		}
	})
}
