-- One call of the ledger of spent nonces, atomic by itself, by the server's clock.
--
-- KEYS 1 the epoch, a hash: id, replid, refuse, floor, window
--      2 the ends of the live buckets, a set
--      3 prefix of the buckets; a bucket is a set of digests
-- ARGV 1 what to do: claim, look (write nothing), check (claim nothing), begin (join
--        the ledger, or take it over; claim nothing)
--      2 id of the ledger this node belongs to; empty: none is known
--      3 id for a ledger that begins where none is known
--      4 digest  5 last valid  6 stamp  7 node's clock
--      8 window  9 margin  10 width of a bucket  11 longest life  12 greatest skew
-- Times and spans are milliseconds.
-- Answer: {code, server's clock, refuse, floor, id}
--
-- Nothing has a time to live: a server whose clock jumps ahead would drop what
-- must still be known, and forget that it did. Buckets go here, and the floor
-- rises in the same step.

local FRESH, REPLAYED, OLD, INCOMPLETE, SKEWED, AHEAD, FOREIGN = 0, 1, 2, 3, 4, 5, 6

local todo, known, digest = ARGV[1], ARGV[2], ARGV[4]
local last, stamp, node = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local window, margin, width = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
local life, skew = tonumber(ARGV[11]), tonumber(ARGV[12])

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local epoch = redis.call('HMGET', KEYS[1], 'id', 'replid', 'refuse', 'floor', 'window')
local id, refuse, floor = epoch[1], tonumber(epoch[3] or 0), tonumber(epoch[4] or 0)
local widest = math.max(window, tonumber(epoch[5] or 0))

local function answer(code)
  return {code, now, refuse, floor, id or ''}
end

-- Before anything is written: a ledger that began by a wrong clock would begin too early.
if math.abs(now - node) > skew then
  return answer(SKEWED)
end

-- A replication id is one unbroken history of writes: a restart makes another,
-- with or without data, and so does the promotion of a replica.
local history = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
if not history then
  return redis.error_reply('ERR the server does not tell its replication id')
end
local taken = id and known ~= '' and id ~= known
if taken and todo ~= 'begin' then
  return answer(FOREIGN)
end
local lost = taken or epoch[2] ~= history
if lost and not (todo == 'begin' and known == '' and not id) then
  -- What was accepted so far is stamped at most now + window, on a node whose
  -- clock was at most skew ahead.
  refuse = math.max(refuse, now + widest + skew + 1)
end
if todo == 'look' then
  if lost then
    return answer(INCOMPLETE)
  end
elseif lost or widest ~= tonumber(epoch[5] or 0) then
  if not id or taken then
    id = known ~= '' and known or ARGV[3]
  end
  redis.call('HSET', KEYS[1], 'id', id, 'replid', history, 'refuse', string.format('%.0f', refuse),
    'floor', string.format('%.0f', floor), 'window', string.format('%.0f', widest))
end
if todo == 'begin' then
  return answer(FRESH)
end

local ends = redis.call('SMEMBERS', KEYS[2])
if todo ~= 'look' then
  for _, e in ipairs(ends) do
    if tonumber(e) + margin <= now then
      floor = math.max(floor, tonumber(e))
      redis.call('HSET', KEYS[1], 'floor', string.format('%.0f', floor))
      redis.call('UNLINK', KEYS[3] .. e)
      redis.call('SREM', KEYS[2], e)
    end
  end
end
if todo == 'check' then
  return answer(FRESH)
end

if stamp > now + window + skew or last > now + 2 * window + life + skew then
  return answer(AHEAD)
end
if stamp <= refuse then
  return answer(INCOMPLETE)
end
local mine = (math.floor(last / width) + 1) * width
if last < floor or mine + margin <= now then
  return answer(OLD)
end
for _, e in ipairs(ends) do
  if redis.call('SISMEMBER', KEYS[3] .. e, digest) == 1 then
    return answer(REPLAYED)
  end
end
if todo == 'claim' then
  local e = string.format('%.0f', mine)
  if redis.call('SADD', KEYS[3] .. e, digest) == 1 then
    redis.call('SADD', KEYS[2], e)
  end
end
return answer(FRESH)
