// Package client is a Go client of Keystile's management API.
//
//	c, err := client.New("https://auth.example.com", os.Getenv("KEYSTILE_TOKEN"))
//	key, err := c.CreateKey(ctx, client.KeyCreate{
//		Organization: "sibaya-power", PermittedSiteIDs: []string{"Sibaya"},
//		Scopes: []string{"telemetry:read"}, Limit: "60/1m",
//	})
//	fmt.Println(key.Secret) // shown once
//
// Every method is one request. An answer other than success is an [*Error] with
// the status, the stable code and the members at fault. Lists come page by page,
// or whole through the iterators, such as [Client.AllKeys].
//
// The client sends its token to the base URL alone: it follows no redirect. It
// imports the standard library only and does not depend on the server's packages.
package client
