// Nobody gets past the middleware without a session, and the handler sees whose it is.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, request } from "node:http";
import { test } from "node:test";

import { expressSession, SessionVerifier, withSession } from "@keystile/sdk";
import { CLAIMS, ISSUER, jwt, KEYS, keySet, NOW } from "../testing/issuer.js";
import { serving } from "../testing/stub.js";

const GOOD = jwt(KEYS.ed);

/** A real server of Node's with the middleware as Express calls it; a header field may be sent twice. */
async function express(t, options) {
  const middleware = expressSession(options);
  const server = createServer((incoming, response) => {
    incoming.keystileSession = "smuggled";
    middleware(incoming, response, (error) => response.end(`${error ? `${error} ` : ""}${incoming.keystileSession?.subject ?? incoming.keystileSession}`));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  return async (...fields) => {
    const sent = request({ port: server.address().port, agent: false });
    if (fields.length > 0) {
      sent.setHeader("Authorization", fields);
    }
    sent.end();
    const [answer] = await once(sent, "response");
    const body = (await answer.toArray()).join("");
    return { status: answer.statusCode, headers: new Headers(answer.headers), body };
  };
}

async function fetching(t, options) {
  const handler = withSession(options, (request, session, more) => {
    assert.equal(more, "more");
    return new Response(String(session?.subject ?? null));
  });
  return async (...fields) => {
    const headers = new Headers();
    fields.forEach((field) => headers.append("Authorization", field));
    const response = await handler(new Request("https://api.example.com/", { headers }), "more");
    return { status: response.status, headers: response.headers, body: await response.text() };
  };
}

for (const [name, served] of [["express", express], ["fetch", fetching]]) {
  const asking = async (t, optional) => {
    const stub = await serving(t, [200, keySet()]);
    const verifier = new SessionVerifier({ jwksUrl: stub.url, issuer: ISSUER, clock: () => NOW });
    return { stub, ask: await served(t, { verifier, ...(optional === undefined ? {} : { optional }) }) };
  };

  test(`a good token is let through with its session: ${name}`, async (t) => {
    for (const optional of [undefined, false, true]) {
      const { ask } = await asking(t, optional);
      for (const field of [`Bearer ${GOOD}`, `bearer ${GOOD}`, `BEARER  ${GOOD}`, GOOD]) {
        const { status, body } = await ask(field);
        assert.deepEqual([status, body], [200, "u1"]);
      }
    }
  });

  test(`a credential that is not good is refused also where none is needed: ${name}`, async (t) => {
    for (const optional of [false, true]) {
      const { ask } = await asking(t, optional);
      for (const fields of [
        [""],
        ["Bearer"],
        ["Bearer null"],
        ["Basic dTpw"],
        [`Basic ${GOOD}`],
        [`Bearer Bearer ${GOOD}`],
        [`Bearer ${GOOD}, Bearer ${GOOD}`],
        [`Bearer ${GOOD}`, `Bearer ${GOOD}`],
        [GOOD, GOOD],
        [`Bearer ${jwt(KEYS.ed, { ...CLAIMS, exp: NOW })}`],
        [`Bearer ${jwt(KEYS.ed, { ...CLAIMS, sid: undefined })}`],
        [`Bearer ${GOOD}é`],
      ]) {
        const { status, headers, body } = await ask(...fields);
        assert.equal(status, 401, fields.join());
        assert.equal(headers.get("www-authenticate"), 'Bearer error="invalid_token"');
        assert.equal(headers.get("content-type"), "application/problem+json");
        assert.equal(headers.get("cache-control"), "no-store");
        assert.deepEqual(JSON.parse(body), { type: "about:blank", title: "Unauthorized", status: 401 });
      }
    }
  });

  test(`a request without a credential goes through only where none is needed: ${name}`, async (t) => {
    const { status, headers } = await (await asking(t)).ask();
    assert.deepEqual([status, headers.get("www-authenticate")], [401, "Bearer"]);
    const let_ = await (await asking(t, true)).ask();
    assert.deepEqual([let_.status, let_.body], [200, "null"]);
  });

  test(`without the server's keys nobody is let in: ${name}`, async (t) => {
    const { stub, ask } = await asking(t, true);
    stub.replies = [[503, {}]];
    const { status, headers } = await ask(`Bearer ${GOOD}`);
    assert.deepEqual([status, headers.get("retry-after")], [503, "30"]);
  });
}

test("an error that nobody expected goes to Express and not to the handler", async (t) => {
  const ask = await express(t, { verifier: { verify: () => Promise.reject(new RangeError("unexpected")) } });
  assert.equal((await ask("Bearer x")).body, "RangeError: unexpected null");
});
