// Package kms runs the program with its master key in a key management service that
// is another's program: moto's AWS, which checks signatures with Amazon's own
// library and authorizes by IAM policies.
package kms
