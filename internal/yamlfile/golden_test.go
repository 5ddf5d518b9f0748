package yamlfile

import (
	"flag"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	keystile "keystile.dev/keystile"
)

var update = flag.Bool("update", false, "write the expected messages anew")

// sample has a field of every type that a file may hold.
type sample struct {
	Name     string            `yaml:"name,required" doc:"Its name."`
	Mode     string            `yaml:"mode" enum:"off files dev" default:"off"`
	Count    int               `yaml:"count" min:"1" max:"100" default:"7"`
	Big      int64             `yaml:"big"`
	On       bool              `yaml:"on"`
	Wait     time.Duration     `yaml:"wait" min:"1s" max:"24h" default:"60s"`
	Until    time.Time         `yaml:"until"`
	Room     Size              `yaml:"room" max:"1GiB"`
	Secret   keystile.Secret   `yaml:"secret"`
	Networks []netip.Prefix    `yaml:"networks"`
	Words    []string          `yaml:"words" enum:"red green"`
	OneOr    []string          `yaml:"one_or,single"`
	Labels   map[string]string `yaml:"labels"`
	Inner    inner             `yaml:"inner"`
	Maybe    *inner            `yaml:"maybe"`
	Items    []inner           `yaml:"items,single"`
	Free     any               `yaml:"free"`
	Rate     rateText          `yaml:"rate"`
	Hidden   string            `yaml:"-"`
}

type inner struct {
	PublicURL string   `yaml:"public_url,required"`
	Depth     int      `yaml:"depth" default:"3"`
	List      []string `yaml:"list"`
}

type rateText struct{ rate *keystile.Rate }

func (r *rateText) UnmarshalText(text []byte) (err error) {
	r.rate, err = keystile.ParseRate(string(text), "")
	return err
}

// Each bad file of the corpus stands beside the messages it must cause.
func TestBadFilesAreReportedWithLineFieldAndRemedy(t *testing.T) {
	const corpus = "testdata/bad.txtar"
	archive, err := txtar.ParseFile(corpus)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(archive.Files); i += 2 {
		bad, want := archive.Files[i], &archive.Files[i+1]
		var into sample
		_, err := Decode(bad.Name, bad.Data, &into)
		if err == nil {
			t.Errorf("%s is accepted", bad.Name)
			continue
		}
		got := err.Error() + "\n"
		if *update {
			want.Name, want.Data = "want", []byte(got)
		} else if diff := cmp.Diff(string(want.Data), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", bad.Name, diff)
		}
	}
	if *update {
		if err := os.WriteFile(corpus, txtar.Format(archive), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
