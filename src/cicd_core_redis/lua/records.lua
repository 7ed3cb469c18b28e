-- The beginning of every script: the arguments, a record's header, and its place in the indexes.
--
-- KEYS[1] is the namespace's `meta` key; every other key has the same prefix, hash tag included. A
-- record is one string: its body, which scripts do not interpret, its header, and the sizes of both,
-- so that a header is replaced in its place, whatever the size of the body. The header is MessagePack:
-- the number of values that follow, to detect a truncated header; the values at the positions below;
-- the name and the value of each attribute of the record; nils in the place of a longer one before.
-- GIVEN is stored as the difference from VERSION, instants as numbers. While a script runs, instants
-- are texts, and attributes have positions too. `shape_of(collection)` is generated from the
-- collections, and comes before this text. It returns {number of attributes, position of lease_sort
-- or 0, then for each index: the prefix of its zsets, the position of its partition attribute, and of
-- its sort attribute}, with `names` of the attributes, and their `positions`; a colon precedes the
-- name of each sort attribute.
local PREFIX = string.sub(KEYS[1], 1, -5)
local call, find, format = redis.call, string.find, string.format
local VERSION, GIVEN, COMMIT, EXPIRES, LEASE_LIMIT = 1, 2, 3, 4, 5
local CLAIM, GRANTED, RENEWED, LEASE_END, LEASE_MOST, GRANT, LAST = 6, 7, 8, 9, 10, 11, 11
local INSTANTS = {EXPIRES, LEASE_LIMIT, GRANTED, RENEWED, LEASE_END, LEASE_MOST}
local shapes, at = {}, 1

local function shape(collection)
  local known = shapes[collection]
  if not known then
    known = shape_of(collection)
    shapes[collection] = known
  end
  return known
end

local function digits(number) -- Lua's own conversion keeps only 14 digits
  return format('%d', number)
end

local function stored(instant) -- as a number, if that keeps all digits
  local number = tonumber(instant)
  return number and number < 2 ^ 53 and digits(number) == instant and number or instant
end

-- `others` are attributes that a newer version of the library gave the record: they stay. A name
-- that begins with a colon belongs to a sort attribute. Its value ends in a colon and the key,
-- which are left out.
local function packed(collection, key, header)
  local parts = {unpack(header, 1, LAST)}
  parts[GIVEN] = parts[VERSION] - parts[GIVEN]
  for _, i in ipairs(INSTANTS) do parts[i] = stored(parts[i]) end
  for i, name in ipairs(shape(collection).names) do
    local value = header[LAST + i]
    if value ~= '' then
      if find(name, ':', 1, true) then value = string.sub(value, 1, -2 - #key) end
      parts[#parts + 1] = name
      parts[#parts + 1] = value
    end
  end
  for _, other in ipairs(header.others or {}) do parts[#parts + 1] = other end
  return cmsgpack.pack(#parts, unpack(parts))
end

local function copied(header)
  local new = {unpack(header)}
  new.others, new.body_size, new.size = header.others, header.body_size, header.size
  return new
end

local function take() -- the next argument
  at = at + 1
  return ARGV[at - 1]
end

-- Every value has the type that all scripts rely on: an error in the middle of a script would end
-- the calls of others too. `unpacked` checks the instants.
local function is_ours(parts)
  local version, claim, grant = parts[VERSION], parts[CLAIM], parts[GRANT]
  return #parts >= LAST and (#parts - LAST) % 2 == 0
    and type(version) == 'number' and version > 0 and version < 2 ^ 53
    and type(parts[GIVEN]) == 'number' and type(parts[COMMIT]) == 'string'
    and type(claim) == 'string' and (type(grant) == 'string' or grant == false)
    and (claim == '' or parts[GRANTED] ~= '' and parts[RENEWED] ~= ''
      and parts[LEASE_END] ~= '' and parts[LEASE_MOST] ~= '')
end

local function instant_in(value) -- as `stored` left it
  if type(value) == 'number' then return digits(value) end
  if type(value) == 'string' and #value == 16 and not find(value, '%D') then return value end
  error('an instant has an unknown format', 0)
end

local function all_of(number, ...)
  local parts = {...}
  if type(number) ~= 'number' or number ~= #parts then error('its header is truncated', 0) end
  return parts
end

local function unpacked(collection, key, found)
  local parts = all_of(cmsgpack.unpack(found))
  if not is_ours(parts) then error('its header has an unknown format', 0) end
  local known, header = shape(collection), {unpack(parts, 1, LAST)}
  header[GIVEN] = header[VERSION] - header[GIVEN]
  for _, i in ipairs(INSTANTS) do
    if header[i] ~= '' then header[i] = instant_in(header[i]) end
  end
  for i = 1, known[1] do header[LAST + i] = '' end
  for i = LAST + 1, #parts, 2 do
    local name, value = parts[i], parts[i + 1]
    if type(name) ~= 'string' or type(value) ~= 'string' then
      error('its attributes have an unknown format', 0)
    end
    local position = known.positions[name]
    if position then
      header[LAST + position] = find(name, ':', 1, true) and value .. ':' .. key or value
    else
      local others = header.others or {}
      others[#others + 1], others[#others + 2] = name, value
      header.others = others
    end
  end
  return header
end

local SIZES = '>I3I3' -- of the body and of the header: the last bytes of a record

-- A record's header, from the end of its string.
local function header_in(collection, key, tail, body_size, size)
  local header = unpacked(collection, key, string.sub(tail, -size - 6, -7))
  header.body_size, header.size = body_size, size
  return header
end

local function sizes_in(tail)
  if #tail < 6 then error('it has an unknown format', 0) end
  return struct.unpack(SIZES, string.sub(tail, -6))
end

local function reason(failure) -- the text of an error from pcall
  return type(failure) == 'table' and failure.err or tostring(failure)
end

-- Passes on the results of pcall. If the server now refuses all writes (OOM, READONLY, NOREPLICAS
-- and the like), it ends the script with that error.
local function sound_or_ours(sound, ...)
  local says = not sound and reason((...))
  local code = says and string.match(says, '^(%u+) ')
  if code and code ~= 'ERR' and code ~= 'WRONGTYPE' then error({err = says}, 0) end
  return sound, ...
end

local function attempt(run, ...)
  return sound_or_ours(pcall(run, ...))
end

local function record_key(collection, key)
  return PREFIX .. 'r:' .. collection .. ':' .. key
end

local function holders(collection, claim_id) -- the set of the keys that a claim holds
  return PREFIX .. 'h:' .. collection .. ':' .. claim_id
end
