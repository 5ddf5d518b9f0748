-- GCRA as a bucket that drains one nanosecond's worth a nanosecond and into
-- which each draw pours one interval. The bucket is a hash: its level right
-- after the last draw, when that was (microseconds), and the latest draws, each
-- as a tag of eight bytes and sixteen digits of the level before it.
--
-- KEYS[1] the bucket
-- ARGV[1] requests  ARGV[2] interval, nanoseconds
-- ARGV[3] tag of this draw  ARGV[4] "1" draws, "0" only looks
-- Answers {granted, remaining, microseconds to reset}.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local bucket, requests, interval = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])
local remembered, length = 16, 24

local held = redis.call('HMGET', bucket, 'level', 'last', 'draws')
local level, last = tonumber(held[1] or 0), tonumber(held[2] or 0)
local clock = math.max(now, last)
level = math.max(0, level - (clock - last) * 1000)

local burst, granted = requests * interval, 0
if level + interval <= burst then granted = 1 end
if granted == 1 and ARGV[4] == '1' then
  local draws = (held[3] or '') .. ARGV[3] .. string.format('%016.0f', level)
  level = level + interval
  redis.call('HSET', bucket, 'level', string.format('%.0f', level),
    'last', string.format('%.0f', clock), 'draws', string.sub(draws, -remembered * length))
  redis.call('PEXPIRE', KEYS[1], math.ceil(level / 1000000 + (clock - now) / 1000) + 1)
end

local remaining = math.floor((burst - level) / interval)
local reset = level
if remaining == 0 then reset = level - (burst - interval) end
if reset > 0 then reset = math.ceil(reset / 1000) + clock - now end
return {granted, remaining, reset}
