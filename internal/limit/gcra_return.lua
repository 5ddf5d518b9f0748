-- Hands back the draw with a tag as if it had never been. That is exact as long
-- as each later draw found at least one interval in the bucket; otherwise the
-- bucket would have run empty meanwhile, and the draw stays spent.
--
-- KEYS[1] the bucket  ARGV[1] tag  ARGV[2] interval, nanoseconds
-- Answers 1 if the draw was handed back.
local bucket, tag, interval = KEYS[1], ARGV[1], tonumber(ARGV[2])
local length = 24

local held = redis.call('HMGET', bucket, 'level', 'draws')
if not held[1] then return 0 end
local draws, later = held[2], ''
for stop = #draws, length, -length do
  local start = stop - length + 1
  local before = tonumber(string.sub(draws, start + 8, stop))
  if string.sub(draws, start, start + 7) == tag then
    redis.call('HSET', bucket, 'level', string.format('%.0f', held[1] - interval),
      'draws', string.sub(draws, 1, start - 1) .. later)
    return 1
  end
  if before < interval then return 0 end
  later = string.sub(draws, start, start + 7) .. string.format('%016.0f', before - interval) .. later
end
return 0
