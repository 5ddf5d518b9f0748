package manage

import (
	"strings"
	"testing"
)

func TestThreat13_BrowsersAreSentToPublicHostsOnlyHoweverTheAddressIsWritten(t *testing.T) {
	const private, number, name, port = "private network", "browsers read as a number", "cannot be looked up", "its port"
	for text, want := range map[string]string{
		"https://app.example.com/":             "",
		"https://APP.example.com./x?a;b=%zz":   "",
		"https://app.example.com:8443/":        "",
		"https://93.184.216.34/":               "",
		"https://[2606:4700:4700::1111]/":      "",
		"https://a_b.example.com/":             "",
		"https://10.1.2.3/":                    private,
		"https://192.168.0.1./":                private,
		"https://100.64.0.1/":                  private,
		"https://0.1.2.3/":                     private,
		"https://198.18.0.1/":                  private,
		"https://169.254.169.254/":             private,
		"https://[::1]/":                       private,
		"https://[::ffff:10.0.0.1]/":           private,
		"https://[64:ff9b::a00:1]/":            private,
		"https://[2002:a00:1::]/":              private,
		"https://[fe80::1%25eth0]/":            private,
		"https://localhost./":                  private,
		"https://a.LOCALHOST./":                private,
		"https://127.1/":                       number,
		"https://2130706433/":                  number,
		"https://0x7f000001/":                  number,
		"https://0X7F.1/":                      number,
		"https://0177.0.0.1/":                  number,
		"https://app.example.0x/":              number,
		"https://.example.com/":                name,
		"https://a..b/":                        name,
		"https://" + strings.Repeat("a", 64):   name,
		"https://a,b/":                         name,
		"https://app.example.com:/":            port,
		"https://app.example.com:0/":           port,
		"https://app.example.com:65536/":       port,
		"https://[2606:4700:4700::1111]:/":     port,
		"http://app.example.com/":              "not https",
		"https://app.example.com\\@evil.test/": "not a URL",
	} {
		var p problems
		p.webURL("launch_url", text, false)
		err := p.err()
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	for text, good := range map[string]bool{
		"http://127.0.0.1:9100/embed": true, "http://localhost/": true, "https://[::1]:9100/": true,
		"http://127.1/": false, "http://localhost./": false, "http://10.0.0.1/": false, "http://app.example.com/": false,
	} {
		var p problems
		p.webURL("launch_url", text, true)
		if err := p.err(); (err == nil) != good {
			t.Errorf("while building, %s: %v", text, err)
		}
	}
}
