-- The two clocks: elapsed time, which decides, and the calendar, which is the server's TIME.
--
-- TIME is a wall clock: an administrator may set it, another server may take over, and a machine
-- may start in 1970. So elapsed time is TIME plus an offset that the namespace keeps, within
-- bounds. The lower bound is the highest time so far (`noted`), and the least time that the caller
-- computes from the clock of its own machine. The upper bound is a second above the most that the
-- caller computes or, if the caller knows nothing yet, ten seconds above `noted`. A time outside
-- the bounds is a jump of TIME; the offset takes it back.
--
-- ARGV: before all others, in microseconds, the caller's least and most for the current time, or 0
-- and 0. Answers begin with NOW and TIME.
local LATE, IDLE = 1000000, 10000000
local EARLIEST = 1767225600000000 -- 2026: an earlier clock was never set
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
local CLOCKS = {NOW, SERVER}
