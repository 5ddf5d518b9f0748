-- Exact rolling window. The log is a list, oldest first: one element a draw,
-- sixteen digits of its time in microseconds and then its tag.
--
-- KEYS[1] the log
-- ARGV[1] requests  ARGV[2] window, microseconds
-- ARGV[3] tag of this draw  ARGV[4] "1" draws, "0" only looks
-- Answers {granted, remaining, microseconds to reset}.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local log, requests, window = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])

local function at(i)
  return tonumber(string.sub(redis.call('LINDEX', log, i), 1, 16))
end

-- A draw's time is rounded up by a microsecond and the present is rounded down,
-- so that rounding never allows more. The present is never before the last draw.
local count = redis.call('LLEN', log)
local clock, newest = now, 0
if count > 0 then
  newest = at(-1)
  clock = math.max(now, newest - 1)
end

local gone = 0
if count > 0 and clock - newest >= window then
  gone = count
elseif count > 0 and clock - at(0) >= window then
  local lo, hi = 1, count
  while lo < hi do
    local mid = math.floor((lo + hi) / 2)
    if clock - at(mid) >= window then lo = mid + 1 else hi = mid end
  end
  gone = lo
end

local live, granted = count - gone, 0
if live < requests then granted = 1 end
if granted == 1 and ARGV[4] == '1' then
  if gone > 0 then
    redis.call('LTRIM', log, gone, -1)
    gone = 0
  end
  newest = clock + 1
  redis.call('RPUSH', log, string.format('%016.0f', newest) .. ARGV[3])
  live = live + 1
  redis.call('PEXPIRE', KEYS[1], math.ceil((newest + window - now) / 1000) + 1)
end

local reset = 0
if live >= requests then
  reset = at(gone) + window - now
elseif live > 0 then
  reset = newest + window - now
end
return {granted, requests - live, reset}
