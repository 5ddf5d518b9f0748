// Package docs keeps the documentation true: what a page lists is what the
// repository has. Pages with commands and configurations are run elsewhere, by
// package interop.
package docs
