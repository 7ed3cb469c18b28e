-- Take the records with the smallest sort values over some partitions of an index.
--
-- ARGV: the number of claims; each: claim id, collection, prefix of the index's zsets, limit,
-- duration, lease_limit or '', grant, number of patches (each: position of the attribute, value or
-- ''), number of partitions, the partitions.
-- Answer: the time; for each claim {1 if it is a repetition, else 0, then {key, body, header} for
-- each record}. Safe to repeat: what a claim id holds already is answered, nothing more is taken.

-- Lua compares text by the server's locale; the order of the store is that of the bytes.
local function is_before(a, b)
  local i = 1
  while string.sub(a, i, i + 15) == string.sub(b, i, i + 15) do
    if i > #a then return false end
    i = i + 16
  end
  for j = i, i + 15 do
    local x, y = string.byte(a, j) or -1, string.byte(b, j) or -1
    if x ~= y then return x < y end
  end
end

local function fetch(line, chunk)
  line.names = call('ZRANGE', line.zset, line.offset, line.offset + chunk - 1)
  line.next = 1
  line.head = line.names[1]
end

local function advance(line, stays, chunk)
  if stays then line.offset = line.offset + 1 end
  line.next = line.next + 1
  line.head = line.names[line.next]
  if not line.head and #line.names == chunk then fetch(line, chunk) end
end

local function best_of(lines)
  local best
  for _, line in ipairs(lines) do
    if line.head and (not best or is_before(line.head, best.head)) then best = line end
  end
  return best
end

local function winners(collection, zsets, limit)
  local chunk = #zsets == 1 and limit or math.min(limit, 8)
  local lines, won, gone = {}, {}, 0
  if limit == 0 then return won end
  for i, zset in ipairs(zsets) do
    lines[i] = {zset = zset, offset = 0}
    fetch(lines[i], chunk)
  end
  while #won < limit and gone < 1000 do -- no call pays for everything that ever ran out
    local line = #lines == 1 and lines[1].head and lines[1] or best_of(lines)
    if not line then break end
    local key = key_in(line.head)
    local header, broken = load(collection, key)
    local body = header and call('HGET', record_key(collection, key), 'b')
    if body then won[#won + 1] = {key, header, body} else gone = gone + 1 end
    if not header and not broken then call('ZREM', line.zset, line.head) end -- it stands for nothing
    advance(line, header or broken, chunk) -- one that does not decode must not block the rest
  end
  return won
end
