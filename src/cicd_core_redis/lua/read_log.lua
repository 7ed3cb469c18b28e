-- Read the log after a cursor, up to the limits of events and bytes, but at least one entry.
--
-- ARGV: the lower bound for XRANGE; the most events.
-- Answer: the time; the last id ever given; the last id that retention dropped; the entries.

local ENTRIES, BYTES = 16, 1048576 -- the entries to read at a time; the bytes that are enough
local log, first, limit = PREFIX .. 'log', take(), tonumber(take())
local last = last_id(log)
local dropped = call('HGET', KEYS[1], 'dropped') or '0-0'
local found, events, bytes, some = {}, 0, 0
repeat
  some = call('XRANGE', log, first, '+', 'COUNT', ENTRIES)
  for _, entry in ipairs(some) do
    local fields = entry[2]
    found[#found + 1], events = entry, events + #fields / 2
    for i = 2, #fields, 2 do bytes = bytes + #fields[i] end
    if events >= limit or bytes >= BYTES then return {CLOCKS, last, dropped, found} end
    first = '(' .. entry[1]
  end
until #some < ENTRIES
return {CLOCKS, last, dropped, found}
