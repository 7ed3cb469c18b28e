-- Add existing records to new indexes, some keys of the server at a time.
--
-- ARGV: an id of the indexes and the server's run, for which a cursor is valid; the number of keys
-- to look at; the number of indexes; each: its field of `meta`, collection, number in the
-- collection's shape.
-- Answer: the time; 1 if all is done, else 0; the number of entries added. Safe to repeat, and for
-- any number of processes at once: they share one cursor, and an existing entry stays.

local building, count, wanted, fields, made = take(), take(), {}, {}, 0
for n = 1, take() do
  local field, collection, number = take(), take(), tonumber(take())
  fields[n] = field
  wanted[collection] = wanted[collection] or {}
  table.insert(wanted[collection], number)
end

local function enter(collection, key)
  local decodes, header = pcall(decoded, collection, key)
  if not decodes or not header or not is_live(header) then return end
  local places = shape(collection)
  for _, number in ipairs(wanted[collection]) do
    local value, sort = header[LAST + places[3 * number + 1]], header[LAST + places[3 * number + 2]]
    if value ~= '' and sort ~= '' then
      local added = redis.pcall('ZADD', PREFIX .. places[3 * number] .. value, 0, sort)
      if type(added) == 'number' then made = made + added else sound_or_ours(false, added) end
    end
  end
end

local kept = call('HGET', KEYS[1], 'indexing') or ''
local cursor = '0'
if string.sub(kept, 1, #building + 1) == building .. ' ' then cursor = string.sub(kept, #building + 2) end
local scanned, records = call('SCAN', cursor, 'COUNT', count), PREFIX .. 'r:'
for _, name in ipairs(scanned[2]) do
  if string.sub(name, 1, #records) == records then
    local colon = find(name, ':', #records + 1, true)
    local collection = colon and string.sub(name, #records + 1, colon - 1)
    if wanted[collection] then enter(collection, string.sub(name, colon + 1)) end
  end
end
local done = scanned[1] == '0'
call('HSET', KEYS[1], 'indexing', done and '' or building .. ' ' .. scanned[1])
if done then
  for _, field in ipairs(fields) do call('HSET', KEYS[1], field, 1) end
end
return {CLOCKS, done and 1 or 0, made}
