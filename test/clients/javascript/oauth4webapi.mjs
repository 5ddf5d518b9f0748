// The same by hand, with oauth4webapi, which judges every answer strictly; and what an
// API does that is given a token: it verifies it by itself, and asks about it.
//   node oauth4webapi.mjs SITE_ID API_ID API_SECRET DEVICE_ID
import assert from 'node:assert/strict'
import * as oauth from 'oauth4webapi'
import { browse, callback, closeBrowser, origin, refused, sites } from './browser.mjs'

const [siteID, apiID, apiSecret, deviceID] = process.argv.slice(2)
const resource = 'https://reports.example.com'
const as = await oauth.processDiscoveryResponse(origin, await oauth.discoveryRequest(origin))
const plain = await oauth.processDiscoveryResponse(origin, await oauth.discoveryRequest(origin, { algorithm: 'oauth2' }))
assert.deepEqual(plain, as)

// A public client: its key stands in for a secret.
const site = { client_id: siteID }
const none = oauth.None()

async function signIn(more = {}, options = {}) {
  const verifier = oauth.generateRandomCodeVerifier(), state = oauth.generateRandomState(), nonce = oauth.generateRandomNonce()
  const parameters = {
    client_id: siteID, redirect_uri: callback, response_type: 'code', scope: 'openid sites:read', state, nonce,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256', ...more,
  }
  const pushed = await oauth.processPushedAuthorizationResponse(as, site, await oauth.pushedAuthorizationRequest(as, site, none, parameters, options))
  const url = new URL(as.authorization_endpoint)
  url.searchParams.set('client_id', siteID)
  url.searchParams.set('request_uri', pushed.request_uri)
  return { back: oauth.validateAuthResponse(as, site, await browse(url), state), verifier, nonce }
}

async function redeem({ back, verifier }, options = {}) {
  return oauth.authorizationCodeGrantRequest(as, site, none, back, callback, verifier, options)
}

async function codeFlow() {
  const DPoP = oauth.DPoP(site, await oauth.generateKeyPair('ES256'))
  const asked = await signIn({}, { DPoP })
  const answer = await redeem(asked, { DPoP })
  const tokens = await oauth.processAuthorizationCodeResponse(as, site, answer, { expectedNonce: asked.nonce, requireIdToken: true })
  await oauth.validateApplicationLevelSignature(as, answer)
  const claims = oauth.getValidatedIdTokenClaims(tokens)
  const told = await oauth.userInfoRequest(as, site, tokens.access_token, { DPoP })
  const who = await oauth.processUserInfoResponse(as, site, claims.sub, told)
  assert.equal(who.sub, claims.sub)
  const called = await oauth.protectedResourceRequest(tokens.access_token, 'GET', sites, undefined, undefined, { DPoP })
  assert.equal(called.status, 200)
  await refused('another key', /401/, oauth.protectedResourceRequest(tokens.access_token, 'GET', sites, undefined, undefined, { DPoP: oauth.DPoP(site, await oauth.generateKeyPair('ES256')) }))

  const refresh = async (token) => oauth.processRefreshTokenResponse(as, site, await oauth.refreshTokenGrantRequest(as, site, none, token, { DPoP }))
  const refreshed = await refresh((await refresh(tokens.refresh_token)).refresh_token)
  await refused('a refresh token that was used twice over', /invalid_grant/, refresh(tokens.refresh_token))
  await refused('the rest of that grant', /401/, oauth.protectedResourceRequest(refreshed.access_token, 'GET', sites, undefined, undefined, { DPoP }))
  await refused('a code that was used', /invalid_grant/, redeem(asked, { DPoP }).then((r) => oauth.processAuthorizationCodeResponse(as, site, r)))
}

async function api() {
  const me = { client_id: apiID }, proof = oauth.ClientSecretBasic(apiSecret)
  const asked = await signIn({ resource })
  const tokens = await oauth.processAuthorizationCodeResponse(as, site, await redeem(asked), { expectedNonce: asked.nonce })
  const request = new Request(resource + '/monthly', { headers: { Authorization: `Bearer ${tokens.access_token}` } })
  const claims = await oauth.validateJwtAccessToken(as, request, resource)
  assert.equal(claims.client_id, siteID)
  await refused('a token for another API', /aud/, oauth.validateJwtAccessToken(as, request, 'https://other.example.com'))

  const ask = async () => oauth.processIntrospectionResponse(as, me, await oauth.introspectionRequest(as, me, proof, tokens.access_token))
  assert.equal((await ask()).sub, claims.sub)
  // The token is ended by who it was issued to, and by nobody else.
  await oauth.processRevocationResponse(await oauth.revocationRequest(as, me, proof, tokens.access_token))
  assert.equal((await ask()).active, true)
  await oauth.processRevocationResponse(await oauth.revocationRequest(as, site, none, tokens.access_token))
  assert.equal((await ask()).active, false)
}

async function device() {
  const me = { client_id: deviceID }
  const asked = await oauth.processDeviceAuthorizationResponse(as, me, await oauth.deviceAuthorizationRequest(as, me, none, { scope: 'openid' }))
  const poll = async () => oauth.processDeviceCodeResponse(as, me, await oauth.deviceCodeGrantRequest(as, me, none, asked.device_code))
  await refused('a device that nobody allowed', /authorization_pending/, poll())
  await browse(asked.verification_uri_complete)
  const tokens = await poll()
  assert.ok(oauth.getValidatedIdTokenClaims(tokens).sub)
}

async function registration() {
  const made = await oauth.processDynamicClientRegistrationResponse(await oauth.dynamicClientRegistrationRequest(as, { client_name: 'By hand', redirect_uris: [callback], token_endpoint_auth_method: 'none' }))
  assert.ok(made.client_id)
  await refused('a redirect URI that is none', /invalid_redirect_uri/, oauth.dynamicClientRegistrationRequest(as, { redirect_uris: ['javascript:alert(1)'] }).then(oauth.processDynamicClientRegistrationResponse))
}

await codeFlow()
await api()
await device()
await registration()
closeBrowser()
console.log('oauth4webapi: done')
