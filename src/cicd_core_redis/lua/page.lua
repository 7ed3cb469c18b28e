-- Read a page of one partition, within the byte limit.
--
-- ARGV: collection, the zset without the prefix, the most records, '1' if descending, the lower and
-- the upper bound for ZRANGE.
-- Answer: the time; records as {key, body, header}; {key, error, name} of each record that was
-- skipped since it does not decode; the bound from which to read the rest of the page, or '' if it
-- is complete.

local collection, zset, most = take(), PREFIX .. take(), tonumber(take())
local descending, lower, upper = take() == '1', take(), take()
local found, broken, bound = {}, {}, ''
local left = most + 1000 -- the most names: a script skips only so many expired records

local function names(count)
  if descending then
    return call('ZRANGE', zset, upper, lower, 'BYLEX', 'REV', 'LIMIT', 0, count)
  end
  return call('ZRANGE', zset, lower, upper, 'BYLEX', 'LIMIT', 0, count)
end

local wanted = most
repeat
  local more = names(wanted)
  for _, name in ipairs(more) do
    -- Expired records are skipped, and damaged ones must not block the rest.
    local record, wrong = read(collection, key_in(name))
    found[#found + 1] = record
    if wrong then broken[#broken + 1] = {wrong[1], wrong[2], name} end
    if #found == most then return {CLOCKS, found, broken, ''} end
    if bytes_left <= 0 then return {CLOCKS, found, broken, '(' .. name} end
  end
  if #more < wanted then return {CLOCKS, found, broken, ''} end
  bound = '(' .. more[wanted]
  if descending then upper = bound else lower = bound end
  left = left - wanted
  wanted = math.min(math.max(most - #found, 100), left)
until wanted == 0
return {CLOCKS, found, broken, bound}
