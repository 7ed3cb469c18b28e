-- What every script begins with: the clock, a record's header, and its place in the indexes.
--
-- KEYS[1] is the namespace's `meta` key; every other key has the same prefix, hash tag included.
-- A record is a hash: `h`, its header (MessagePack, the positions below), and `b`, its body, which
-- no script reads. `shape_of(collection)` is written before this text from the collections: it
-- answers {number of attributes, position of lease_sort or 0, then for each index: the prefix of
-- its zsets, the position of its partition attribute, and of its sort attribute}.
local PREFIX = string.sub(KEYS[1], 1, -5)
local call, pack, unpacked = redis.call, cmsgpack.pack, cmsgpack.unpack
local VERSION, GIVEN, COMMIT, EXPIRES, LEASE_LIMIT = 1, 2, 3, 4, 5
local CLAIM, GRANTED, LEASE_END, LEASE_MOST, GRANT, LAST = 6, 7, 8, 9, 10, 10
local time = call('TIME')
local NOW = time[1] * 1000000 + time[2]
local shapes, at = {}, 1

local function take() -- the next argument
  at = at + 1
  return ARGV[at - 1]
end

local function digits(number) -- Lua's own conversion keeps 14 of them
  return string.format('%.0f', number)
end

local function shape(collection)
  local known = shapes[collection]
  if not known then
    known = shape_of(collection)
    shapes[collection] = known
  end
  return known
end

local function record_key(collection, key)
  return PREFIX .. 'r:' .. collection .. ':' .. key
end

local function holders(collection, claim_id) -- the set of the keys that a claim holds
  return PREFIX .. 'h:' .. collection .. ':' .. claim_id
end

-- The bytes of a member order as (sort value, key) do: a NUL ends the sort value, and one inside
-- of it is followed by 255, which no key begins with, since keys are UTF-8.
local function member(sort, key)
  if string.find(sort, '\0', 1, true) then sort = string.gsub(sort, '%z', '\0\255') end
  return sort .. '\0' .. key
end

local function key_in(name) -- the key in a member
  return string.sub(name, string.find(name, '%z[^\255]') + 1)
end

local function is_live(header)
  return header[EXPIRES] == '' or tonumber(header[EXPIRES]) > NOW
end

-- Move a record from the places that its old header names to those of its new one.
local function move(collection, key, old, new)
  local pairs_of = shape(collection)
  for i = 3, #pairs_of, 3 do
    local part, sort = LAST + pairs_of[i + 1], LAST + pairs_of[i + 2]
    local was = old and old[part] ~= '' and old[sort] ~= '' and pairs_of[i] .. old[part]
    local is = new and new[part] ~= '' and new[sort] ~= '' and pairs_of[i] .. new[part]
    if was ~= is or (was and old[sort] ~= new[sort]) then
      if was then call('ZREM', PREFIX .. was, member(old[sort], key)) end
      if is then
        local name = member(new[sort], key)
        call('ZADD', PREFIX .. is, 0, name)
        call('SPUBLISH', PREFIX .. is, name) -- whoever waits listens on the zset's own name
      end
    end
  end
  local left, held = old and old[CLAIM] or '', new and new[CLAIM] or ''
  if left ~= held then
    if left ~= '' then call('SREM', holders(collection, left), key) end
    if held ~= '' then call('SADD', holders(collection, held), key) end
  end
end
