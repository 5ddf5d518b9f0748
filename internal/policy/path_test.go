package policy

import (
	"net/url"
	"path"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestThreat14_APathThatTwoServersCouldReadDifferentlyIsRefused(t *testing.T) {
	for name, tc := range map[string]struct{ path, problem string }{
		"an empty path":                                {"", pathNoSlash},
		"a path without a leading slash":               {"telemetry", pathNoSlash},
		"the asterisk form":                            {"*", pathNoSlash},
		"an absolute URL in place of a path":           {"http://x/telemetry", pathNoSlash},
		"two slashes at the start":                     {"//telemetry", pathEmpty},
		"two slashes in the middle":                    {"/a//b", pathEmpty},
		"two slashes at the end":                       {"/a//", pathEmpty},
		"a dot segment":                                {"/a/./b", pathDots},
		"a dot segment at the end":                     {"/a/.", pathDots},
		"a parent segment":                             {"/a/../b", pathDots},
		"a parent segment at the end":                  {"/a/..", pathDots},
		"a parent segment at the start":                {"/../a", pathDots},
		"an encoded parent segment":                    {"/a/%2e%2e/b", pathNeedless},
		"an encoded parent segment in capitals":        {"/a/%2E%2E/b", pathNeedless},
		"a half encoded parent segment":                {"/a/.%2e/b", pathNeedless},
		"an encoded slash":                             {"/a%2fb", pathHidden},
		"an encoded slash in capitals":                 {"/a%2Fb", pathHidden},
		"an encoded backslash":                         {"/a%5cb", pathHidden},
		"a raw backslash":                              {`/a\b`, pathByte},
		"a parent segment with backslashes":            {`/a\..\b`, pathByte},
		"an encoded zero byte":                         {"/a%00b", pathHidden},
		"an encoded line feed":                         {"/a%0ab", pathHidden},
		"an encoded DEL":                               {"/a%7fb", pathHidden},
		"an encoded C1 control character":              {"/a%C2%85b", pathText},
		"a raw control byte":                           {"/a\x01b", pathByte},
		"a raw zero byte":                              {"/a\x00b", pathByte},
		"a raw space":                                  {"/a b", pathByte},
		"a raw tab":                                    {"/a\tb", pathByte},
		"a semicolon":                                  {"/a;b", pathByte},
		"a path parameter before a parent segment":     {"/a/..;/b", pathByte},
		"an encoded semicolon":                         {"/a%3bb", pathHidden},
		"a fragment":                                   {"/a#b", pathByte},
		"an encoded fragment":                          {"/a%23b", pathHidden},
		"a raw question mark":                          {"/a?b", pathByte},
		"an encoded question mark":                     {"/a%3fb", pathHidden},
		"raw bytes beyond ASCII":                       {"/café", pathByte},
		"a raw byte that is no UTF-8":                  {"/a\xffb", pathByte},
		"encoded bytes that are no UTF-8":              {"/a%ff", pathText},
		"an overlong slash":                            {"/a%c0%afb", pathText},
		"an encoded surrogate":                         {"/a%ed%a0%80", pathText},
		"an encoded replacement character":             {"/a%EF%BF%BD", pathText},
		"a percent sign alone":                         {"/a%", pathEscape},
		"a percent sign with one digit":                {"/a%2", pathEscape},
		"a percent sign with letters that are no hex":  {"/a%zz", pathEscape},
		"a doubly encoded slash":                       {"/a%252fb", pathDouble},
		"a doubly encoded dot":                         {"/a%252e%252e/b", pathDouble},
		"a doubly encoded slash in another form":       {"/a%25u002fb", pathDouble},
		"an encoded letter":                            {"/%61dmin", pathNeedless},
		"an encoded digit":                             {"/%31", pathNeedless},
		"an encoded tilde":                             {"/%7e", pathNeedless},
		"a path of 8 KiB and one byte":                 {"/" + strings.Repeat("a", maxPath), pathTooLong},
		"a raw quotation mark, which URLs do not hold": {`/a"b`, pathByte},
		"raw braces, which URLs do not hold":           {"/{a}", pathByte},
	} {
		t.Run(name, func(t *testing.T) {
			if decoded, problem := checkPath(tc.path); problem != tc.problem {
				t.Errorf("checkPath(%q) = %q, problem %q; want problem %q", tc.path, decoded, problem, tc.problem)
			}
		})
	}
}

func TestAPathWithOneMeaningIsDecoded(t *testing.T) {
	for sent, want := range map[string]string{
		"/":                             "/",
		"/a":                            "/a",
		"/a/":                           "/a/",
		"/telemetry/inverter":           "/telemetry/inverter",
		"/.well-known/x":                "/.well-known/x",
		"/...":                          "/...",
		"/a..b":                         "/a..b",
		"/a%20b":                        "/a b",
		"/caf%C3%A9":                    "/café",
		"/caf%c3%a9":                    "/café",
		"/t/2025-11-01T00%3A00":         "/t/2025-11-01T00:00",
		"/user%40example.com":           "/user@example.com",
		"/100%25":                       "/100%",
		"/a!$&'()*+,=:@[]|b":            "/a!$&'()*+,=:@[]|b",
		"/" + strings.Repeat("a", 8191): "/" + strings.Repeat("a", 8191),
	} {
		if decoded, problem := checkPath(sent); decoded != want || problem != "" {
			t.Errorf("checkPath(%q) = %q, %q; want %q", sent, decoded, problem, want)
		}
	}
}

// agreeWithNetURL fails unless net/url and path.Clean see the path that we do.
func agreeWithNetURL(t interface {
	Helper()
	Fatalf(string, ...any)
}, sent, decoded string,
) {
	t.Helper()
	u, err := url.ParseRequestURI(sent)
	if err != nil {
		t.Fatalf("net/url refuses %q: %v", sent, err)
	}
	if u.Path != decoded || u.RawQuery != "" || u.Fragment != "" || u.Host != "" {
		t.Fatalf("net/url sees %q as %q (%+v), we as %q", sent, u.Path, u, decoded)
	}
	clean := path.Clean(decoded)
	if clean != decoded && clean+"/" != decoded {
		t.Fatalf("path.Clean changes %q to %q", decoded, clean)
	}
	again, err := url.ParseRequestURI(u.EscapedPath())
	if err != nil || again.Path != decoded {
		t.Fatalf("%q is forwarded as %q, which is read as %q (%v)", sent, u.EscapedPath(), again, err)
	}
}

// drawPath makes paths that are near what is refused.
func drawPath(t *rapid.T) string {
	piece := rapid.SampledFrom([]string{
		"/", "/", "/", "a", "b", "telemetry", "A", ".", "..", "%2e", "%2f", "%20", "%C3%A9", "%c3", "%25", "2f", "41", "%41", ";", "\\",
		"%5c", "#", "?", "%3f", "%00", " ", "é", "-", "_", ":", "@", "%3A", "[", "|", "~", "+", "*", "\x7f", "u0041",
	})
	return "/" + strings.Join(rapid.SliceOfN(piece, 0, 12).Draw(t, "pieces"), "")
}

func TestThreat14_AnAcceptedPathIsTheSameForNetURLAndPathClean(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sent := drawPath(t)
		if decoded, problem := checkPath(sent); problem == "" {
			agreeWithNetURL(t, sent, decoded)
		}
	})
}

