-- The second half of claim.lua: repetitions, grants, and the answer.

local function held_by(collection, id)
  local held = {}
  for _, key in ipairs(call('SMEMBERS', holders(collection, id))) do
    local header = load(collection, key)
    local body = header and call('HGET', record_key(collection, key), 'b')
    if body then held[#held + 1] = {key, body, header} end
  end
  return held
end

local function most_of(...) -- the limit of a lease: the smaller one that is named
  local most
  for _, limit in ipairs({...}) do
    if limit ~= '' and (not most or tonumber(limit) < most) then most = tonumber(limit) end
  end
  return most and digits(NOW + most) or '9999999999999999'
end

local function grant(claim, key, old, body)
  local new = {unpack(old)}
  local most = most_of(claim.lease_limit, old[LEASE_LIMIT])
  local ends = math.min(NOW + claim.duration, tonumber(most))
  new[VERSION] = old[VERSION] + 1
  new[CLAIM], new[GRANTED], new[RENEWED] = claim.id, digits(NOW), digits(NOW)
  new[LEASE_END], new[LEASE_MOST] = digits(ends), most
  new[GRANT] = claim.grant
  for position, value in pairs(claim.patch) do new[LAST + position] = value end
  local follows = shape(claim.collection)[2]
  if follows > 0 then new[LAST + follows] = format('%016d:', ends) .. key end
  call('HSET', record_key(claim.collection, key), 'h', packed(new))
  move(claim.collection, key, old, new)
  return {key, body, new}
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

local answers = {TOLD}
for n = 1, take() do
  local claim = read_claim()
  local taken = held_by(claim.collection, claim.id)
  if #taken > 0 then
    answers[n + 1] = {1, unpack(taken)}
  else
    local granted = {0}
    for _, won in ipairs(winners(claim.collection, claim.zsets, claim.limit)) do
      granted[#granted + 1] = grant(claim, unpack(won))
    end
    answers[n + 1] = granted
  end
end
return answers
