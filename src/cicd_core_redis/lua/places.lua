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
