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

local function apply(id, writes, olds)
  local versions, answer = {}, {1}
  for i, write in ipairs(writes) do
    if write.kind == 'p' then
      local version = put(write, olds[i] or nil, id)
      versions[write.collection .. '\0' .. write.key] = version
      answer[#answer + 1] = version
    else
      drop(write.collection, write.key, olds[i])
    end
  end
  return answer, versions
end

-- The ids are of elapsed time, by which retention goes. A server that took over may have noted less
-- than the log has come to: then the entry goes behind the last one.
local function append(entry)
  local log = PREFIX .. 'log'
  local added = redis.pcall('XADD', log, digits(math.floor(NOW / 1000)) .. '-*', unpack(entry))
  if type(added) == 'table' and added.err then
    local millis = string.match(last_id(log), '^%d+')
    call('XADD', log, millis .. '-*', unpack(entry))
  end
end

local tell
function tell(events, versions) -- one entry of the stream for many events of a commit
  local entry = {}
  for i = 1, 2 * math.min(events, 100), 2 do
    local collection, key, version, ordinal, body = unpack(ARGV, at, at + 4)
    at = at + 5
    if version == '' then version = digits(versions[collection .. '\0' .. key]) end
    entry[i] = collection .. ':' .. version .. ':' .. ordinal .. ':' .. key
    entry[i + 1] = body
  end
  append(entry)
  if events > 100 then tell(events - 100, versions) end
end

local latest = NOW - take()
local answers = {TOLD}
for n = 1, tonumber(take()) do
  local id, count, events, increments = take(), take(), tonumber(take()), tonumber(take())
  local writes = {}
  for i = 1, count do writes[i] = read_write() end
  local answer, olds = decide(id, writes, latest)
  if answer then
    at = at + 5 * events + 3 * increments
  else
    local told, behind = at, at + 5 * events + 3 * increments
    at = at + 5 * events -- the increments first: of all writes only they could be refused
    answer = increase(increments)
    if not answer then
      local versions
      answer, versions = apply(id, writes, olds)
      at = told
      if events > 0 then tell(events, versions) end
    end
    at = behind
  end
  answers[n + 1] = answer
end
return answers
