-- Read the log behind a cursor.
--
-- ARGV: the lower bound as XRANGE takes it; the most entries.
-- Answer: the time; the last id ever given; the last id that retention dropped; the entries.

local log, first, limit = PREFIX .. 'log', take(), take()
local last = '0-0'
if call('EXISTS', log) == 1 then
  local facts = call('XINFO', 'STREAM', log)
  for i = 1, #facts, 2 do
    if facts[i] == 'last-generated-id' then last = facts[i + 1] end
  end
end
local dropped = call('HGET', KEYS[1], 'dropped') or '0-0'
return {NOW, last, dropped, call('XRANGE', log, first, '+', 'COUNT', limit)}
