package policy

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	keystile "keystile.dev/keystile"
)

// resourceOf authorizes a request on a route with one resource, as a principal
// that may touch Sibaya.
func resourceOf(t testing.TB, from, path string, r *keystile.Request) (keystile.Resource, *keystile.Rejection) {
	t.Helper()
	route := testRoute("", path)
	route.Resource = &keystile.RouteResource{Type: "site", From: from}
	m := mustFind(t, mustCompile(t, route), r)
	return m.Authorize(r, &keystile.Principal{SiteIDs: []string{"Sibaya", "My Plant", "12", "-12"}}, testTime)
}

func TestAQueryParameterNamesTheResourceOnlyIfEveryServerReadsItAlike(t *testing.T) {
	for name, tc := range map[string]struct{ query, id, public string }{
		"one parameter":                        {"site_id=Sibaya", "Sibaya", ""},
		"among others":                         {"asset_id=I&site_id=Sibaya&start=2025-11-01T00%3A00", "Sibaya", ""},
		"an encoded value":                     {"site_id=Si%62aya", "Sibaya", ""},
		"a plus for a space":                   {"site_id=My+Plant", "My Plant", ""},
		"an encoded space":                     {"site_id=My%20Plant", "My Plant", ""},
		"an encoded name":                      {"site%5Fid=Sibaya", "Sibaya", ""},
		"empty pairs around it":                {"&&site_id=Sibaya&", "Sibaya", ""},
		"no query":                             {"", "", "site_id is missing"},
		"another parameter":                    {"siteid=Sibaya", "", "site_id is missing"},
		"a name in other case":                 {"Site_ID=Sibaya", "", "site_id is missing"},
		"a name that only begins so":           {"site_id2=Sibaya", "", "site_id is missing"},
		"an empty value":                       {"site_id=", "", "site_id is empty"},
		"no value":                             {"site_id", "", "site_id is empty"},
		"two values":                           {"site_id=Sibaya&site_id=Other", "", "site_id is given more than once"},
		"the same value twice":                 {"site_id=Sibaya&site_id=Sibaya", "", "site_id is given more than once"},
		"a second empty value":                 {"site_id=Sibaya&site_id", "", "site_id is given more than once"},
		"a second encoded name":                {"site_id=Sibaya&site%5fid=Other", "", "site_id is given more than once"},
		"a second fully encoded name":          {"site_id=Sibaya&%73%69%74%65%5f%69%64=Other", "", "site_id is given more than once"},
		"a second name in other case":          {"site_id=Sibaya&SITE_ID=Other", "", "site_id is given more than once"},
		"a second name as an array":            {"site_id=Sibaya&site_id[]=Other", "", "site_id is given more than once"},
		"a second name as an encoded array":    {"site_id=Sibaya&site_id%5B0%5D=Other", "", "site_id is given more than once"},
		"a second name with a dot":             {"site_id=Sibaya&site.id=Other", "", "site_id is given more than once"},
		"a second name with a space":           {"site_id=Sibaya&site+id=Other", "", "site_id is given more than once"},
		"a second name after a space":          {"site_id=Sibaya&+site_id=Other", "", "site_id is given more than once"},
		"a semicolon between pairs":            {"site_id=Sibaya;site_id=Other", "", "site_id " + querySemicolon},
		"a semicolon elsewhere":                {"a=b;c&site_id=Sibaya", "", "site_id " + querySemicolon},
		"an encoded semicolon in a value":      {"a=b%3Bc&site_id=Sibaya", "Sibaya", ""},
		"an escape that is none":               {"site_id=Sib%zz", "", "site_id " + queryEscape},
		"an escape that is none, elsewhere":    {"a=%&site_id=Sibaya", "", "site_id " + queryEscape},
		"an escape that is none, last":         {"site_id=Sibaya&a=%4", "", "site_id " + queryEscape},
		"a control character":                  {"site_id=Sibaya%00", "", "site_id is not plain text"},
		"text that is no UTF-8":                {"site_id=%ff", "", "site_id is not plain text"},
		"a very long value":                    {"site_id=" + strings.Repeat("a", 513), "", "site_id is too long"},
		"a query beyond what is searched":      {"site_id=Sibaya&a=" + strings.Repeat("a", maxQuery), "", "site_id " + queryTooLong},
		"a value with an equals sign: refused": {"site_id=Sibaya=x", "", "not permitted"},
	} {
		t.Run(name, func(t *testing.T) {
			res, rejection := resourceOf(t, "query.site_id", "/**", testRequest("GET", "a.example", "/t?"+tc.query))
			checkResource(t, res, rejection, tc.id, tc.public)
		})
	}
}

