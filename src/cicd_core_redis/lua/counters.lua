-- Read the counters whose names begin with a prefix, and how far into the log they reach.
--
-- ARGV: the prefix; the group that it holds whole, or ''.
-- Answer: the time; the cursor; name, number, name, number, …

local prefix, whole = take(), take()
local groups = {whole}
if whole == '' then
  local upper = prefix == '' and '+' or '(' .. prefix .. '\255'
  groups = call('ZRANGE', PREFIX .. 'groups', '[' .. prefix, upper, 'BYLEX')
end
local answer = {TOLD, last_id(PREFIX .. 'log')}
for _, group in ipairs(groups) do
  local values = call('HGETALL', PREFIX .. 'n:' .. group)
  for i = 1, #values, 2 do
    if string.sub(values[i], 1, #prefix) == prefix then
      answer[#answer + 1], answer[#answer + 2] = values[i], values[i + 1]
    end
  end
end
return answer
