// Package telemetry is a small API to put Keystile in front of: solar inverter
// records under the paths and in the shape Ona's clients read. `keystile demo`
// runs it behind its gateway, so that an allowed request is answered with
// something.
//
//	records.csv.gz --embedded, read at the first request--> table --> Handler
//
// The records are invented; README.md says how. The handler checks no
// credentials and knows no tenants: that is the gateway's part. Never expose it
// by itself where that matters.
package telemetry