func checkResource(t *testing.T, res keystile.Resource, rejection *keystile.Rejection, id, public string) {
	t.Helper()
	switch {
	case public == "":
		if rejection != nil || res != (keystile.Resource{Type: "site", ID: id}) {
			t.Errorf("%v, %v; want %q", res, rejection, id)
		}
	case public == "not permitted":
		if rejection == nil || rejection.Reason != keystile.ReasonResourceNotPermitted {
			t.Errorf("%v, %v; want not permitted", res, rejection)
		}
	case rejection == nil || rejection.Reason != keystile.ReasonRequestInvalid || rejection.Public != public:
		t.Errorf("%v, %+v; want %q", res, rejection, public)
	}
}

func TestAHeaderFieldNamesTheResourceOnlyIfItIsThereOnce(t *testing.T) {
	for name, tc := range map[string]struct {
		header     keystile.Header
		id, public string
	}{
		"one field":                       {keystile.Header{"X-Site-Id": {"Sibaya"}}, "Sibaya", ""},
		"blanks around the value":         {keystile.Header{"X-Site-Id": {" Sibaya\t"}}, "Sibaya", ""},
		"no field":                        {keystile.Header{}, "", "X-Site-Id is missing"},
		"an empty field":                  {keystile.Header{"X-Site-Id": {""}}, "", "X-Site-Id is empty"},
		"two fields":                      {keystile.Header{"X-Site-Id": {"Sibaya", "Other"}}, "", "X-Site-Id is given more than once"},
		"a second field with underscores": {keystile.Header{"X-Site-Id": {"Sibaya"}, "X_site_id": {"Other"}}, "", "X-Site-Id is given more than once"},
		"a second field in other case":    {keystile.Header{"X-Site-Id": {"Sibaya"}, "x-site-id": {"Other"}}, "", "X-Site-Id is given more than once"},
		"only one with underscores":       {keystile.Header{"X_site_id": {"Sibaya"}}, "", "X-Site-Id is missing"},
		"a list":                          {keystile.Header{"X-Site-Id": {"Sibaya, Other"}}, "", "not permitted"},
		"a control character":             {keystile.Header{"X-Site-Id": {"Sibaya\x01"}}, "", "X-Site-Id is not plain text"},
	} {
		t.Run(name, func(t *testing.T) {
			r := testRequest("GET", "a.example", "/t")
			r.Header = tc.header
			res, rejection := resourceOf(t, "header.x-site-id", "/**", r)
			checkResource(t, res, rejection, tc.id, tc.public)
		})
	}
}

func TestAPathNamesTheResource(t *testing.T) {
	for _, tc := range []struct{ pattern, from, path, id, public string }{
		{"/sites/*/x", "path.1", "/sites/Sibaya/x", "Sibaya", ""},
		{"/*/sites/*", "path.2", "/v1/sites/My%20Plant", "My Plant", ""},
		{"/sites/**", "path.1", "/sites/Sibaya", "Sibaya", ""},
		{"/sites/**", "path.1", "/sites/Sibaya/x", "", "not permitted"},
		{"/sites/**", "path.1", "/sites", "", "the site in the path is empty"},
		{"/sites/s-*.json", "path.1", "/sites/s-Sibaya.json", "Sibaya", ""},
	} {
		res, rejection := resourceOf(t, tc.from, tc.pattern, testRequest("GET", "a.example", tc.path))
		checkResource(t, res, rejection, tc.id, tc.public)
	}
}

// withBody gives a request a body as enforcement points do.
func withBody(r *keystile.Request, body string) *keystile.Request {
	r.Body = func(limit int64) ([]byte, error) {
		if int64(len(body)) > limit {
			return nil, keystile.ErrBodyTooLarge
		}
		return []byte(body), nil
	}
	return r
}

