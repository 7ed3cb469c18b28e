-- The waiters of the whole fleet that take turns: a new record wakes the first of them.
--
-- `waiting` is a zset of tickets of score 0. A ticket is the number of bytes of the place (a zset,
-- without the prefix), a colon, the place, the turn, and the 32 digits of a listener. The
-- listener's process listens to the channel `w:LISTENER`. A message is the number of bytes of the
-- ticket, a colon, the ticket and the new member. Tickets only speed up waiting and are not part of
-- the data: a command that the server refuses here is ignored.
local WAITING, LISTENER = PREFIX .. 'waiting', 32
local someone

local function helped(...)
  local answer = redis.pcall(...)
  if type(answer) == 'table' and answer.err then return nil end
  return answer
end

local function someone_waits()
  if someone == nil then someone = helped('EXISTS', WAITING) == 1 end
  return someone
end

local function channel_of(ticket)
  return PREFIX .. 'w:' .. string.sub(ticket, -LISTENER)
end

local function first_ticket(place) -- no turn contains the byte 255
  local head = #place .. ':' .. place
  local found = helped('ZRANGE', WAITING, '[' .. head, '(' .. head .. '\255', 'BYLEX', 'LIMIT', 0, 1)
  return found and found[1]
end

local function place_of(zset)
  return string.sub(zset, #PREFIX + 1)
end

-- Wake the first waiter whose process still listens; skip those of processes that died.
local function wake_one(place, name)
  if not someone_waits() then return end
  for _ = 1, 1000 do
    local ticket = first_ticket(place)
    if not ticket or not helped('ZREM', WAITING, ticket) then return end
    local heard = helped('SPUBLISH', channel_of(ticket), #ticket .. ':' .. ticket .. name)
    if heard ~= 0 then return end
  end
end

-- Delete tickets of processes that died: check some tickets each time, and all of them in turn.
local function drop_unheard(most)
  local number = someone_waits() and helped('ZCARD', WAITING) or 0
  if number == 0 then return end
  local first = math.floor(NOW / 1000000) * most % number
  for _, ticket in ipairs(helped('ZRANGE', WAITING, first, first + most - 1) or {}) do
    if helped('SPUBLISH', channel_of(ticket), '') == 0 then helped('ZREM', WAITING, ticket) end
  end
end
