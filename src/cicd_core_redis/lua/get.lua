-- Read records by their keys: for each request at least one, and more while the byte limit allows.
--
-- ARGV: the number of requests; each: collection, number of keys, the keys.
-- Answer: the time; for each request the number of keys that were looked up, and the
-- {key, body, header} of those that exist, or {key, error} for one that does not decode.

local answers = {CLOCKS}
for n = 1, take() do
  local collection, number = take(), tonumber(take())
  local behind, found, looked = at + number, {0}, 0
  while looked < number and (looked == 0 or bytes_left > 0) do
    local record, broken = read(collection, take())
    found[#found + 1] = record or broken
    looked = looked + 1
  end
  found[1], at = looked, behind
  answers[n + 1] = found
end
return answers
