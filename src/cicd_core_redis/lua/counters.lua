-- Read the counters whose names begin with a prefix, and how far into the log they reach.
--
-- ARGV: the prefix; the group that it names completely, or ''.
-- Answer: the time; the cursor; name, number, name, number, …

local prefix, whole = take(), take()
local answer = {CLOCKS, last_id(PREFIX .. 'log')}

local function add(values)
  for i = 1, #values, 2 do
    -- The same check as the pattern's, in case a server interprets that differently.
    if string.sub(values[i], 1, #prefix) == prefix then
      answer[#answer + 1], answer[#answer + 2] = values[i], values[i + 1]
    end
  end
end

if whole == '' then -- every counter of some groups
  local upper = prefix == '' and '+' or '(' .. prefix .. '\255'
  for _, group in ipairs(call('ZRANGE', PREFIX .. 'groups', '[' .. prefix, upper, 'BYLEX')) do
    add(call('HGETALL', PREFIX .. 'n:' .. group))
  end
elseif #prefix <= #whole + 1 then -- a whole group
  add(call('HGETALL', PREFIX .. 'n:' .. whole))
else -- a part of a group that may be large: the server filters it, and Lua gets only the matches
  local pattern, cursor = string.gsub(prefix, '[%*%?%[%]\\%^]', '\\%0') .. '*', '0'
  repeat
    local found = call('HSCAN', PREFIX .. 'n:' .. whole, cursor, 'MATCH', pattern, 'COUNT', 10000)
    cursor = found[1]
    add(found[2])
  until cursor == '0'
end
return answer
