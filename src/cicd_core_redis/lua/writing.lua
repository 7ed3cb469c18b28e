-- The common part of the scripts that write: the removal of a record, and the sweep of expired
-- ones.

local floor -- no new record's version is below it
local function version_floor()
  floor = floor or tonumber(call('HGET', KEYS[1], 'floor') or 1)
  return floor
end

local function drop(collection, key, header, steps)
  move(collection, key, header, nil, steps)
  call('DEL', record_key(collection, key))
  -- No later record may have a version that this one had, even if the clock is wrong. This comes
  -- last, since a full server accepts it only after a command that frees memory.
  if version_floor() <= header[VERSION] then
    floor = header[VERSION] + 1
    call('HSET', KEYS[1], 'floor', digits(floor))
  end
end

local TAIL = 1024 -- bytes to read from the end of a record, which have the header of most
local function decoded(collection, key)
  local name = record_key(collection, key)
  local tail = call('GETRANGE', name, -TAIL, -1)
  local length = #tail < TAIL and #tail or nil -- of the whole record, where that is known
  if tail == '' and call('EXISTS', name) == 0 then return nil end
  local body_size, size = sizes_in(tail)
  if size + 6 > #tail then tail = call('GETRANGE', name, -size - 6, -1) end
  if size + 6 > #tail then error('its header is truncated', 0) end
  local header = header_in(collection, key, tail, body_size, size)
  header.length = length
  return header
end

-- Whether a record has all of its bytes: its header says how many these are.
local function is_whole(collection, key, header)
  local length = header.length or call('STRLEN', record_key(collection, key))
  return length == header.body_size + header.size + 6
end

local function put_record(collection, key, body, header)
  local sizes = struct.pack(SIZES, #body, #header)
  call('SET', record_key(collection, key), body .. header .. sizes)
end

-- Put a header in the place of an old one.
local function put_header(collection, key, old, header)
  local size = math.max(old.size, #header)
  local padded = header .. string.rep('\192', size - #header) -- nils
  local sizes = struct.pack(SIZES, old.body_size, size)
  call('SETRANGE', record_key(collection, key), old.body_size, padded .. sizes)
end

-- The header of a record that exists; an expired record is removed. Or nil and the reason why it
-- does not decode, or cannot be removed.
local function load(collection, key)
  local decodes, header = pcall(decoded, collection, key)
  if not decodes then return nil, reason(header) end
  if not header or is_live(header) then return header or nil end
  local can_go, steps = attempt(moves, collection, key, header, nil)
  if not can_go then return nil, reason(steps) end
  drop(collection, key, header, steps)
end

-- Remove up to a number of expired records; return the number.
local function sweep_records(most)
  local due = call('ZRANGEBYSCORE', PREFIX .. 'expiring', '-inf', digits(NOW), 'LIMIT', 0, most)
  for _, name in ipairs(due) do
    local split = string.find(name, '\0', 1, true)
    if split then -- load removes the record, unless it does not decode
      load(string.sub(name, 1, split - 1), string.sub(name, split + 1))
    end
    call('ZREM', PREFIX .. 'expiring', name)
  end
  return #due
end
