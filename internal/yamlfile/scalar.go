package yamlfile

import (
	"encoding"
	"errors"
	"math"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	keystile "keystile.dev/keystile"
)

// Size is a number of bytes, written as a whole number ("4096") or with a unit
// ("64KiB", "10MiB", "1GiB"; kB, MB and GB are powers of ten).
type Size int64

var (
	typeDuration = reflect.TypeFor[time.Duration]()
	typeTime     = reflect.TypeFor[time.Time]()
	typePrefix   = reflect.TypeFor[netip.Prefix]()
	typeSize     = reflect.TypeFor[Size]()
	typeSecret   = reflect.TypeFor[keystile.Secret]()
	typeText     = reflect.TypeFor[encoding.TextUnmarshaler]()
)

func unmarshalsText(t reflect.Type) bool { return reflect.PointerTo(t).Implements(typeText) }

// isScalar says whether values of the type are written as one word.
func isScalar(t reflect.Type) bool {
	switch t {
	case typeDuration, typeTime, typePrefix, typeSize, typeSecret:
		return true
	}
	if unmarshalsText(t) {
		return true
	}
	switch t.Kind() {
	case reflect.String, reflect.Bool, reflect.Int, reflect.Int64:
		return true
	default:
		return false
	}
}

// isText says whether any text may stand for the type, so that quoting is
// optional and a plain number is taken as its digits.
func isText(t reflect.Type) bool {
	return t.Kind() == reflect.String || t == typeDuration || t == typeTime || t == typePrefix || t == typeSize || unmarshalsText(t)
}

// parseScalar sets v from its text, checking the bounds of its field. No fault
// repeats the value of a secret.
func parseScalar(v reflect.Value, f *Field, text string) *fault {
	if flaw := parsePlain(v, text); flaw != nil {
		return flaw
	}
	if len(f.Enum) > 0 && !slices.Contains(f.Enum, text) {
		return enumFault(v.Type(), f, text)
	}
	if v.CanInt() && (f.Min != "" || f.Max != "") {
		return checkBounds(v, f, text)
	}
	return nil
}

func enumFault(t reflect.Type, f *Field, text string) *fault {
	if t == typeSecret {
		return faultf("write one of: "+strings.Join(f.Enum, ", "), "is not a known value")
	}
	if meant := Suggest(text, f.Enum); meant != "" {
		return faultf("did you mean "+meant+"? write one of: "+strings.Join(f.Enum, ", "), "%s is not a known value", Quote(text))
	}
	return faultf("write one of: "+strings.Join(f.Enum, ", "), "%s is not a known value", Quote(text))
}

func checkBounds(v reflect.Value, f *Field, text string) *fault {
	bound := reflect.New(v.Type()).Elem()
	for _, side := range []struct {
		text string
		bad  func(value, bound int64) bool
		what string
	}{
		{f.Min, func(value, bound int64) bool { return value < bound }, "at least"},
		{f.Max, func(value, bound int64) bool { return value > bound }, "at most"},
	} {
		if side.text == "" {
			continue
		}
		if flaw := parsePlain(bound, side.text); flaw != nil {
			return faultf("", "the bound %s of this field cannot be read", side.text)
		}
		if side.bad(v.Int(), bound.Int()) {
			return faultf("use "+side.what+" "+side.text, "%s is out of range", Quote(text))
		}
	}
	return nil
}

// parsePlain sets v from its text.
func parsePlain(v reflect.Value, text string) *fault {
	switch v.Type() {
	case typeDuration:
		return parseDuration(v, text)
	case typeTime:
		return parseTime(v, text)
	case typePrefix:
		return parsePrefix(v, text)
	case typeSize:
		return parseSize(v, text)
	}
	if unmarshalsText(v.Type()) {
		return parseText(v, text)
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
		return nil
	case reflect.Bool:
		return parseBool(v, text)
	default:
		return parseInt(v, text)
	}
}

// parseText leaves the value to its own type, whose *keystile.Invalid keeps its remedy.
func parseText(v reflect.Value, text string) *fault {
	target, ok := v.Addr().Interface().(encoding.TextUnmarshaler)
	if !ok {
		return faultf("", "the type %s cannot be read from a file", v.Type())
	}
	err := target.UnmarshalText([]byte(text))
	var invalid *keystile.Invalid
	switch {
	case err == nil:
		return nil
	case errors.As(err, &invalid):
		return faultf(invalid.Remedy, "%s", invalid.Problem)
	default:
		return faultf("", "%s", err)
	}
}

