-- Hands back the draw with a tag. It is sought from the newest on, for it was
-- made a moment ago; of several with one tag (one node, one instant) the oldest
-- nearby goes, so that what remains expires later, never earlier.
--
-- KEYS[1] the log  ARGV[1] tag
-- Answers 1 if the draw was there.
local log, tag, page = KEYS[1], ARGV[1], 256
local stop = redis.call('LLEN', log) - 1
while stop >= 0 do
  local start = math.max(0, stop - page + 1)
  for _, draw in ipairs(redis.call('LRANGE', log, start, stop)) do
    if string.sub(draw, 17) == tag then
      redis.call('LREM', log, -1, draw)
      return 1
    end
  end
  stop = start - 1
end
return 0
