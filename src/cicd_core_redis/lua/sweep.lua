-- Drop some of what ran out: records, and events older than the log's retention.
--
-- ARGV: the most of each; the log's retention in microseconds.
-- Answer: the time; how many records and events went. Safe to repeat.

local most, retention = tonumber(take()), tonumber(take())
local records = sweep_records(most)
local log = PREFIX .. 'log'
-- An id begins with the millisecond; what was appended in it may be younger than its beginning.
local before = math.floor((NOW - retention) / 1000) - 1
local old = before > 0 and call('XRANGE', log, '-', digits(before), 'COUNT', most) or {}
if #old > 0 then
  local last = old[#old][1]
  call('XTRIM', log, 'MAXLEN', '=', call('XLEN', log) - #old)
  call('HSET', KEYS[1], 'dropped', last)
end
return {TOLD, records, #old}
