-- The increments of a commit: all of them, or none.

-- Add to a counter; return the error if it refuses.
local function increment(group, name, amount)
  local total = redis.pcall('HINCRBY', PREFIX .. 'n:' .. group, name, amount)
  if type(total) == 'table' then
    if not find(total.err, '^ERR') and not find(total.err, '^WRONGTYPE') then error(total) end
    return total.err
  end
  -- Each group is a hash, so that a prefix finds all of it. Lua rounds both numbers alike.
  if total == tonumber(amount) then call('ZADD', PREFIX .. 'groups', 0, group) end
end

local function negative(amount)
  return string.sub(amount, 1, 1) == '-' and string.sub(amount, 2) or '-' .. amount
end

local function undo(first, number) -- the number of increments, and their first argument
  for i = first, first + 3 * (number - 1), 3 do
    local group, name, amount = unpack(ARGV, i, i + 2)
    increment(group, name, negative(amount))
  end
end

-- Apply a number of increments; if one is refused, undo the others and return its position and
-- error.
local function increase(number)
  local first = at
  for i = 1, number do
    local refused = increment(take(), take(), take())
    if refused then
      undo(first, i - 1)
      return {-2, i, refused}
    end
  end
end
