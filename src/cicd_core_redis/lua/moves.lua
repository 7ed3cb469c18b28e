-- Moves between places: planned, and every key checked, before the first write.
--
-- A script that ends in the middle leaves its earlier writes. So a key of another type must raise
-- an error before any write: each key is checked once per script, with a command that changes
-- nothing and that another type refuses. A set that grows is a claim's own, and small or not there
-- yet.
local looked = {}
local function look_at(command, key, ...)
  if not looked[key] then
    local answer = redis.pcall(command, key, ...)
    if type(answer) == 'table' and answer.err then
      sound_or_ours(false, answer)
      error('the key ' .. key .. ': ' .. answer.err, 0)
    end
    looked[key] = true
  end
end

local function step(steps, command, key, name)
  if command == 'SADD' then look_at('SMEMBERS', key)
  elseif command == 'SREM' then look_at('SREM', key, '') -- no record has an empty key
  else look_at('ZCARD', key) end
  local n = #steps
  steps[n + 1], steps[n + 2], steps[n + 3] = command, key, name
end

-- The steps that move a record from the places that its old header names to those of its new one.
local function moves(collection, key, old, new)
  local steps, places = {}, shape(collection)
  for i = 3, #places, 3 do
    local part, sort = LAST + places[i + 1], LAST + places[i + 2]
    local was, is = old and old[part] or '', new and new[part] or ''
    local was_at, is_at = old and old[sort] or '', new and new[sort] or ''
    if was ~= is or was_at ~= is_at then
      if was ~= '' and was_at ~= '' then
        step(steps, 'ZREM', PREFIX .. places[i] .. was, was_at)
      end
      if is ~= '' and is_at ~= '' then
        step(steps, 'ZADD', PREFIX .. places[i] .. is, is_at)
      end
    end
  end
  local left, held = old and old[CLAIM] or '', new and new[CLAIM] or ''
  if left ~= held then
    if left ~= '' then step(steps, 'SREM', holders(collection, left), key) end
    if held ~= '' then step(steps, 'SADD', holders(collection, held), key) end
  end
  local was, is = old and old[EXPIRES] or '', new and new[EXPIRES] or ''
  if was ~= is then look_at('ZCARD', PREFIX .. 'expiring') end
  return steps
end

local function move(collection, key, old, new, steps)
  for i = 1, #steps, 3 do
    local command, place, name = steps[i], steps[i + 1], steps[i + 2]
    if command == 'ZADD' then
      call('ZADD', place, 0, name)
      call('SPUBLISH', place, name) -- waiters without a turn listen to the zset's own name
      wake_one(place_of(place), name)
    else
      call(command, place, name)
    end
  end
  local was, is = old and old[EXPIRES] or '', new and new[EXPIRES] or ''
  if was ~= is then
    local name = collection .. '\0' .. key
    if is == '' then call('ZREM', PREFIX .. 'expiring', name)
    else call('ZADD', PREFIX .. 'expiring', is, name) end
  end
end
