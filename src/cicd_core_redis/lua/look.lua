-- Tell whether any of some watches is true.
--
-- ARGV: the number of watches; each: collection, the zset without the prefix, the lower bound.
-- Answer: the time; 1 or 0.

local function is_true(collection, zset, lower)
  local names = call('ZRANGE', zset, lower, '+', 'BYLEX', 'LIMIT', 0, 1)
  if #names > 0 and not read(collection, key_in(names[1])) then -- it ran out: look behind it
    names = call('ZRANGE', zset, lower, '+', 'BYLEX', 'LIMIT', 0, 1000)
  end
  for _, name in ipairs(names) do
    if read(collection, key_in(name)) then return true end
  end
  return false
end

for _ = 1, take() do
  local collection, zset, lower = take(), PREFIX .. take(), take()
  if is_true(collection, zset, lower) then return {TOLD, 1} end
end
return {TOLD, 0}