func TestAJSONMemberNamesTheResourceOnlyIfEveryParserReadsItAlike(t *testing.T) {
	for name, tc := range map[string]struct{ from, body, id, public string }{
		"a string":                           {"json.site_id", `{"a":[1,{"b":2}],"site_id":"Sibaya","z":null}`, "Sibaya", ""},
		"a whole number":                     {"json.site_id", `{"site_id":12}`, "12", ""},
		"a negative number":                  {"json.site_id", `{"site_id":-12}`, "-12", ""},
		"a nested member":                    {"json.a.b", `{"a":{"x":{"b":"no"},"b":"Sibaya"}}`, "Sibaya", ""},
		"an escaped name":                    {"json.site_id", `{"site\u005fid":"Sibaya"}`, "Sibaya", ""},
		"the name deeper, too":               {"json.site_id", `{"a":{"site_id":"Other"},"site_id":"Sibaya"}`, "Sibaya", ""},
		"a missing member":                   {"json.site_id", `{"a":1}`, "", "site_id is missing"},
		"an empty object":                    {"json.site_id", `{}`, "", "site_id is missing"},
		"a missing nested member":            {"json.a.b", `{"a":{},"b":"Sibaya"}`, "", "a.b is missing"},
		"a name in other case":               {"json.site_id", `{"Site_ID":"Sibaya"}`, "", "site_id is missing"},
		"an empty string":                    {"json.site_id", `{"site_id":""}`, "", "site_id is empty"},
		"a second member":                    {"json.site_id", `{"site_id":"Sibaya","site_id":"Other"}`, "", "site_id " + jsonRepeated},
		"a second member, escaped":           {"json.site_id", `{"site_id":"Sibaya","site\u005fid":"Other"}`, "", "site_id " + jsonRepeated},
		"a second member in other case":      {"json.site_id", `{"site_id":"Sibaya","SITE_ID":"Other"}`, "", "site_id " + jsonRepeated},
		"a first member in other case":       {"json.site_id", `{"SITE_ID":"Other","site_id":"Sibaya"}`, "", "site_id " + jsonRepeated},
		"a second member with a long s":      {"json.site_id", `{"site_id":"Sibaya","ſite_id":"Other"}`, "", "site_id " + jsonRepeated},
		"another member twice":               {"json.site_id", `{"a":1,"site_id":"Sibaya","a":2}`, "", "site_id " + jsonRepeated},
		"a deeper member twice":              {"json.site_id", `{"site_id":"Sibaya","x":[{"a":1,"a":2}]}`, "", "site_id " + jsonRepeated},
		"a second object on the way":         {"json.a.b", `{"a":{"b":"Sibaya"},"a":{"b":"Other"}}`, "", "a.b " + jsonRepeated},
		"an object on the way in other case": {"json.a.b", `{"a":{"b":"Sibaya"},"A":{"b":"Other"}}`, "", "a.b " + jsonRepeated},
		"an object for a value":              {"json.site_id", `{"site_id":{"a":1}}`, "", "site_id " + jsonType},
		"an array for a value":               {"json.site_id", `{"site_id":["Sibaya"]}`, "", "site_id " + jsonType},
		"null for a value":                   {"json.site_id", `{"site_id":null}`, "", "site_id " + jsonType},
		"a boolean for a value":              {"json.site_id", `{"site_id":true}`, "", "site_id " + jsonType},
		"a fraction for a value":             {"json.site_id", `{"site_id":12.0}`, "", "site_id " + jsonType},
		"an exponent for a value":            {"json.site_id", `{"site_id":12e0}`, "", "site_id " + jsonType},
		"minus zero for a value":             {"json.site_id", `{"site_id":-0}`, "", "site_id " + jsonType},
		"a number doubles cannot hold":       {"json.site_id", `{"site_id":9007199254740993}`, "", "site_id " + jsonType},
		"a string on the way":                {"json.a.b", `{"a":"Sibaya"}`, "", "a.b " + jsonType},
		"an array on the way":                {"json.a.b", `{"a":[{"b":"Sibaya"}]}`, "", "a.b " + jsonType},
		"an array as the body":               {"json.site_id", `[{"site_id":"Sibaya"}]`, "", "site_id " + jsonInvalid},
		"a string as the body":               {"json.site_id", `"site_id"`, "", "site_id " + jsonInvalid},
		"no text":                            {"json.site_id", ``, "", "site_id " + jsonInvalid},
		"text after the object":              {"json.site_id", `{"site_id":"Sibaya"}{"site_id":"Other"}`, "", "site_id " + jsonInvalid},
		"a byte order mark":                  {"json.site_id", "\ufeff" + `{"site_id":"Sibaya"}`, "", "site_id " + jsonInvalid},
		"a comment":                          {"json.site_id", `{"site_id":"Sibaya"/*,"site_id":"Other"*/}`, "", "site_id " + jsonInvalid},
		"a comma too many":                   {"json.site_id", `{"site_id":"Sibaya",}`, "", "site_id " + jsonInvalid},
		"bytes that are no UTF-8":            {"json.site_id", "{\"site_id\":\"Sibaya\",\"a\":\"\xff\"}", "", "site_id " + jsonInvalid},
		"half a surrogate pair":              {"json.site_id", `{"site_id":"\ud800"}`, "", "site_id is not plain text"},
		"a control character":                {"json.site_id", `{"site_id":"Sibaya\u0000"}`, "", "site_id is not plain text"},
		"nesting without end":                {"json.site_id", `{"a":` + strings.Repeat("[", 70) + strings.Repeat("]", 70) + `}`, "", "site_id " + jsonTooDeep},
	} {
		t.Run(name, func(t *testing.T) {
			r := withBody(testRequest("POST", "a.example", "/t"), tc.body)
			res, rejection := resourceOf(t, tc.from, "/**", r)
			checkResource(t, res, rejection, tc.id, tc.public)
		})
	}
}