// parseBool takes the core schema's words (YAML 1.2.2, section 10.3.2).
func parseBool(v reflect.Value, text string) *fault {
	switch text {
	case "true", "True", "TRUE":
		v.SetBool(true)
	case "false", "False", "FALSE":
		v.SetBool(false)
	default:
		return faultf("write true or false", "%s is not a truth value", Quote(text))
	}
	return nil
}

// parseInt takes the core schema's integers: 12, 0o14 and 0xC. A leading zero
// alone changes nothing.
func parseInt(v reflect.Value, text string) *fault {
	digits, base := text, 10
	if rest, ok := strings.CutPrefix(text, "0o"); ok {
		digits, base = rest, 8
	} else if rest, ok := strings.CutPrefix(text, "0x"); ok {
		digits, base = rest, 16
	}
	if base != 10 && strings.HasPrefix(digits, "-") || strings.HasPrefix(digits, "+-") {
		digits = ""
	}
	n, err := strconv.ParseInt(digits, base, v.Type().Bits())
	if errors.Is(err, strconv.ErrRange) {
		return faultf("use a smaller number", "%s is out of range", Quote(text))
	}
	if err != nil {
		return faultf("write digits only", "%s is not a whole number", Quote(text))
	}
	v.SetInt(n)
	return nil
}

func parseDuration(v reflect.Value, text string) *fault {
	const remedy = "write a number and a unit, such as 500ms, 60s, 5m or 24h"
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		return faultf(remedy, "%s is not a duration", Quote(text))
	case d < 0:
		return faultf(remedy, "%s is negative", Quote(text))
	}
	v.SetInt(int64(d))
	return nil
}

// parseTime takes RFC 3339 and nothing near it. Years before 1970 are refused:
// the zero time would mean "never".
func parseTime(v reflect.Value, text string) *fault {
	const remedy = "write it as in RFC 3339: 2027-01-01T00:00:00Z"
	var t time.Time
	if err := t.UnmarshalText([]byte(text)); err != nil {
		return faultf(remedy, "%s is not a time", Quote(text))
	}
	if t.UTC().Year() < 1970 {
		return faultf("use 1970 or later", "%s is too long ago", Quote(text))
	}
	v.Set(reflect.ValueOf(t.UTC()))
	return nil
}

// parsePrefix takes a network such as 10.0.0.0/8; an address alone is the
// network of that one address.
func parsePrefix(v reflect.Value, text string) *fault {
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		addr, addrErr := netip.ParseAddr(text)
		if addrErr != nil || addr.Zone() != "" {
			return faultf("write a network such as 10.0.0.0/8 or an address", "%s is not a network", Quote(text))
		}
		prefix = netip.PrefixFrom(addr, addr.BitLen())
	}
	switch {
	case prefix.Addr().Is4In6():
		return faultf("write the IPv4 network itself", "%s is an IPv4 network mapped into IPv6", Quote(text))
	case prefix != prefix.Masked():
		return faultf("write "+prefix.Masked().String(), "%s has bits set outside the network", Quote(text))
	}
	v.Set(reflect.ValueOf(prefix))
	return nil
}

var sizeUnits = []struct {
	suffix string
	factor int64
}{
	{"KiB", 1 << 10},
	{"MiB", 1 << 20},
	{"GiB", 1 << 30},
	{"kB", 1e3},
	{"MB", 1e6},
	{"GB", 1e9},
	{"B", 1},
	{"", 1},
}

func parseSize(v reflect.Value, text string) *fault {
	for _, unit := range sizeUnits {
		digits, ok := strings.CutSuffix(text, unit.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(strings.TrimSuffix(digits, " "), 10, 63)
		if err != nil {
			break
		}
		if n > uint64(math.MaxInt64/unit.factor) { //nolint:gosec // the factors are positive
			return faultf("use a smaller size", "%s is out of range", Quote(text))
		}
		v.SetInt(int64(n) * unit.factor)
		return nil
	}
	return faultf("write a number of bytes, alone or with KiB, MiB or GiB", "%s is not a size", Quote(text))
}
