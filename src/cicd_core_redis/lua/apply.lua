-- The second half of commit.lua: decide, then write.

local function decide(id, writes, latest)
  local olds, before, given, wrong = {}, true, {1}, {0}
  for i, write in ipairs(writes) do
    local old, broken = load(write.collection, write.key)
    if broken then return {-1, i, broken} end
    olds[i] = old or false
    if write.kind == 'p' then
      before = before and old and old[COMMIT] == id
      given[#given + 1] = old and old[GIVEN]
    end
    if not is_expected(write, old, latest) then wrong[#wrong + 1] = i end
  end
  if before then return given end
  if #wrong > 1 then return wrong end
  return nil, olds
end

-- Compute everything that will be written, and check every key: if this does not raise, the writes
-- succeed.
local function prepare(id, writes, olds, events, increments)
  local versions, answer = {}, {1}
  for i, write in ipairs(writes) do
    local old = olds[i] or nil
    if write.kind == 'p' then
      prepare_put(write, old, id)
      versions[write.collection .. '\0' .. write.key] = write.version
      answer[#answer + 1] = write.version
    else
      write.steps = moves(write.collection, write.key, old, nil)
    end
  end
  if events > 0 then look_at('XLEN', PREFIX .. 'log') end
  if increments > 0 then look_at('ZCARD', PREFIX .. 'groups') end
  return {answer = answer, versions = versions}
end

local function apply(writes, olds)
  for i, write in ipairs(writes) do
    if write.kind == 'p' then put(write, olds[i] or nil)
    else drop(write.collection, write.key, olds[i], write.steps) end
  end
end

-- The ids are elapsed time, which retention uses. After a failover, the stored time may be below
-- that of the log's last entry: then the new entry follows that one.
local function append(entry)
  local log = PREFIX .. 'log'
  local added = redis.pcall('XADD', log, digits(math.floor(NOW / 1000)) .. '-*', unpack(entry))
  if type(added) == 'table' and added.err then
    if not find(added.err, '^ERR') then error(added) end
    local millis = string.match(last_id(log), '^%d+')
    call('XADD', log, millis .. '-*', unpack(entry))
  end
end

-- One entry of the stream for many events of a commit. A field's name has no subject where it is that
-- of the field before, and then the difference of the versions.
local tell
function tell(events, versions)
  if events == 0 then return end
  local entry, subject, last = {}
  for i = 1, 2 * math.min(events, 100), 2 do
    local collection, key, version, ordinal, body = unpack(ARGV, at, at + 4)
    at = at + 5
    if version == '' then version = digits(versions[collection .. '\0' .. key]) end
    local number = tonumber(version) -- from 2^53 on it may have lost some of its digits
    if subject == collection .. '\0' .. key and math.max(number, last) < 2 ^ 53 then
      entry[i] = digits(number - last) .. ':' .. ordinal
    else
      entry[i] = collection .. ':' .. version .. ':' .. ordinal .. ':' .. key
    end
    entry[i + 1] = body
    subject, last = collection .. '\0' .. key, number
  end
  append(entry)
  tell(math.max(events - 100, 0), versions)
end

-- The records come last: they identify a repetition, so none may exist without the rest.
local function run(id, writes, latest, events, increments)
  local answer, olds = decide(id, writes, latest)
  if answer then return answer end
  local first_event, first_increment = at, at + 5 * events
  local sound, made = attempt(prepare, id, writes, olds, events, increments)
  if not sound then return {-3, 0, reason(made)} end
  at = first_increment
  local refused = increase(increments)
  if refused then return refused end
  at = first_event
  local appended, failure = pcall(tell, events, made.versions)
  if not appended then
    undo(first_increment, increments)
    sound_or_ours(false, failure)
    return {-3, 0, reason(failure)}
  end
  apply(writes, olds)
  return made.answer
end

local latest = NOW - take()
local answers = {CLOCKS}
for n = 1, tonumber(take()) do
  local id, count, events, increments = take(), take(), tonumber(take()), tonumber(take())
  local writes = {}
  for i = 1, count do writes[i] = read_write() end
  local behind = at + 5 * events + 3 * increments
  answers[n + 1] = run(id, writes, latest, events, increments)
  at = behind
end
return answers
