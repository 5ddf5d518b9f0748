package onetime

import (
	"strings"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential"
)

// messageAlgorithms are the algorithms by their names in the registry of HTTP
// signature algorithms (RFC 9421, section 6.2.2).
var messageAlgorithms = map[string]keystile.SigningAlgorithm{
	"hmac-sha256":       keystile.HS256,
	"rsa-v1_5-sha256":   keystile.RS256,
	"ecdsa-p256-sha256": keystile.ES256,
	"ed25519":           keystile.EdDSA,
}

// signatureInput is the one member of a Signature-Input field.
type signatureInput struct {
	label      string
	components []component
	parameters []parameter
}

// parseMessage reads the HTTP message signature of a request (RFC 9421). The
// text under the signature is built here, from the request alone; the body is
// left alone until the signature is known to be good.
func parseMessage(r *keystile.Request) (*proof, error) {
	input, ok := parseSignatureInput(r.Header[credential.HeaderSignatureInput])
	if !ok {
		return nil, malformed("Signature-Input is not one field with one label and a list of components")
	}
	p := &proof{form: keystile.FormHTTPSignature}
	if p.signature, ok = parseSignature(r.Header[credential.HeaderSignature], input.label); !ok {
		return nil, malformed("Signature is not one field with the bytes of that one label")
	}
	if err := p.readParameters(input.parameters); err != nil {
		return nil, err
	}
	if err := checkComponents(input.components); err != nil {
		return nil, err
	}
	if problem := uncovered(input.components); problem != "" {
		return nil, malformed(problem)
	}
	p.signed, p.broken = signatureBase(r, input)
	p.content = contentOf(r, covers(input.components, "content-digest"))
	return p, p.check()
}

// parseSignatureInput reads a Signature-Input field (section 4.1). More than one
// field line, or more than one label, is refused.
func parseSignatureInput(lines []string) (input signatureInput, ok bool) {
	if len(lines) != 1 || len(lines[0]) > maxField {
		return input, false
	}
	r := &fieldReader{text: strings.Trim(lines[0], " \t")}
	if input.label, ok = r.key(); !ok || !r.take('=') {
		return input, false
	}
	if input.components, ok = r.innerList(); !ok {
		return input, false
	}
	input.parameters, ok = r.parameters()
	return input, ok && r.end()
}

// parseSignature reads the Signature field (section 4.2), whose one label must be
// the one of Signature-Input.
func parseSignature(lines []string, label string) (signature []byte, ok bool) {
	if len(lines) != 1 {
		return nil, false
	}
	labels := 0
	ok = dictionary(strings.Trim(lines[0], " \t"), func(key string, value []byte) bool {
		labels++
		signature = value
		return key == label && labels == 1
	})
	return signature, ok && labels == 1 && len(signature) > 0
}

// readParameters reads the parameters of a signature (section 2.3). tag and
// parameters we do not know are signed with the rest and say nothing to us.
func (p *proof) readParameters(list []parameter) error {
	created := false
	for _, parameter := range list {
		if !p.readParameter(parameter.key, parameter.value) {
			return malformed("a parameter of the signature is of the wrong type: " + parameter.key)
		}
		created = created || parameter.key == "created"
	}
	if !created || p.nonce == nil || p.apiKey == nil {
		return malformed("created, nonce or keyid is missing from the parameters of the signature")
	}
	if t := &p.times; t.hasEnd && t.ends < t.stamp {
		return malformed("the signature expires before it was created")
	}
	return nil
}

// readParameter reads one parameter and says whether it is of the right type.
func (p *proof) readParameter(key string, v item) bool {
	switch key {
	case "created":
		p.times.stamp = v.integer
		return v.kind == itemInteger && v.integer >= 0
	case "expires":
		p.times.ends, p.times.hasEnd = v.integer, true
		return v.kind == itemInteger && v.integer >= 0
	case "nonce":
		p.nonce = []byte(v.text)
		return v.kind == itemString
	case "keyid":
		p.apiKey = []byte(v.text)
		return v.kind == itemString
	case "alg":
		if p.algorithm = messageAlgorithms[v.text]; p.algorithm == "" {
			p.algorithm = foreignAlgorithm
		}
		return v.kind == itemString
	}
	return true
}

// checkComponents refuses components that are there twice (section 2) and those
// that are not supported.
func checkComponents(list []component) error {
	seen := make(map[string]bool, len(list))
	for _, c := range list {
		identifier := string(appendComponent(nil, c))
		if seen[identifier] {
			return malformed("a component is covered twice")
		}
		seen[identifier] = true
		switch {
		case c.name == "@query-param":
			if len(c.parameters) != 1 || c.parameters[0].key != "name" || c.parameters[0].value.kind != itemString {
				return malformed("@query-param takes one parameter, name")
			}
		case len(c.parameters) > 0:
			return malformed("parameters of components are not supported")
		case strings.HasPrefix(c.name, "@"):
			if _, known := derived[c.name]; !known {
				return malformed("a derived component is not supported, or not one of a request")
			}
		case !isFieldName(c.name):
			return malformed("a component is not the name of a field in lower case")
		}
	}
	return nil
}

func isFieldName(name string) bool {
	for i := range len(name) {
		if c := name[i]; !isTokenByte(c) || c >= 'A' && c <= 'Z' {
			return false
		}
	}
	return name != ""
}

func covers(list []component, name string) bool {
	for _, c := range list {
		if c.name == name && len(c.parameters) == 0 {
			return true
		}
	}
	return false
}

// uncovered says what a signature must cover and does not. content-digest is a
// matter of the body; see content.
func uncovered(list []component) string {
	has := func(name string) bool { return covers(list, name) }
	if !has("@method") {
		return "the signature does not cover @method"
	}
	target := has("@request-target") || has("@path") && has("@query")
	if has("@target-uri") || has("@scheme") && has("@authority") && target {
		return ""
	}
	return "the signature does not cover @target-uri, nor @scheme, @authority, @path and @query"
}
