package kms

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"keystile.dev/keystile/test/e2e/program"
)

// moto is the version of AWS that is spoken to.
const moto = "moto[server,kms,sts]==5.2.5"

// prepare makes a key and a user that may use it, by Amazon's own library. Its
// four requests are the only ones that moto takes without credentials.
const prepare = `import boto3, json, sys
c = dict(endpoint_url=sys.argv[1], region_name="eu-central-1", aws_access_key_id="none", aws_secret_access_key="none")
iam, kms = boto3.client("iam", **c), boto3.client("kms", **c)
iam.create_user(UserName="keystile")
arn = kms.create_key()["KeyMetadata"]["Arn"]
allow = {"Effect": "Allow", "Action": ["kms:Encrypt", "kms:Decrypt"], "Resource": "*"}
iam.put_user_policy(UserName="keystile", PolicyName="p", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [allow]}))
key = iam.create_access_key(UserName="keystile")["AccessKey"]
print(arn, key["AccessKeyId"], key["SecretAccessKey"])
`

// output runs a command that must succeed.
func output(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", cmd, err, out, stderr.Bytes())
	}
	return string(out)
}

// aws starts moto and returns its URL, the key's ARN, and the credentials that may use it.
func aws(t *testing.T) (url, arn, id, secret string) {
	t.Helper()
	venv := filepath.Join(t.TempDir(), "venv")
	output(t, exec.Command("python3", "-m", "venv", venv))
	output(t, exec.Command(filepath.Join(venv, "bin", "pip"), "install", "--quiet", "--no-compile", "--disable-pip-version-check", moto))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err := errors.Join(err, l.Close()); err != nil {
		t.Fatal(err)
	}
	server := exec.Command(filepath.Join(venv, "bin", "moto_server"), "-H", "127.0.0.1", "-p", port)
	server.Env = append(os.Environ(), "INITIAL_NO_AUTH_ACTION_COUNT=4", "PYTHONPATH=", "PYTHONDONTWRITEBYTECODE=1")
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		var ended *exec.ExitError
		if err := errors.Join(server.Process.Kill(), ignore(server.Wait(), &ended)); err != nil {
			t.Error(err)
		}
	})
	err = program.Until(t.Context(), func() error {
		c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", "127.0.0.1:"+port)
		if err != nil {
			return err
		}
		return c.Close()
	})
	if err != nil {
		t.Fatal(err)
	}
	url = "http://127.0.0.1:" + port
	script := exec.Command(filepath.Join(venv, "bin", "python"), "-c", prepare, url)
	script.Env = append(os.Environ(), "PYTHONPATH=", "PYTHONDONTWRITEBYTECODE=1")
	if n, err := fmt.Sscan(output(t, script), &arn, &id, &secret); n != 3 {
		t.Fatal(err)
	}
	return url, arn, id, secret
}

// ignore drops the error of a process that was killed.
func ignore(err error, ended **exec.ExitError) error {
	if errors.As(err, ended) {
		return nil
	}
	return err
}

func TestTheMasterKeyMayBeAKeyOfAWSKMS(t *testing.T) {
	url, arn, id, secret := aws(t)
	binary, err := program.Build(context.Background(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "house")
	config := filepath.Join(dir, "keystile.yaml")
	run := func(secret string, args ...string) (string, error) {
		cmd := exec.Command(binary, args...)
		cmd.Env = append(os.Environ(), "AWS_ENDPOINT_URL="+url, "AWS_ACCESS_KEY_ID="+id, "AWS_SECRET_ACCESS_KEY="+secret)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	must := func(args ...string) string {
		t.Helper()
		out, err := run(secret, args...)
		if err != nil {
			t.Fatalf("keystile %q: %v\n%s", args, err, out)
		}
		return out
	}
	must("init", dir)
	must("org", "create", "--id", "acme", "--config", config)
	must("signing-key", "create", "--organization", "acme", "--algorithm", "HS256", "--api-key", "bank", "--config", config)
	if out := must("master-key", "rotate", "--to", "aws-kms://"+arn, "--config", config); !strings.Contains(out, "is now under aws-kms/eu-central-1/123456789012/") {
		t.Errorf("rotate: %s", out)
	}
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, bytes.Replace(text, []byte("file:master.key"), []byte("aws-kms://"+arn), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	must("master-key", "retire", "--yes", "--config", config)
	if err := os.Remove(filepath.Join(dir, "master.key")); err != nil {
		t.Fatal(err)
	}
	must("sign", "--key", "bank", "--config", config)
	if out := must("doctor", "--config", config); !strings.Contains(out, "opened by aws-kms/eu-central-1/") {
		t.Errorf("doctor: %s", out)
	}
	out, err := run("another"+secret, "key", "list", "--config", config)
	// moto writes this one refusal as XML, whose words are not repeated.
	if err == nil || !strings.Contains(out, "AWS KMS does not decrypt with key "+arn) || !strings.Contains(out, "403") {
		t.Errorf("with a wrong secret: %v %s", err, out)
	}
}
