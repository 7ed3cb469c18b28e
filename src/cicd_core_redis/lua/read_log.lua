-- Read the log behind a cursor.
--
-- ARGV: the lower bound as XRANGE takes it; the most entries.
-- Answer: the time; the last id ever given; the last id that retention dropped; the entries.

local log, first, limit = PREFIX .. 'log', take(), take()
local last = last_id(log)
local dropped = call('HGET', KEYS[1], 'dropped') or '0-0'
return {TOLD, last, dropped, call('XRANGE', log, first, '+', 'COUNT', limit)}
