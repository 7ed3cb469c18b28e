-- The two clocks: elapsed time, which decides, and the calendar, which is the server's TIME.
--
-- TIME is a wall clock: somebody sets it, another server takes over, a machine starts in 1970. So
-- elapsed time is TIME and an offset that the namespace keeps, between bounds. It is not below what
-- it has come to (`noted`), nor below what the caller knows by the clocks of its own machine; it is
-- not more than a second above what the caller knows or, where that knows nothing yet, not more than
-- ten above what was noted. What lies outside was no time that passed: the offset takes it back.
--
-- ARGV: first of all, in microseconds, the least and the most that the caller knows the time to be
-- when it asks, or 0 and 0. Answers begin with NOW and TIME.
local LATE, IDLE = 1000000, 10000000
local EARLIEST = 1767225600000000 -- 2026: a clock of before was not set
local time = call('TIME')
local SERVER = time[1] * 1000000 + time[2]
local least, most = tonumber(take()), tonumber(take())
local kept = call('HMGET', KEYS[1], 'offset', 'noted')
local OFFSET, NOTED = tonumber(kept[1] or 0), tonumber(kept[2] or 0)

local function bounded(now)
  local low = math.max(least, NOTED, EARLIEST)
  if now <= low then return low end
  if most > 0 then
    local high = math.max(most, low)
    return now > high + LATE and high or now
  end
  return NOTED > 0 and now > low + IDLE and low or now
end

local NOW = bounded(SERVER + OFFSET)
local TOLD = {NOW, SERVER}
