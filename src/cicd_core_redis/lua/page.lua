-- Read a page of one partition, as far as the bytes go.
--
-- ARGV: collection, the zset without the prefix, the most records, '1' if descending, the lower and
-- the upper bound as ZRANGE takes them.
-- Answer: the time; records as {key, body, header}; {key, error, name} of each that was passed over
-- since it does not decode; the bound behind which to ask on for what is missing, or '' if nothing is.

local collection, zset, most = take(), PREFIX .. take(), tonumber(take())
local descending, lower, upper = take() == '1', take(), take()
local found, broken, bound = {}, {}, ''
local left = most + 1000 -- so many names: no script pays for all that ever ran out

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
    -- Those that ran out are skipped, and those that do not decode must not hold up the rest.
    local record, wrong = read(collection, key_in(name))
    found[#found + 1] = record
    if wrong then broken[#broken + 1] = {wrong[1], wrong[2], name} end
    if #found == most then return {TOLD, found, broken, ''} end
    if bytes_left <= 0 then return {TOLD, found, broken, '(' .. name} end
  end
  if #more < wanted then return {TOLD, found, broken, ''} end
  bound = '(' .. more[wanted]
  if descending then upper = bound else lower = bound end
  left = left - wanted
  wanted = math.min(math.max(most - #found, 100), left)
until wanted == 0
return {TOLD, found, broken, bound}
