// Command generate writes the records of the telemetry example: three invented
// solar plants under a clear-sky model with clouds, the same bytes for the same
// seed. ../README.md describes the model and the file.
//
//	go run ./examples/telemetry/generate -out examples/telemetry/records.csv.gz
package main

import (
	"bufio"
	"compress/gzip"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"time"
)

// options say which records to make.
type options struct {
	seed uint64
	from time.Time
	days int
}

// shipped are the options of the file in the repository.
var shipped = options{seed: 20251101, from: time.Date(2025, 11, 1, 0, 0, 0, 0, time.UTC), days: 7}

func main() {
	if err := run(os.Args[1:], os.Stderr); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return
		}
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

// run reads the command line and writes the file.
func run(args []string, usage io.Writer) error {
	o, flags := shipped, flag.NewFlagSet("generate", flag.ContinueOnError)
	flags.SetOutput(usage)
	flags.Uint64Var(&o.seed, "seed", o.seed, "seed of the weather")
	flags.IntVar(&o.days, "days", o.days, "number of days, 1 to 366")
	from := flags.String("from", o.from.Format(time.DateOnly), "first day, UTC")
	out := flags.String("out", "examples/telemetry/records.csv.gz", "file to write")
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("read the command line: %w", err)
	}
	var err error
	if o.from, err = time.Parse(time.DateOnly, *from); err != nil {
		return fmt.Errorf("-from: %w", err)
	}
	if o.days < 1 || o.days > 366 {
		return fmt.Errorf("-days: %d is not between 1 and 366", o.days)
	}
	return writeFile(*out, o)
}

// writeFile writes the compressed file.
func writeFile(name string, o options) (err error) {
	file, err := os.Create(name) //nolint:gosec // the name is the caller's own
	if err != nil {
		return fmt.Errorf("create the file: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	packed, err := gzip.NewWriterLevel(file, gzip.BestCompression)
	if err != nil {
		return fmt.Errorf("compress: %w", err)
	}
	if err := write(packed, o); err != nil {
		return err
	}
	if err := packed.Close(); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// header names the columns of the file.
const header = "site_id,asset_id,timestamp,power_w,temperature_c,inverter_state,error_code\n"

// write writes all records as CSV, ordered by site, inverter and time.
func write(w io.Writer, o options) error {
	b := bufio.NewWriter(w)
	if _, err := b.WriteString(header); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	steps := o.days * int(24*time.Hour/step)
	var line []byte
	for i, p := range plants {
		random := rand.New(rand.NewPCG(o.seed, uint64(i))) //nolint:gosec // weather, not secrets: it must be the same again
		sky := siteWeather(p, o.from, steps, random)
		for n := range p.inverters {
			for j, s := range inverterOutput(p, n, sky, random) {
				at := o.from.Add(time.Duration(j) * step)
				line = appendLine(line[:0], p.site, p.firstInverter+n, at, s)
				if _, err := b.Write(line); err != nil {
					return fmt.Errorf("write: %w", err)
				}
			}
		}
	}
	if err := b.Flush(); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

// appendLine appends one record.
func appendLine(b []byte, site string, asset int64, at time.Time, s sample) []byte {
	b = append(b, site...)
	b = append(b, ",INV-"...)
	b = strconv.AppendInt(b, asset, 10)
	b = append(b, ',')
	b = at.AppendFormat(b, "2006-01-02T15:04:05Z")
	b = append(b, ',')
	b = strconv.AppendInt(b, int64(s.powerW), 10)
	b = append(b, ',')
	b = strconv.AppendFloat(b, s.temperature, 'f', 1, 64)
	b = append(b, ',')
	b = strconv.AppendInt(b, int64(s.state), 10)
	b = append(b, ',')
	b = strconv.AppendInt(b, int64(s.errorCode), 10)
	return append(b, '\n')
}
