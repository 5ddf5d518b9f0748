/** A server that answers what it is told to, for answers that no good server gives. */

import { once } from "node:events";
import { createServer } from "node:http";

/**
 * Gives the replies in turn, the last one for ever, until the test ends. A reply is
 * [status, body, headers]; a body that is no string or Buffer is sent as JSON, and
 * `undefined` is never sent.
 */
export async function serving(t, ...replies) {
  const stub = { url: "", replies, seen: [] };
  const server = createServer(async (request, response) => {
    const pieces = [];
    for await (const piece of request) {
      pieces.push(piece);
    }
    stub.seen.push({ method: request.method, path: request.url, headers: request.headers, body: Buffer.concat(pieces).toString() });
    const [status, body, headers] = stub.replies.length > 1 ? stub.replies.shift() : stub.replies[0];
    response.writeHead(status, headers);
    if (body === undefined) {
      response.write(" ");
      return;
    }
    response.end(typeof body === "string" || Buffer.isBuffer(body) ? body : JSON.stringify(body));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, "close");
  });
  stub.url = `http://127.0.0.1:${server.address().port}`;
  return stub;
}
