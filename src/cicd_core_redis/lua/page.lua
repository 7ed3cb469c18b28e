-- Read a page of one partition.
--
-- ARGV: collection, the zset without the prefix, limit, '1' if descending, the lower and the upper
-- bound as ZRANGE takes them.
-- Answer: the time; up to limit + 1 records as {key, body, header}; {key, error} of each that was
-- passed over since it does not decode.

local collection, zset, limit = take(), PREFIX .. take(), tonumber(take())
local descending, lower, upper = take() == '1', take(), take()
local found, broken, offset = {}, {}, 0

local function names(count)
  if descending then
    return call('ZRANGE', zset, upper, lower, 'BYLEX', 'REV', 'LIMIT', offset, count)
  end
  return call('ZRANGE', zset, lower, upper, 'BYLEX', 'LIMIT', offset, count)
end

repeat
  local wanted = limit + 1 - #found
  local more = names(wanted)
  for _, name in ipairs(more) do
    -- Those that ran out are skipped, and those that do not decode must not hold up the rest.
    found[#found + 1], broken[#broken + 1] = read(collection, key_in(name))
  end
  offset = offset + #more
until #found > limit or #more < wanted
return {NOW, found, broken}
