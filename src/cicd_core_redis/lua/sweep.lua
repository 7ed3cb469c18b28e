-- Delete some expired records, events older than the log's retention, counters of past days, and
-- tickets of processes that died.
--
-- ARGV: the most of each; the log's retention in microseconds; the first day whose counters are
-- kept, such as 20261121, or '' to skip the counters.
-- Answer: the time; the number of records and of events deleted. Safe to repeat.

local most, retention, first_kept = tonumber(take()), tonumber(take()), take()
local records = sweep_records(most)
local log = PREFIX .. 'log'
-- An id begins with the millisecond; an event of it may be younger than the millisecond's start.
local before = math.floor((NOW - retention) / 1000) - 1
local old = before > 0 and call('XRANGE', log, '-', digits(before), 'COUNT', most) or {}
if #old > 0 then
  local last = old[#old][1]
  call('HSET', KEYS[1], 'dropped', last) -- first: no event may be dropped without its gap
  call('XTRIM', log, 'MAXLEN', '=', call('XLEN', log) - #old)
end
if first_kept ~= '' then
  for _, group in ipairs(call('ZRANGE', PREFIX .. 'groups', 0, -1)) do
    local day = string.match(group, '/(%d%d%d%d%d%d%d%d)$')
    if day and day < first_kept then
      call('DEL', PREFIX .. 'n:' .. group)
      call('ZREM', PREFIX .. 'groups', group)
    end
  end
end
drop_unheard(10)
return {CLOCKS, records, #old}
