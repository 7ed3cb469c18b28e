-- Claim the records with the smallest sort values over some partitions of an index.
--
-- ARGV: the number of claims; each: claim id, collection, prefix of the index's zsets, limit,
-- duration, lease_limit or '', grant, number of patches (each: position of the attribute, value or
-- ''), number of partitions, the partitions.
-- Answer: the time; for each claim {1 if it is a repetition, else 0, then {key, body, header} for
-- each record, {key, '', header, 1} if its body must be read separately, or {key, error} for one
-- that could not be granted}, or {-1, error}. Safe to repeat: the answer has the records that the
-- claim id holds already, and no more are claimed.

-- How many bytes of bodies the script may still read: see reading.lua.
local bytes_left = 1048576

-- A record's body, or nil if it is truncated; and 1 if it exists and was left out.
local function body_of(collection, key, header)
  if bytes_left <= 0 then return is_whole(collection, key, header) and '' or nil, 1 end
  local found = call('GET', record_key(collection, key))
  if #found ~= header.body_size + header.size + 6 then return nil end
  bytes_left = bytes_left - header.body_size
  return string.sub(found, 1, header.body_size)
end

-- Lua compares text by the server's locale; the store's order is by bytes.
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

-- A heap: each line's head is before those of the two lines below it, so the first one is the next.
local function sink(heap, place)
  local line = heap[place]
  while true do
    local below = 2 * place
    if below > #heap then break end
    if heap[below + 1] and is_before(heap[below + 1].head, heap[below].head) then
      below = below + 1
    end
    if is_before(line.head, heap[below].head) then break end
    heap[place], place = heap[below], below
  end
  heap[place] = line
end

local function heap_of(lines)
  local heap = {}
  for _, line in ipairs(lines) do
    if line.head then heap[#heap + 1] = line end
  end
  for place = math.floor(#heap / 2), 1, -1 do sink(heap, place) end
  return heap
end

local function reorder(heap) -- after the first line has moved on, or has ended
  if not heap[1].head then
    local last = table.remove(heap)
    if #heap > 0 then heap[1] = last end
  end
  if #heap > 1 then sink(heap, 1) end
end

local function lines_of(zsets, chunk, broken)
  local lines = {}
  for _, zset in ipairs(zsets) do
    local line = {zset = zset, offset = 0}
    local sound, failure = attempt(fetch, line, chunk)
    if sound then lines[#lines + 1] = line
    else broken[#broken + 1] = {zset, reason(failure)} end
  end
  return lines
end

local function most_of(...) -- the limit of a lease: the smallest one given
  local most
  for _, limit in ipairs({...}) do
    if limit ~= '' and (not most or tonumber(limit) < most) then most = tonumber(limit) end
  end
  return most and digits(NOW + most) or '9999999999999999'
end

-- Everything that a grant will write, computed before any write; nil for a record without a body.
local function prepare_grant(claim, key, old, body, left_out)
  if not body then return nil end
  local new = copied(old)
  local most = most_of(claim.lease_limit, old[LEASE_LIMIT])
  local ends = math.min(NOW + claim.duration, tonumber(most))
  new[VERSION] = old[VERSION] + 1
  new[CLAIM], new[GRANTED], new[RENEWED] = claim.id, digits(NOW), digits(NOW)
  new[LEASE_END], new[LEASE_MOST] = digits(ends), most
  new[GRANT] = claim.grant
  for position, value in pairs(claim.patch) do new[LAST + position] = value end
  local follows = shape(claim.collection)[2]
  if follows > 0 then new[LAST + follows] = format('%016d:', ends) .. key end
  local steps = moves(claim.collection, key, old, new)
  return {
    key = key, old = old, body = body, left_out = left_out, new = new,
    header = packed(claim.collection, key, new), steps = steps,
  }
end

-- The prepared grants, and the broken records, which must not block the rest.
local function winners(claim)
  local collection, zsets, limit = claim.collection, claim.zsets, claim.limit
  local chunk = #zsets == 1 and limit or math.min(limit, 8)
  local won, broken_ones, gone = {}, {}, 0
  if limit == 0 then return won, broken_ones, {} end
  local lines = lines_of(zsets, chunk, broken_ones)
  local heap = heap_of(lines)
  while #won < limit and gone < 1000 do -- a call skips only so many expired records
    local line = heap[1]
    if not line then break end
    local key = key_in(line.head)
    local header, broken = load(collection, key)
    local body, left_out
    if header then body, left_out = body_of(collection, key, header) end
    local prepared, grant = attempt(prepare_grant, claim, key, header, body, left_out)
    if prepared and grant then won[#won + 1] = grant else gone = gone + 1 end
    if not prepared then broken_ones[#broken_ones + 1] = {key, reason(grant)} end
    if not header and not broken then call('ZREM', line.zset, line.head) end -- it has no record
    advance(line, header or broken, chunk) -- a damaged record must not block the rest
    reorder(heap)
  end
  return won, broken_ones, lines
end
