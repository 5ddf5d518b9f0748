package sign_test

import (
	"fmt"
	"log"
	"net/http"
	"strings"
	"time"

	"keystile.dev/keystile/sdk/go/sign"
)

func ExampleSigner_Request() {
	signer, err := sign.NewHMAC("bank-x", "demo-api-key", "demo-secret")
	if err != nil {
		log.Fatal(err)
	}
	req, err := http.NewRequest(http.MethodPost, "https://bank.example/finapi/payments", strings.NewReader(`{"amount":"10.00"}`))
	if err != nil {
		log.Fatal(err)
	}
	// Leave the stamp empty, sign.Stamp{}, outside of tests.
	if err := signer.Request(req, sign.Stamp{Nonce: "000102030405060708090a0b0c0d0e0f", Time: time.Unix(1_700_000_000, 0)}); err != nil {
		log.Fatal(err)
	}
	fmt.Println(req.Header.Get("Content-Digest"))
	fmt.Println(req.Header.Get("Signature"))
	// Output:
	// sha-256=:6etJWsy84qDpW74Hm5+eQsyuIDccFRbj7TA20qeHz1M=:
	// sig1=:TO0JCn6sfuBkOGnJteXlS7nhTei4awXMiFDQ05FGXR8=:
}

func ExampleSigner_JWT() {
	signer, err := sign.NewHMAC("bank-x", "demo-api-key", "demo-secret")
	if err != nil {
		log.Fatal(err)
	}
	authorization, err := signer.JWT(sign.Stamp{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(strings.HasPrefix(authorization, "Bearer eyJ"))
	// Output: true
}
