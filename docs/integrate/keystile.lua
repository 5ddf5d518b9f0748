-- keystile.lua: HAProxy asks Keystile about every request (HAProxy 2.6 or newer).
--
--   global      lua-load /etc/haproxy/keystile.lua
--   frontend    http-request lua.keystile http://127.0.0.1:8080/forward-auth
--
-- The argument is the address of forward-auth: http, and an IP address, because
-- the client resolves no names unless HAProxy is given resolvers.
--
-- 200: the identity fields of the answer replace those of the request, which goes on.
-- Any other answer, and none at all, ends the request here.

local TIMEOUT = 1250 -- milliseconds a try; HAProxy tries four times

local IDENTITY = {
  "keystile-subject", "keystile-organization", "keystile-credential", "keystile-scopes",
  "keystile-sites", "keystile-request-id", "keystile-assertion",
}

-- Fields of a refusal that the caller sees.
local RELAYED = {
  "content-type", "cache-control", "www-authenticate", "retry-after",
  "ratelimit", "ratelimit-policy", "keystile-request-id",
}

-- Fields of a request that are not sent along: they belong to the connection, to
-- the body, or describe a request, which is for this script alone to do.
local WITHHELD = {
  ["host"] = true, ["connection"] = true, ["keep-alive"] = true, ["proxy-connection"] = true,
  ["te"] = true, ["trailer"] = true, ["transfer-encoding"] = true, ["upgrade"] = true,
  ["expect"] = true, ["content-length"] = true, ["accept-encoding"] = true,
}

local function withheld(name)
  return WITHHELD[name] or name:find("^x%-forwarded%-") or name:find("^x%-original%-")
end

-- question is the header of the request to Keystile. Repeated fields stay
-- repeated: two credentials in one request have to be seen.
local function question(txn)
  local fields = {}
  for name, values in pairs(txn.http:req_get_headers()) do
    if not withheld(name) then
      local list = {}
      for i = 0, #values do
        list[i + 1] = values[i]
      end
      fields[name] = list
    end
  end
  fields["x-forwarded-method"] = { txn.sf:method() }
  fields["x-forwarded-proto"] = { txn.f:ssl_fc() == 1 and "https" or "http" }
  fields["x-forwarded-host"] = { txn.sf:req_hdr("host") }
  fields["x-forwarded-uri"] = { txn.sf:url() }
  fields["x-forwarded-for"] = { txn.sf:src() }
  return fields
end

-- ask returns true, or false and the reply that ends the request.
local function ask(txn, address)
  local answer = core.httpclient():get({ url = address, headers = question(txn), timeout = TIMEOUT })
  if answer and answer.status == 200 then
    for _, name in ipairs(IDENTITY) do
      txn.http:req_del_header(name)
      local values = answer.headers[name]
      if values and values[0] ~= "" then
        txn.http:req_set_header(name, values[0])
      end
    end
    return true
  end
  if not answer or not answer.status or answer.status < 400 or answer.status >= 500 then
    error("no decision: status " .. tostring(answer and answer.status))
  end
  local reply = txn:reply({ status = answer.status, body = answer.body })
  for _, name in ipairs(RELAYED) do
    if answer.headers[name] then
      reply:add_header(name, answer.headers[name][0])
    end
  end
  return false, reply
end

-- After an error in an action HAProxy goes on with the request, so errors are
-- caught here, and the configuration denies what this variable does not allow.
core.register_action("keystile", { "http-req" }, function(txn, address)
  txn:unset_var("txn.keystile")
  local ran, allowed, reply = pcall(ask, txn, address)
  if ran and allowed then
    txn:set_var("txn.keystile", "allowed")
    return
  end
  if not ran then
    core.Alert("keystile: " .. tostring(allowed))
    reply = txn:reply({ status = 503, body = '{"error":"Service unavailable"}' })
    reply:add_header("content-type", "application/json")
  end
  txn:done(reply)
end, 1)
