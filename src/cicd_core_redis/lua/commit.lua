-- Apply commits, each whole or not at all.
--
-- ARGV: the clock's uncertainty; the number of commits; each: id, number of writes, of events, of
-- increments; each write: 'p' or 'd', collection, key, expected version, '1' if its lease must
-- have expired, and for a put: body, 'k'eep, 'n'one or 'l'ease (claim id, granted, expires, limit),
-- lease_limit, expires_at, the attributes in the order of their names; each event: collection, key,
-- version or '', ordinal, body; each increment: group, name, amount.
-- Answer: the time; for each commit {1, version of each put}, {0, position of each write that
-- conflicts}, or {-1, position, error} for a record that does not decode.
-- Safe to repeat: a commit whose puts all hold its id already is answered, not applied.

local function read_write()
  local write = {kind = take(), collection = take(), key = take(), expected = take()}
  write.guarded = take() == '1'
  if write.kind == 'p' then
    write.body, write.lease = take(), take()
    if write.lease == 'l' then
      write.claim, write.granted, write.ends, write.most = take(), take(), take(), take()
    end
    write.lease_limit, write.expires, write.first = take(), take(), at
    at = at + shape(write.collection)[1]
  end
  return write
end

local function is_expected(write, old, latest)
  if not old then return write.expected == '0' end
  if write.guarded and old[CLAIM] ~= '' and tonumber(old[LEASE_END]) >= latest then return false end
  return digits(old[VERSION]) == write.expected
end

local function set_lease(new, write, old)
  if write.lease == 'l' then
    local held = old and old[CLAIM] == write.claim
    new[CLAIM], new[GRANTED], new[LEASE_MOST] = write.claim, write.granted, write.most
    new[LEASE_END] = write.ends
    if held and tonumber(old[LEASE_END]) > tonumber(write.ends) then
      new[LEASE_END] = old[LEASE_END]
    end
  elseif write.lease == 'k' and old then
    for i = CLAIM, LEASE_MOST do new[i] = old[i] end
  end
end

local function put(write, old, id)
  local floor = old and 0 or tonumber(call('HGET', KEYS[1], 'floor') or 1)
  local version = old and old[VERSION] + 1 or math.max(NOW, floor)
  local new = {version, version, id, write.expires, write.lease_limit, '', '', '', '', false}
  set_lease(new, write, old)
  for i = 1, shape(write.collection)[1] do new[LAST + i] = ARGV[write.first + i - 1] end
  call('HSET', record_key(write.collection, write.key), 'h', pack(new), 'b', write.body)
  local was = old and old[EXPIRES] or ''
  if was ~= write.expires then
    local name = write.collection .. '\0' .. write.key
    if write.expires == '' then call('ZREM', PREFIX .. 'expiring', name)
    else call('ZADD', PREFIX .. 'expiring', write.expires, name) end
  end
  move(write.collection, write.key, old, new)
  return version
end