func TestAQueryThatWouldEndTheRequestLineIsRefused(t *testing.T) {
	for _, q := range []string{"a=1 b", "a=1\r\nx", "a=\x00", "a=1#site_id=B", "a=\x7f"} {
		if checkQuery(q) == "" {
			t.Errorf("%q is accepted", q)
		}
	}
	for _, q := range []string{"", "a=1&b=2", "a=%00", "é=1", "a;b"} {
		if problem := checkQuery(q); problem != "" {
			t.Errorf("%q is refused: %s", q, problem)
		}
	}
}

func TestTheQueryIsCheckedByteByByteWhereverTheByteStands(t *testing.T) {
	for length := range 20 {
		for at := range length {
			for c := range 256 {
				q := []byte(strings.Repeat("a", length))
				q[at] = byte(c)
				if got := checkQuery(string(q)) == ""; got != queryByteAllowed(byte(c)) {
					t.Fatalf("byte %#x at %d of %d: accepted %v", c, at, length, got)
				}
			}
		}
	}
}

func FuzzCheckPath(f *testing.F) {
	for _, s := range []string{"/", "/a/b", "//", "/..", "/%2e", "/a%20b", "/%C3%A9", "/%25", "/a;b", "/%252f", "*", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, sent string) {
		decoded, problem := checkPath(sent)
		if problem != "" {
			if decoded != "" {
				t.Fatalf("%q is refused and yet decoded", sent)
			}
			return
		}
		agreeWithNetURL(t, sent, decoded)
		for _, bad := range []string{"//", "/../", "/./", ";", "\\", "\x00", "#", "?"} {
			if strings.Contains(decoded, bad) {
				t.Fatalf("%q was accepted and decodes to %q", sent, decoded)
			}
		}
	})
}
