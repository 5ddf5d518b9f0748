// Package upstream signs people in at an OpenID provider through the real program: the
// documentation's page step by step, and what a browser can do wrong.
package upstream
