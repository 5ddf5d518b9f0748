package password

import (
	"bytes"
	"crypto/pbkdf2"
	"crypto/sha1" //nolint:gosec // the hash of imported PBKDF2-HMAC-SHA-1, which is not broken as a PRF
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"strings"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
	"golang.org/x/crypto/scrypt"
)

// argon is argon2id or argon2i, version 1.3 (RFC 9106).
type argon struct {
	id        bool
	m, t      uint32
	p         uint8
	salt      []byte
	tagLength uint32
}

func (a argon) derive(password []byte) ([]byte, error) {
	if a.id {
		return argon2.IDKey(password, a.salt, a.t, a.m, a.p, a.tagLength), nil
	}
	return argon2.Key(password, a.salt, a.t, a.m, a.p, a.tagLength), nil
}

func (a argon) memory() int64 { return int64(a.m) << 10 }

func (a argon) name() string {
	if a.id {
		return "argon2id"
	}
	return "argon2i"
}

func (a argon) class() string { return classOf(a.name(), "m", a.m, "t", a.t, "p", a.p) }

// encode is the PHC string (https://github.com/P-H-C/phc-string-format).
func (a argon) encode(tag []byte) string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$%s$v=19$m=%d,t=%d,p=%d$%s$%s", a.name(), a.m, a.t, a.p, b64.EncodeToString(a.salt), b64.EncodeToString(tag))
}

func parseArgon2(text string) (Hash, error) {
	parts := strings.Split(text, "$")
	if len(parts) != 6 || parts[1] != "argon2id" && parts[1] != "argon2i" || parts[2] != "v=19" {
		return Hash{}, errForm
	}
	v, err := params(parts[3], "m", "t", "p")
	if err != nil {
		return Hash{}, err
	}
	m, t, p := v[0], v[1], v[2]
	if err := checkArgon2(m, t, p); err != nil {
		return Hash{}, err
	}
	salt, tag, err := saltAndTag(base64.RawStdEncoding, parts[4], parts[5])
	if err != nil {
		return Hash{}, err
	}
	a := argon{id: parts[1] == "argon2id", m: uint32(m), t: uint32(t), p: uint8(p), salt: salt, tagLength: uint32(len(tag))} //nolint:gosec // bounded above
	return Hash{scheme: a, tag: tag}, nil
}

func checkArgon2(m, t, p int64) error {
	switch {
	case t < 1 || p < 1 || p > 255 || m < 8*p: // RFC 9106, section 3.1
		return errForm
	case m<<10 > maxMemory, m<<10*t > maxWork, p > 16:
		return errCost("the cost of argon2")
	}
	return nil
}

// bcrypted is bcrypt; the whole text is its tag. It reads 72 bytes of the password
// at most, as every bcrypt does.
type bcrypted struct {
	text []byte
	cost int
}

func (b bcrypted) derive(password []byte) ([]byte, error) {
	switch err := bcrypt.CompareHashAndPassword(b.text, password); {
	case err == nil:
		return b.text, nil
	case errors.Is(err, bcrypt.ErrMismatchedHashAndPassword):
		return make([]byte, len(b.text)), nil
	default:
		return nil, fmt.Errorf("verify a bcrypt hash: %w", err)
	}
}

func (bcrypted) memory() int64 { return 4 << 10 }

func (b bcrypted) class() string { return classOf("bcrypt", "cost", b.cost) }

func parseBcrypt(text string) (Hash, error) {
	cost, err := bcrypt.Cost([]byte(text))
	if err != nil || len(text) != 60 || !strings.ContainsRune("aby", rune(text[2])) || text[3] != '$' {
		return Hash{}, errForm
	}
	if cost > maxBcryptCost {
		return Hash{}, errCost("the cost of bcrypt")
	}
	for _, c := range text[7:] {
		if !strings.ContainsRune("./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", c) {
			return Hash{}, errForm
		}
	}
	return Hash{scheme: bcrypted{text: []byte(text), cost: cost}, tag: bytes.Clone([]byte(text))}, nil
}

