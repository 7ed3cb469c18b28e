-- Read the log behind a cursor, as far as the events asked for and the bytes go, and one entry at least.
--
-- ARGV: the lower bound as XRANGE takes it; the most events.
-- Answer: the time; the last id ever given; the last id that retention dropped; the entries.

local ENTRIES, BYTES = 16, 1048576 -- so many entries are read at once; so many bytes are enough
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
    if events >= limit or bytes >= BYTES then return {TOLD, last, dropped, found} end
    first = '(' .. entry[1]
  end
until #some < ENTRIES
return {TOLD, last, dropped, found}
