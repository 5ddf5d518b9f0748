package keyring

import (
	"cmp"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

const (
	// awsHostTimeout bounds a call to the machine's own metadata service, which is
	// not there where this is no machine of AWS.
	awsHostTimeout = 2 * time.Second
	// awsRenew is how long before their end keys are asked for again.
	awsRenew = time.Minute
	// awsContainerHost and awsMetadataHost are where AWS's own agents listen.
	awsContainerHost = "http://169.254.170.2"
	awsMetadataHost  = "http://169.254.169.254"
)

// awsKeys are what requests to AWS are signed with. They are never shown.
type awsKeys struct {
	id, secret, token string
	// ends is zero for keys without an end.
	ends time.Time
}

func (k awsKeys) good(now time.Time) bool {
	return k.id != "" && k.secret != "" && (k.ends.IsZero() || now.Before(k.ends.Add(-awsRenew)))
}

// awsCredentials finds keys where AWS's own libraries do, in their order: the
// environment, a web identity (Kubernetes), the container's agent (ECS, EKS Pod
// Identity), the machine's metadata service (version 2 only, whose token no
// confused proxy gets). Files under ~/.aws are not read. It is safe for concurrent use.
type awsCredentials struct {
	region, domain string
	getenv         func(string) string
	client         *http.Client
	now            func() time.Time

	mu    sync.Mutex
	found awsKeys
}

func (c *awsCredentials) keys() (awsKeys, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.found.good(c.now()) {
		return c.found, nil
	}
	found, err := c.find()
	if err != nil {
		return awsKeys{}, err
	}
	if found.id == "" || found.secret == "" {
		return awsKeys{}, errors.New("AWS gave no credentials")
	}
	c.found = found
	return found, nil
}

func (c *awsCredentials) find() (awsKeys, error) {
	if id := c.getenv("AWS_ACCESS_KEY_ID"); id != "" {
		return awsKeys{id: id, secret: c.getenv("AWS_SECRET_ACCESS_KEY"), token: c.getenv("AWS_SESSION_TOKEN")}, nil
	}
	if file, role := c.getenv("AWS_WEB_IDENTITY_TOKEN_FILE"), c.getenv("AWS_ROLE_ARN"); file != "" && role != "" {
		return c.fromWebIdentity(file, role)
	}
	if path := c.getenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"); path != "" {
		return c.fromContainer(awsContainerHost + path)
	}
	if full := c.getenv("AWS_CONTAINER_CREDENTIALS_FULL_URI"); full != "" {
		return c.fromContainer(full)
	}
	if strings.EqualFold(c.getenv("AWS_EC2_METADATA_DISABLED"), "true") {
		return awsKeys{}, errors.New("no credentials for AWS: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
	}
	keys, err := c.fromMachine()
	if err != nil {
		return awsKeys{}, fmt.Errorf("no credentials for AWS: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine a role: %w", err)
	}
	return keys, nil
}

// fromWebIdentity has the security token service exchange a signed identity for keys.
func (c *awsCredentials) fromWebIdentity(file, role string) (awsKeys, error) {
	identity, err := os.ReadFile(filepath.Clean(file))
	if err != nil {
		return awsKeys{}, fmt.Errorf("read the web identity for AWS: %w", err)
	}
	endpoint, err := awsEndpoint(c.getenv, "STS", "https://sts."+c.region+"."+c.domain)
	if err != nil {
		return awsKeys{}, err
	}
	form := url.Values{
		"Action": {"AssumeRoleWithWebIdentity"}, "Version": {"2011-06-15"}, "RoleArn": {role},
		"RoleSessionName":  {cmp.Or(c.getenv("AWS_ROLE_SESSION_NAME"), "keystile")},
		"WebIdentityToken": {strings.TrimSpace(string(identity))},
	}
	request, err := http.NewRequest(http.MethodPost, endpoint.String(), strings.NewReader(form.Encode())) //nolint:noctx // the client has a timeout; the callers, of Tink, have no context
	if err != nil {
		return awsKeys{}, fmt.Errorf("ask AWS for credentials: %w", err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	text, err := c.ask(request)
	if err != nil {
		return awsKeys{}, err
	}
	var answer struct {
		Keys struct {
			AccessKeyID     string    `xml:"AccessKeyId"`
			SecretAccessKey string    `xml:"SecretAccessKey"`
			SessionToken    string    `xml:"SessionToken"`
			Expiration      time.Time `xml:"Expiration"`
		} `xml:"AssumeRoleWithWebIdentityResult>Credentials"`
	}
	if err := xml.Unmarshal(text, &answer); err != nil {
		return awsKeys{}, errors.New("AWS's answer with credentials cannot be read")
	}
	return awsKeys{answer.Keys.AccessKeyID, answer.Keys.SecretAccessKey, answer.Keys.SessionToken, answer.Keys.Expiration}, nil
}

// fromContainer asks the agent beside a container.
func (c *awsCredentials) fromContainer(address string) (awsKeys, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" && (u.Scheme != "http" || !awsAgentHost(u.Hostname())) {
		return awsKeys{}, errors.New("AWS_CONTAINER_CREDENTIALS_FULL_URI: over http only an agent on this machine is asked")
	}
	request, err := http.NewRequest(http.MethodGet, address, http.NoBody) //nolint:noctx // the client has a timeout; the callers, of Tink, have no context
	if err != nil {
		return awsKeys{}, fmt.Errorf("ask AWS for credentials: %w", err)
	}
	token := c.getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN")
	if file := c.getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"); file != "" {
		raw, err := os.ReadFile(filepath.Clean(file))
		if err != nil {
			return awsKeys{}, fmt.Errorf("read the token of the container's agent: %w", err)
		}
		token = strings.TrimSpace(string(raw))
	}
	if token != "" {
		request.Header.Set("Authorization", token)
	}
	return c.askKeys(request)
}

func awsAgentHost(host string) bool {
	addr, err := netip.ParseAddr(host)
	return loopbackHost(host) || err == nil && (addr == netip.MustParseAddr("169.254.170.2") || addr == netip.MustParseAddr("169.254.170.23") || addr == netip.MustParseAddr("fd00:ec2::23"))
}

// fromMachine asks the metadata service for the keys of the machine's role.
func (c *awsCredentials) fromMachine() (awsKeys, error) {
	base := strings.TrimRight(cmp.Or(c.getenv("AWS_EC2_METADATA_SERVICE_ENDPOINT"), awsMetadataHost), "/")
	ask := func(method, path string, set ...string) (*http.Request, error) {
		request, err := http.NewRequest(method, base+"/latest/"+path, http.NoBody) //nolint:noctx // as above
		if err == nil {
			request.Header.Set(set[0], set[1])
		}
		return request, err
	}
	request, err := ask(http.MethodPut, "api/token", "X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "60")
	if err != nil {
		return awsKeys{}, fmt.Errorf("ask the machine for credentials: %w", err)
	}
	token, err := c.ask(request)
	if err != nil {
		return awsKeys{}, err
	}
	const roles = "meta-data/iam/security-credentials/"
	if request, err = ask(http.MethodGet, roles, "X-Aws-Ec2-Metadata-Token", string(token)); err != nil {
		return awsKeys{}, fmt.Errorf("ask the machine for credentials: %w", err)
	}
	role, err := c.ask(request)
	if err != nil {
		return awsKeys{}, err
	}
	name, _, _ := strings.Cut(strings.TrimSpace(string(role)), "\n")
	if request, err = ask(http.MethodGet, roles+url.PathEscape(name), "X-Aws-Ec2-Metadata-Token", string(token)); err != nil {
		return awsKeys{}, fmt.Errorf("ask the machine for credentials: %w", err)
	}
	return c.askKeys(request)
}

// askKeys reads keys as both agents write them.
func (c *awsCredentials) askKeys(request *http.Request) (awsKeys, error) {
	text, err := c.ask(request)
	if err != nil {
		return awsKeys{}, err
	}
	var answer struct {
		AccessKeyID     string    `json:"AccessKeyId"`
		SecretAccessKey string    `json:"SecretAccessKey"`
		Token           string    `json:"Token"`
		Expiration      time.Time `json:"Expiration"`
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return awsKeys{}, errors.New("AWS's answer with credentials cannot be read")
	}
	return awsKeys{answer.AccessKeyID, answer.SecretAccessKey, answer.Token, answer.Expiration}, nil
}

// ask returns the body of a 200. What else was answered is not repeated: it may
// hold credentials.
func (c *awsCredentials) ask(request *http.Request) (text []byte, err error) {
	client := *c.client
	if request.URL.Scheme == "http" && !loopbackHost(request.URL.Hostname()) {
		client.Timeout = awsHostTimeout
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("ask AWS for credentials: %w", err)
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	text, err = io.ReadAll(io.LimitReader(response.Body, maxKMSAnswer))
	if err != nil {
		return nil, fmt.Errorf("ask AWS for credentials: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("AWS gives no credentials at %s: %s", request.URL.Host, response.Status)
	}
	return text, nil
}

// awsEndpoint is where a service is: as AWS_ENDPOINT_URL_<SERVICE> or
// AWS_ENDPOINT_URL say, else its own.
func awsEndpoint(getenv func(string) string, service, own string) (*url.URL, error) {
	text := cmp.Or(getenv("AWS_ENDPOINT_URL_"+service), getenv("AWS_ENDPOINT_URL"), own)
	u, err := url.Parse(strings.TrimRight(text, "/") + "/")
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("AWS_ENDPOINT_URL is no URL of a server")
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !loopbackHost(u.Hostname())) {
		return nil, errors.New("AWS is asked over https only, but on this machine")
	}
	return u, nil
}