func TestABodyThatCannotBeReadAsTheUpstreamReadsItIsRefused(t *testing.T) {
	const good = `{"site_id":"Sibaya"}`
	for name, tc := range map[string]struct {
		header keystile.Header
		body   func(int64) ([]byte, error)
		reason keystile.Reason
	}{
		"JSON by its type":         {header: keystile.Header{"Content-Type": {"application/json; charset=UTF-8"}}},
		"JSON by its suffix":       {header: keystile.Header{"Content-Type": {"application/merge-patch+json"}}},
		"no type":                  {header: keystile.Header{}},
		"a form":                   {header: keystile.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, reason: keystile.ReasonRequestInvalid},
		"another charset":          {header: keystile.Header{"Content-Type": {"application/json; charset=utf-16"}}, reason: keystile.ReasonRequestInvalid},
		"two types":                {header: keystile.Header{"Content-Type": {"application/json", "text/plain"}}, reason: keystile.ReasonRequestInvalid},
		"a type that is none":      {header: keystile.Header{"Content-Type": {"json"}}, reason: keystile.ReasonRequestInvalid},
		"a compressed body":        {header: keystile.Header{"Content-Encoding": {"gzip"}}, reason: keystile.ReasonRequestInvalid},
		"any encoding at all":      {header: keystile.Header{"Content-Encoding": {"identity"}}, reason: keystile.ReasonRequestInvalid},
		"a body that breaks off":   {body: func(int64) ([]byte, error) { return nil, errors.New("unexpected EOF") }, reason: keystile.ReasonRequestInvalid},
		"a body that is too large": {body: func(int64) ([]byte, error) { return nil, keystile.ErrBodyTooLarge }, reason: keystile.ReasonBodyTooLarge},
		"a point that ignores the limit": {
			body:   func(int64) ([]byte, error) { return []byte(good + strings.Repeat(" ", MaxBody)), nil },
			reason: keystile.ReasonBodyTooLarge,
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := withBody(testRequest("POST", "a.example", "/t"), good)
			r.Header = tc.header
			if tc.body != nil {
				r.Body = tc.body
			}
			_, rejection := resourceOf(t, "json.site_id", "/**", r)
			if rejection == nil && tc.reason != "" || rejection != nil && rejection.Reason != tc.reason {
				t.Errorf("%v, want %q", rejection, tc.reason)
			}
		})
	}
	t.Run("a point without bodies", func(t *testing.T) {
		_, rejection := resourceOf(t, "json.site_id", "/**", testRequest("POST", "a.example", "/t"))
		if rejection == nil || rejection.Reason != keystile.ReasonRequestInvalid {
			t.Errorf("%v", rejection)
		}
	})
}

func FuzzQueryValue(f *testing.F) {
	for _, s := range []string{"site_id=A", "site_id=A&site_id=B", "a=%zz", "site%5Fid=A", "a;b", "site_id=a+b", "site_id[]=x&site_id=y", "%"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, query string) {
		value, problem := queryValue(query, "site_id")
		parsed, err := url.ParseQuery(query)
		if problem != "" {
			return
		}
		if err != nil {
			t.Fatalf("net/url refuses %q: %v", query, err)
		}
		if got := parsed["site_id"]; len(got) != 1 || got[0] != value {
			t.Fatalf("%q: net/url reads %q, we %q", query, got, value)
		}
	})
}

func FuzzJSONValue(f *testing.F) {
	for _, s := range []string{`{"a":"x"}`, `{"a":{"b":1}}`, `{"a":1,"a":2}`, `[]`, `{"A":1,"a":2}`, `{"a":[{}]}`, `{"a":1}x`} {
		f.Add([]byte(s), "a")
		f.Add([]byte(s), "a.b")
	}
	f.Fuzz(func(t *testing.T, body []byte, path string) {
		members := strings.Split(path, ".")
		value, problem := jsonValue(body, members)
		if problem == "" && !plainJSONHas(body, members, value) {
			t.Fatalf("%q at %q: we read %q, encoding/json another", body, path, value)
		}
	})
}
