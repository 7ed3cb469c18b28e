-- What every script begins with: the arguments, a record's header, and its place in the indexes.
--
-- KEYS[1] is the namespace's `meta` key; every other key has the same prefix, hash tag included.
-- A record is a hash: `h`, its header (MessagePack, the positions below), and `b`, its body, which
-- no script reads. `shape_of(collection)` is written before this text from the collections: it
-- answers {number of attributes, position of lease_sort or 0, then for each index: the prefix of
-- its zsets, the position of its partition attribute, and of its sort attribute}.
local PREFIX = string.sub(KEYS[1], 1, -5)
local call, find, format = redis.call, string.find, string.format
local VERSION, GIVEN, COMMIT, EXPIRES, LEASE_LIMIT = 1, 2, 3, 4, 5
local CLAIM, GRANTED, RENEWED, LEASE_END, LEASE_MOST, GRANT, LAST = 6, 7, 8, 9, 10, 11, 11
local shapes, at = {}, 1

local function packed(header)
  return cmsgpack.pack(unpack(header))
end

local function take() -- the next argument
  at = at + 1
  return ARGV[at - 1]
end

local function digits(number) -- Lua's own conversion keeps 14 of them
  return format('%d', number)
end

local function shape(collection)
  local known = shapes[collection]
  if not known then
    known = shape_of(collection)
    shapes[collection] = known
  end
  return known
end

-- A header as a table of one size from the beginning: a table that grows is made again and again.
local function unpacked(collection, found)
  local header = {cmsgpack.unpack(found)}
  if #header ~= LAST + shape(collection)[1]
    or type(header[VERSION]) ~= 'number' or type(header[COMMIT]) ~= 'string'
    or not tonumber(header[EXPIRES] == '' and 0 or header[EXPIRES])
    or not tonumber(header[CLAIM] == '' and 0 or header[LEASE_END]) then
    error('its header is none of ours', 0)
  end
  return header
end

local function reason(failure) -- what pcall says of it
  return type(failure) == 'table' and failure.err or tostring(failure)
end

-- pcall, but for what the server refuses to everybody now (OOM, READONLY, NOREPLICAS and the like):
-- the script ends with that.
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
