-- Move the expiry of leases if the claim id matches.
--
-- ARGV: the number of renewals; each: collection, key, claim id, duration.
-- Answer: the time; for each renewal {version, renewed, expires, limit}, or {} if the claim id does
-- not hold the record, or {error} if the record does not decode.
-- Safe to repeat: an expiry never moves back. A renewal is a sign of life even if the expiry can't
-- move.

-- Everything that a renewal will write, computed before any write.
local function prepare(collection, key, old, duration)
  if not is_whole(collection, key, old) then error('it is truncated', 0) end
  local new = copied(old)
  local expires = old[LEASE_END]
  local most = math.min(NOW + duration, tonumber(old[LEASE_MOST]))
  if most > tonumber(expires) then expires = digits(most) end
  new[LEASE_END] = expires
  if NOW > tonumber(old[RENEWED]) then new[RENEWED] = digits(NOW) end
  -- The attribute that follows the lease moves too, unless a commit gave it another value.
  local follows = shape(collection)[2]
  if follows > 0 then
    local pattern = '%016d:'
    if old[LAST + follows] == format(pattern, tonumber(old[LEASE_END])) .. key then
      new[LAST + follows] = format(pattern, tonumber(expires)) .. key
    end
  end
  return {new = new, steps = moves(collection, key, old, new), header = packed(collection, key, new)}
end

local function renew(collection, key, claim_id, duration)
  local old, broken = load(collection, key)
  if broken then return {broken} end
  if not old or old[CLAIM] ~= claim_id then return {} end
  local sound, made = attempt(prepare, collection, key, old, duration)
  if not sound then return {reason(made)} end
  local new = made.new
  move(collection, key, old, new, made.steps)
  put_header(collection, key, old, made.header)
  return {new[VERSION], new[RENEWED], new[LEASE_END], new[LEASE_MOST]}
end

local answers = {CLOCKS}
for n = 1, take() do
  local collection, key, claim_id, duration = take(), take(), take(), tonumber(take())
  answers[n + 1] = renew(collection, key, claim_id, duration)
end
return answers
