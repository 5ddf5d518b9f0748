// A website with openid-client: pushed requests, PKCE, DPoP, refresh, sign-out; then a
// client that registers itself with a key, and a program that acts as itself.
//   node openid-client.mjs WEBSITE_ID WEBSITE_SECRET PROGRAM_ID PROGRAM_SECRET
import assert from 'node:assert/strict'
import * as client from 'openid-client'
import { browse, callback, closeBrowser, origin, refused, sites } from './browser.mjs'

const [websiteID, websiteSecret, programID, programSecret] = process.argv.slice(2)

async function asked(more = {}) {
  const verifier = client.randomPKCECodeVerifier(), state = client.randomState(), nonce = client.randomNonce()
  return {
    parameters: {
      redirect_uri: callback, scope: 'openid profile email sites:read', state, nonce,
      code_challenge: await client.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256', ...more,
    },
    checks: { pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce, idTokenExpected: true },
  }
}

async function website() {
  const config = await client.discovery(origin, websiteID, websiteSecret, client.ClientSecretBasic(websiteSecret))
  const DPoP = client.getDPoPHandle(config, await client.randomDPoPKeyPair('ES256'))
  const { parameters, checks } = await asked()
  await refused('a request that was not pushed', /invalid_request/, client.authorizationCodeGrant(config, await browse(client.buildAuthorizationUrl(config, parameters)), checks))
  const url = await client.buildAuthorizationUrlWithPAR(config, parameters, { DPoP })
  const back = await browse(url)
  await refused('the code without the proof', /invalid_grant|invalid_dpop_proof/, client.authorizationCodeGrant(config, back, checks))
  const tokens = await client.authorizationCodeGrant(config, back, checks, undefined, { DPoP })
  assert.equal(tokens.token_type, 'dpop')
  assert.equal(tokens.claims().nonce, checks.expectedNonce)
  const who = await client.fetchUserInfo(config, tokens.access_token, tokens.claims().sub, { DPoP })
  assert.equal(who.name, 'Ann Archer')
  const answer = await client.fetchProtectedResource(config, tokens.access_token, sites, 'GET', undefined, undefined, { DPoP })
  assert.equal(answer.status, 200, await answer.clone().text())
  assert.equal((await answer.json()).subject, 'user:' + who.sub)
  const stolen = await fetch(sites, { headers: { Authorization: `Bearer ${tokens.access_token}` } })
  assert.equal(stolen.status, 401, 'a bound token was taken without its proof')

  const next = await client.refreshTokenGrant(config, tokens.refresh_token, undefined, { DPoP })
  assert.notEqual(next.refresh_token, tokens.refresh_token)
  // Nothing is asked a second time, and a request that was used is used up.
  const again = await asked({ prompt: 'none' })
  const silent = await client.buildAuthorizationUrlWithPAR(config, again.parameters, { DPoP })
  await client.authorizationCodeGrant(config, await browse(silent), again.checks, undefined, { DPoP })
  const strict = await asked({ prompt: 'login', max_age: '0' })
  const fresh = await client.authorizationCodeGrant(config, await browse(await client.buildAuthorizationUrlWithPAR(config, strict.parameters, { DPoP })), { ...strict.checks, maxAge: 0 }, undefined, { DPoP })

  await client.tokenRevocation(config, next.refresh_token)
  await refused('a revoked refresh token', /invalid_grant/, client.refreshTokenGrant(config, next.refresh_token, undefined, { DPoP }))
  const state = client.randomState()
  const out = await browse(client.buildEndSessionUrl(config, { id_token_hint: fresh.id_token, post_logout_redirect_uri: 'https://app.example.com/bye', state }))
  assert.equal(out.href, `https://app.example.com/bye?state=${state}`)
  const gone = await asked({ prompt: 'none' })
  await refused('who signed out', /login_required/, client.authorizationCodeGrant(config, await browse(await client.buildAuthorizationUrlWithPAR(config, gone.parameters, { DPoP })), gone.checks, undefined, { DPoP }))
}

async function selfRegistered() {
  const keys = await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign', 'verify'])
  const { kty, crv, x, y } = await crypto.subtle.exportKey('jwk', keys.publicKey)
  const key = { key: keys.privateKey, kid: 'k1' }
  const config = await client.dynamicClientRegistration(origin, {
    client_name: 'Registered by itself', redirect_uris: [callback], token_endpoint_auth_method: 'private_key_jwt',
    grant_types: ['authorization_code', 'refresh_token'], scope: 'openid', jwks: { keys: [{ kty, crv, x, y, kid: 'k1', use: 'sig', alg: 'ES256' }] },
  }, client.PrivateKeyJwt(key))
  const { parameters, checks } = await asked({ scope: 'openid' })
  const tokens = await client.authorizationCodeGrant(config, await browse(client.buildAuthorizationUrl(config, parameters)), checks)
  assert.equal(tokens.claims().aud, config.clientMetadata().client_id)
}

async function program() {
  const config = await client.discovery(origin, programID, undefined, client.ClientSecretPost(programSecret), { algorithm: 'oauth2' })
  const tokens = await client.clientCredentialsGrant(config, { scope: 'sites:read' })
  const told = await client.tokenIntrospection(config, tokens.access_token)
  assert.equal(told.active, true)
  assert.equal(told.client_id, programID)
  await client.tokenRevocation(config, tokens.access_token)
  assert.equal((await client.tokenIntrospection(config, tokens.access_token)).active, false)
  await refused('a scope it does not have', /invalid_scope/, client.clientCredentialsGrant(config, { scope: 'sites:write' }))
}

await website()
await selfRegistered()
await program()
closeBrowser()
console.log('openid-client: done')
