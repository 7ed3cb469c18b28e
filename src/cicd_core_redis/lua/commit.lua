-- Apply commits, each completely or not at all.
--
-- ARGV: the clock's uncertainty; the number of commits; each: id, number of writes, of events, of
-- increments; each write: 'p' or 'd', collection, key, expected version, '1' if its lease must have
-- expired, and for a put: body, 'k'eep, 'n'one or 'l'ease (claim id, granted, renewed, expires,
-- limit), lease_limit, expires_at, the attributes in the order of their names; each event:
-- collection, key, version or '', ordinal, body; each increment: group, name, amount.
-- Answer: the time; for each commit {1, version of each put}, {0, position of each write that
-- conflicts}, {-1, position, error} for a record that does not decode, {-2, position, error} for
-- an increment that its counter refuses, or {-3, 0, error} if another program wrote a key.
-- Safe to repeat: a commit whose puts all have its id already is answered, not applied.

local function read_write()
  local a, kind, collection = at, ARGV[at], ARGV[at + 1]
  if kind == 'd' then
    at = a + 5
    return {kind = kind, collection = collection, key = ARGV[a + 2], expected = ARGV[a + 3],
      guarded = ARGV[a + 4] == '1'}
  end
  local lease, b = ARGV[a + 6], a + 7
  if lease == 'l' then b = b + 5 end
  at = b + 2 + shape(collection)[1]
  return {kind = kind, collection = collection, key = ARGV[a + 2], expected = ARGV[a + 3],
    guarded = ARGV[a + 4] == '1', body = ARGV[a + 5], lease = lease, lease_at = a + 7,
    lease_limit = ARGV[b], expires = ARGV[b + 1], first = b + 2}
end

local function is_expected(write, old, latest)
  if not old then return write.expected == '0' end
  if write.guarded and old[CLAIM] ~= '' and tonumber(old[LEASE_END]) >= latest then return false end
  return old[VERSION] == tonumber(write.expected)
end

-- The five words of the lease that a record will have, empty if none.
local function lease_of(write, old)
  if write.lease == 'l' then
    local claim, granted, renewed, ends, most = unpack(ARGV, write.lease_at, write.lease_at + 4)
    if old and old[CLAIM] == claim then -- never earlier, except by the new limit
      local kept = tonumber(old[LEASE_END]) < tonumber(most) and old[LEASE_END] or most
      if tonumber(kept) > tonumber(ends) then ends = kept end
      if tonumber(old[RENEWED]) > tonumber(renewed) then renewed = old[RENEWED] end
    end
    return claim, granted, renewed, ends, most
  end
  if write.lease == 'k' and old then return unpack(old, CLAIM, LEASE_MOST) end
  return '', '', '', '', ''
end

-- Everything that a put will write, computed before any write.
local function prepare_put(write, old, id)
  local version = old and old[VERSION] + 1 or math.max(NOW, version_floor())
  local claim, granted, renewed, ends, most = lease_of(write, old)
  local last = write.first + shape(write.collection)[1] - 1
  local new = {version, version, id, write.expires, write.lease_limit, claim, granted, renewed,
    ends, most, false, unpack(ARGV, write.first, last)}
  new.others = old and old.others
  write.version, write.new, write.header = version, new, packed(write.collection, write.key, new)
  write.steps = moves(write.collection, write.key, old, new)
end

local function put(write, old)
  local collection, key = write.collection, write.key
  move(collection, key, old, write.new, write.steps)
  put_record(collection, key, write.body, write.header)
end
