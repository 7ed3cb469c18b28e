-- Return whether any of some watches is true; if none is, store their tickets.
--
-- ARGV: the number of watches; each: collection, the zset without the prefix, the lower bound, and
-- a ticket, or '' for none, or '!' to pass on a wake-up: if that watch is true, the next waiter is
-- woken. Then the tickets that are given back.
-- Answer: the time; 1 or 0.

local function first_true(collection, zset, lower)
  local names = call('ZRANGE', zset, lower, '+', 'BYLEX', 'LIMIT', 0, 1)
  if #names > 0 and not read(collection, key_in(names[1])) then -- expired: look at the next ones
    names = call('ZRANGE', zset, lower, '+', 'BYLEX', 'LIMIT', 0, 1000)
  end
  for _, name in ipairs(names) do
    if read(collection, key_in(name)) then return name end
  end
end

local tickets, is_true = {}, 0
for _ = 1, take() do
  local collection, zset, lower, ticket = take(), take(), take(), take()
  local name = is_true == 0 and first_true(collection, PREFIX .. zset, lower)
  if name and ticket == '!' then
    wake_one(zset, name)
  elseif name then
    is_true = 1
  elseif ticket ~= '' then
    tickets[#tickets + 1] = ticket
  end
end
if is_true == 0 then
  for _, ticket in ipairs(tickets) do
    if ticket ~= '!' then helped('ZADD', WAITING, 0, ticket) end
  end
end
for i = at, #ARGV do helped('ZREM', WAITING, ARGV[i]) end
return {CLOCKS, is_true}
