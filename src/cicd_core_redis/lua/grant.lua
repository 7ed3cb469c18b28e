-- The second half of claim.lua: repetitions, grants, and the answer.

-- The records that a claim holds, and whether it also holds damaged ones: either makes a
-- repetition.
local function held_by(collection, id)
  local held, is_more = {}, false
  for _, key in ipairs(call('SMEMBERS', holders(collection, id))) do
    local header, broken = load(collection, key)
    local body, left_out
    if header then body, left_out = body_of(collection, key, header) end
    if body then held[#held + 1] = {key, body, header, left_out}
    elseif header or broken then is_more = true end
  end
  return held, is_more
end

local function grant(claim, made)
  local collection, key = claim.collection, made.key
  move(collection, key, made.old, made.new, made.steps)
  put_header(collection, key, made.old, made.header)
  return {key, made.body, made.new, made.left_out}
end

-- Wake one more waiter in each partition with a record left. A damaged record stays at the head of
-- its partition: so a claim that looked uses its end position, and only a claim with limit 0 the
-- head.
local function pass_on(claim, lines)
  if not someone_waits() then return end
  for _, line in ipairs(lines) do
    if line.head then wake_one(place_of(line.zset), line.head) end
  end
  if claim.limit > 0 then return end
  for _, zset in ipairs(claim.zsets) do
    local names = helped('ZRANGE', zset, 0, 0)
    if names and names[1] then wake_one(place_of(zset), names[1]) end
  end
end

local function read_claim()
  local claim = {id = take(), collection = take(), prefix = take(), limit = tonumber(take())}
  claim.duration, claim.lease_limit, claim.grant = tonumber(take()), take(), take()
  claim.patch, claim.zsets = {}, {}
  for _ = 1, take() do
    local position = tonumber(take())
    claim.patch[position] = take()
  end
  for i = 1, take() do claim.zsets[i] = PREFIX .. claim.prefix .. take() end
  return claim
end

local function answer_to(claim)
  local taken, is_more = held_by(claim.collection, claim.id)
  if #taken > 0 or is_more then return {1, unpack(taken)} end
  local granted = {0}
  local won, broken, lines = winners(claim)
  for _, made in ipairs(won) do granted[#granted + 1] = grant(claim, made) end
  pass_on(claim, lines)
  for _, each in ipairs(broken) do granted[#granted + 1] = each end
  return granted
end

local answers = {CLOCKS}
for n = 1, take() do
  local claim = read_claim()
  local sound, answer = attempt(answer_to, claim)
  answers[n + 1] = sound and answer or {-1, reason(answer)}
end
return answers
