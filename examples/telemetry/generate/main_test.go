package main

import (
	"bytes"
	"compress/gzip"
	"io"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"
)

const shippedFile = "../records.csv.gz"

func unpack(t *testing.T, name string) []byte {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	plain, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(plain)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestTheShippedFileIsWhatTheModelMakesByteForByte(t *testing.T) {
	var made bytes.Buffer
	if err := write(&made, shipped); err != nil {
		t.Fatal(err)
	}
	got := unpack(t, shippedFile)
	if !bytes.Equal(got, made.Bytes()) {
		t.Error("the file differs; run 'go run ./examples/telemetry/generate'")
	}
	if lines := bytes.Count(got, []byte("\n")); lines != 1+3*10*7*288 {
		t.Errorf("%d lines", lines)
	}
	info, err := os.Stat(shippedFile)
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() >= 2_000_000 {
		t.Errorf("the file has %d bytes, more than a repository should carry", info.Size())
	}
}

func TestTheCommandWritesTheFileItsFlagsDescribe(t *testing.T) {
	name := filepath.Join(t.TempDir(), "records.csv.gz")
	if err := run([]string{"-seed", "7", "-from", "2026-03-01", "-days", "2", "-out", name}, io.Discard); err != nil {
		t.Fatal(err)
	}
	data := unpack(t, name)
	if lines := bytes.Count(data, []byte("\n")); lines != 1+3*10*2*288 {
		t.Errorf("%d lines", lines)
	}
	if !bytes.Contains(data, []byte("INV-1000000054495190,2026-03-02T23:55:00Z,")) {
		t.Error("the last record of the first inverter is missing")
	}
	for _, bad := range [][]string{{"-days", "0"}, {"-days", "367"}, {"-from", "yesterday"}, {"-nonsense"}, {"-out", t.TempDir()}} {
		if err := run(bad, io.Discard); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestTheSunStandsWhereItShould(t *testing.T) {
	for _, c := range []struct {
		name                string
		at                  time.Time
		latitude, longitude float64
		zenith              float64 // degrees
	}{
		// Solar noon: zenith is latitude less declination. Declination is +23.44 and
		// -23.44 at the solstices and 0 at the equinox.
		{"equator at the March equinox", time.Date(2025, 3, 20, 12, 7, 0, 0, time.UTC), 0, 0, 0},
		{"tropic at the June solstice", time.Date(2025, 6, 21, 12, 2, 0, 0, time.UTC), 23.44, 0, 0},
		{"Durban at the December solstice", time.Date(2025, 12, 21, 9, 54, 0, 0, time.UTC), -29.65, 31.11, 6.2},
		{"Durban on the first of November", time.Date(2025, 11, 1, 9, 39, 0, 0, time.UTC), -29.65, 31.11, 15.2},
	} {
		got := math.Acos(min(1, cosZenith(c.at, c.latitude, c.longitude))) * 180 / math.Pi
		if math.Abs(got-c.zenith) > 0.6 {
			t.Errorf("%s: the zenith angle is %.2f°, want %.2f°", c.name, got, c.zenith)
		}
	}
	if cosZenith(time.Date(2025, 11, 1, 22, 0, 0, 0, time.UTC), -29.65, 31.11) > 0 {
		t.Error("the sun shines at midnight")
	}
}

func TestClearSkyIsHaurwitzs(t *testing.T) {
	for cosine, want := range map[float64]float64{-0.5: 0, 0: 0, 1: 1035.1, 0.5: 487.9} {
		if got := clearSky(cosine); math.Abs(got-want) > 0.1 {
			t.Errorf("cos z = %v: %.1f W/m², want %.1f", cosine, got, want)
		}
	}
}
