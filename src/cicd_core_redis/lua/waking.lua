-- Who waits with a turn, in the whole fleet: a record wakes the first of them.
--
-- `waiting` is a zset of tickets of score 0. A ticket is the number of bytes of the place (a zset,
-- without the prefix), a colon, the place, the turn, and the 32 digits of a listener: whose channel,
-- `w:LISTENER`, its process listens to. A message is the number of bytes of the ticket, a colon, the
-- ticket and the member that came in. All of it is a help, no part of the data: a command that the
-- server refuses here is let be.
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

local function first_ticket(place) -- no turn has the byte 255 in it
  local head = #place .. ':' .. place
  local found = helped('ZRANGE', WAITING, '[' .. head, '(' .. head .. '\255', 'BYLEX', 'LIMIT', 0, 1)
  return found and found[1]
end

local function place_of(zset)
  return string.sub(zset, #PREFIX + 1)
end

-- Wake the first one who still listens: nobody hears what is sent to a process that died.
local function wake_one(place, name)
  if not someone_waits() then return end
  for _ = 1, 1000 do
    local ticket = first_ticket(place)
    if not ticket or not helped('ZREM', WAITING, ticket) then return end
    local heard = helped('SPUBLISH', channel_of(ticket), #ticket .. ':' .. ticket .. name)
    if heard ~= 0 then return end
  end
end

-- Drop tickets of processes that died: some of them each time, all in turn.
local function drop_unheard(most)
  local number = someone_waits() and helped('ZCARD', WAITING) or 0
  if number == 0 then return end
  local first = math.floor(NOW / 1000000) * most % number
  for _, ticket in ipairs(helped('ZRANGE', WAITING, first, first + most - 1) or {}) do
    if helped('SPUBLISH', channel_of(ticket), '') == 0 then helped('ZREM', WAITING, ticket) end
  end
end
