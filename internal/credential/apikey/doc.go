// Package apikey makes API keys and proves them.
//
// A key is <prefix>_<env>_ + 32 base62 random characters + 6 base62 digits of
// CRC-32 over everything before them:
//
//	opa_prod_V24MWaMOt9xqkx6uRTOIOpVcS2MMOEFL25g303
//	└┬┘ └┬─┘ └──────────────┬───────────────┘└─┬──┘
//	 │   environment        190 bits           checksum: tells a typing mistake
//	 prefix of the organisation                from an unknown key, proves nothing
//
// Keys of any other shape can be imported; they are looked up the same way.
// What is kept is HMAC-SHA-256(pepper, SHA-256(key)), so that a stolen database
// holds nothing that opens a door and keys known only by their SHA-256 can be
// taken over from another system.
//
// A key is verified by one look-up of its digest, remembered in package warm
// until the feed says that it changed.
package apikey
