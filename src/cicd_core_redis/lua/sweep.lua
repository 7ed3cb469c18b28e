-- Drop some of what ran out: records, events older than the log's retention, counters of past days,
-- and some tickets of processes that died.
--
-- ARGV: the most of each; the log's retention in microseconds; the first day whose counters are
-- kept, such as 20261121, or '' where they need no look.
-- Answer: the time; how many records and events went. Safe to repeat.

local most, retention, first_kept = tonumber(take()), tonumber(take()), take()
local records = sweep_records(most)
local log = PREFIX .. 'log'
-- An id begins with the millisecond; what was appended in it may be younger than its beginning.
local before = math.floor((NOW - retention) / 1000) - 1
local old = before > 0 and call('XRANGE', log, '-', digits(before), 'COUNT', most) or {}
if #old > 0 then
  local last = old[#old][1]
  call('HSET', KEYS[1], 'dropped', last) -- first: no event may go without its gap
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
return {TOLD, records, #old}