// scrypted is scrypt (RFC 7914).
type scrypted struct {
	n, r, p   int
	salt      []byte
	tagLength int
}

func (s scrypted) derive(password []byte) ([]byte, error) {
	return scrypt.Key(password, s.salt, s.n, s.r, s.p, s.tagLength)
}

func (s scrypted) memory() int64 { return 128 * int64(s.n) * int64(s.r) }

func (s scrypted) class() string { return classOf("scrypt", "n", s.n, "r", s.r, "p", s.p) }

func parseScrypt(text string) (Hash, error) {
	parts := strings.Split(text, "$")
	if len(parts) != 5 {
		return Hash{}, errForm
	}
	v, err := params(parts[2], "ln", "r", "p")
	if err != nil {
		return Hash{}, err
	}
	ln, r, p := v[0], v[1], v[2]
	if ln < 1 || r < 1 || p < 1 {
		return Hash{}, errForm
	}
	if ln > 20 || r > 64 || p > 16 || 128*r<<ln > maxMemory || 128*r<<ln*p > maxWork/4 { // it writes and reads it
		return Hash{}, errCost("the cost of scrypt")
	}
	salt, tag, err := saltAndTag(base64.RawStdEncoding, parts[3], parts[4])
	if err != nil {
		return Hash{}, err
	}
	return Hash{scheme: scrypted{n: 1 << ln, r: int(r), p: int(p), salt: salt, tagLength: len(tag)}, tag: tag}, nil
}

// pbkdf2d is PBKDF2 with HMAC (RFC 8018, section 5.2).
type pbkdf2d struct {
	digest     string
	new        func() hash.Hash
	iterations int
	salt       []byte
	tagLength  int
}

func (k pbkdf2d) derive(password []byte) ([]byte, error) {
	return pbkdf2.Key(k.new, string(password), k.salt, k.iterations, k.tagLength)
}

func (pbkdf2d) memory() int64 { return 4 << 10 }

func (k pbkdf2d) class() string {
	return classOf("pbkdf2-"+k.digest, "i", k.iterations, "l", k.tagLength)
}

// parsePBKDF2 reads three writings:
//
//	$pbkdf2-sha256$29000$SALT$TAG            passlib: base64 with "." for "+"
//	$pbkdf2-sha256$i=600000,l=32$SALT$TAG    PHC
//	pbkdf2_sha256$600000$SALT$TAG            Django: the salt is its text
func parsePBKDF2(text string) (Hash, error) {
	parts := strings.Split(strings.TrimPrefix(text, "$"), "$")
	if len(parts) != 4 {
		return Hash{}, errForm
	}
	django := strings.HasPrefix(text, "pbkdf2_")
	name := strings.TrimPrefix(strings.TrimPrefix(parts[0], "pbkdf2_"), "pbkdf2-")
	digest, ok := map[string]func() hash.Hash{"sha1": sha1.New, "sha256": sha256.New, "sha512": sha512.New, "pbkdf2": sha1.New}[name]
	if !ok || django && name == "pbkdf2" {
		return Hash{}, errForm
	}
	count, _, _ := strings.Cut(strings.TrimPrefix(parts[1], "i="), ",")
	iterations, err := number(count)
	if err != nil || iterations < 1 {
		return Hash{}, errForm
	}
	if iterations > maxIterations {
		return Hash{}, errCost("the iteration count of PBKDF2")
	}
	var salt, tag []byte
	if django {
		if salt, tag, err = saltAndTag(base64.StdEncoding, base64.StdEncoding.EncodeToString([]byte(parts[2])), parts[3]); err != nil {
			return Hash{}, err
		}
	} else {
		plus := strings.NewReplacer(".", "+")
		if salt, tag, err = saltAndTag(base64.RawStdEncoding, plus.Replace(parts[2]), plus.Replace(parts[3])); err != nil {
			return Hash{}, err
		}
	}
	k := pbkdf2d{digest: name, new: digest, iterations: int(iterations), salt: salt, tagLength: len(tag)}
	return Hash{scheme: k, tag: tag}, nil
}
