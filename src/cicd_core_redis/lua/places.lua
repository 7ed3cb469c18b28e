-- Where records stand: the members of the indexes' zsets, and the sets of what claims hold.

-- The bytes of a member order as (sort value, key) do: a NUL ends the sort value, and one inside
-- of it is followed by 255, which no key begins with, since keys are UTF-8.
local function member(sort, key)
  if find(sort, '\0', 1, true) then sort = string.gsub(sort, '%z', '\0\255') end
  return sort .. '\0' .. key
end

local function key_in(name) -- the key in a member
  return string.sub(name, find(name, '%z[^\255]') + 1)
end

local function is_live(header)
  return header[EXPIRES] == '' or tonumber(header[EXPIRES]) > NOW
end

local function enter(zset, name)
  call('ZADD', zset, 0, name)
  call('SPUBLISH', zset, name) -- whoever waits listens on the zset's own name
end

-- Move a record from the places that its old header names to those of its new one.
local function move(collection, key, old, new)
  local places = shape(collection)
  for i = 3, #places, 3 do
    local part, sort = LAST + places[i + 1], LAST + places[i + 2]
    local was, is = old and old[part] or '', new and new[part] or ''
    local was_at, is_at = old and old[sort] or '', new and new[sort] or ''
    if was ~= is or was_at ~= is_at then
      if was ~= '' and was_at ~= '' then
        call('ZREM', PREFIX .. places[i] .. was, member(was_at, key))
      end
      if is ~= '' and is_at ~= '' then enter(PREFIX .. places[i] .. is, member(is_at, key)) end
    end
  end
  local left, held = old and old[CLAIM] or '', new and new[CLAIM] or ''
  if left ~= held then
    if left ~= '' then call('SREM', holders(collection, left), key) end
    if held ~= '' then call('SADD', holders(collection, held), key) end
  end
end
