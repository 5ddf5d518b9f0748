// The package in a real browser, as it stands: no build, no dependency.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { CLAIMS, hmacSigner, jwt, KEYS, keySet, ONA_CLAIMS, SECRET } from "../testing/issuer.js";

const iat = Math.floor(Date.now() / 1000);
const exp = iat + 600;

/** What the page does; it sends what it found. */
async function page(origin, tokens) {
  const { OnaSDK, SessionVerifier } = await import("/src/index.js");
  const verifier = new SessionVerifier({ jwksUrl: `${origin}/jwks`, issuer: origin });
  const found = [];
  for (const token of tokens) {
    found.push(await verifier.verify(token).then(({ subject }) => subject, String));
  }
  document.cookie = "secret=1";
  const { auth } = new OnaSDK({ endpoints: { auth: `${origin}/prod` } });
  found.push((await auth.login("u", "p")).message, auth.getCurrentUser().username);
  const redirecting = new OnaSDK({ endpoints: { auth: `${origin}/redirecting` } }).auth;
  found.push(await redirecting.login("u", "p").then(() => "followed", ({ name }) => name), redirecting.isAuthenticated());
  await fetch("/found", { method: "POST", body: JSON.stringify(found) });
}

/** The page's server: its origin, and what the page finds. */
async function serving(t) {
  let resolve;
  const found = new Promise((done) => { resolve = done; });
  const answers = {
    "/jwks": () => ["application/json", JSON.stringify(keySet())],
    "/prod/api/auth/login": ({ cookie }) => {
      const token = jwt(hmacSigner(SECRET), { ...ONA_CLAIMS, iat, exp });
      return ["application/json", JSON.stringify({ token, message: cookie === undefined ? "without a cookie" : cookie })];
    },
    "/": () => {
      const tokens = [...Object.values(KEYS).map((key) => jwt(key, { ...CLAIMS, iss: origin, aud: origin, iat, exp })), "a.b.c"];
      return ["text/html", `<body><script type="module">(${page})("${origin}", ${JSON.stringify(tokens)})</script>`];
    },
  };
  const server = createServer(async (request, response) => {
    const { url, method, headers } = request;
    if (url === "/found" && method === "POST") {
      let body = "";
      for await (const chunk of request) body += chunk;
      response.end();
      resolve(JSON.parse(body));
    } else if (url === "/redirecting/api/auth/login") {
      response.writeHead(307, { Location: "/prod/api/auth/login" }).end();
    } else if (/^\/src\/\w+\.js$/.test(url)) {
      response.setHeader("Content-Type", "text/javascript").end(await readFile(new URL(`..${url}`, import.meta.url)));
    } else if (answers[url]) {
      const [type, body] = answers[url](headers);
      response.setHeader("Content-Type", type).end(body);
    } else {
      response.writeHead(404).end();
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const origin = `http://127.0.0.1:${server.address().port}`;
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { origin, found };
}

test("a page in Chromium verifies sessions and logs in, without cookies and without following redirects", async (t) => {
  const profile = await mkdtemp(join(tmpdir(), "keystile-chromium-"));
  const { origin, found } = await serving(t);
  const chromium = spawn("chromium", [
    "--headless", "--no-sandbox", "--disable-gpu", "--no-proxy-server", "--disable-dev-shm-usage", `--user-data-dir=${profile}`, origin,
  ], { stdio: "ignore" });
  const ended = once(chromium, "exit");
  t.after(async () => {
    chromium.kill();
    await ended;
    await rm(profile, { recursive: true, force: true, maxRetries: 5 });
  });
  const gone = ended.then(([code]) => assert.fail(`Chromium ended with ${code} before the page was done`));
  gone.catch(() => {}); // it ends after the page, too
  assert.deepEqual(await Promise.race([found, gone]), [
    "u1", "u1", "u1", "SessionRejected: the session token is not accepted: malformed",
    "without a cookie", ONA_CLAIMS.username, "ServiceUnavailableError", false,
  ]);
});
