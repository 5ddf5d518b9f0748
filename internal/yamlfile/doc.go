// Package yamlfile reads a YAML file onto tagged Go structs, strictly, and
// reports everything that is wrong with it at once, each problem with its file,
// line, field and remedy.
//
//	bytes -> size, UTF-8 -> go.yaml.in/yaml/v3 nodes -> Decode -> struct
//	                                        |              |
//	                                        |              `-> Positions: field -> line,
//	                                        |                  for checks made afterwards
//	                                        `-> Problems: FILE:LINE: field: problem; remedy
//
// It reads YAML 1.2 with the core schema (YAML 1.2.2, section 10.3): yes, no, on
// and off are text, 0o17 is octal and 017 is seventeen. Whether text is quoted
// makes no difference where text is wanted. What makes a file mean something
// other than it seems to is refused: unknown and repeated keys, anchors, aliases
// and merge keys, tags, a second document, and a key without a value.
//
// Structs are described by tags, from which the JSON Schema and the reference
// pages are made as well, so that they cannot disagree with the decoder:
//
//	Listen string `yaml:"listen" default:"127.0.0.1:8080" doc:"Where to listen."`
//
//	yaml     the key; then ",required" and ",single" (a list of one may stand without brackets)
//	doc      one or more sentences
//	default  the value as it would be written, put in by SetDefaults
//	example  a value as it would be written
//	enum     the only values, separated by spaces
//	min, max bounds of an int, time.Duration or Size, as they would be written
//
// Field types: string, bool, int, int64, time.Duration, time.Time (RFC 3339),
// netip.Prefix, [Size], keystile.Secret, any type with UnmarshalText, named
// string types, slices, map[string]T, structs, pointers to these, and any.
//
// It is not a general YAML library and it writes none. It knows nothing about
// what the fields mean: that is checked by the packages that own them.
package yamlfile
