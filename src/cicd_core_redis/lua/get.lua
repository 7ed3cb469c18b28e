-- Read records by their keys.
--
-- ARGV: the number of questions; each: collection, number of keys, the keys.
-- Answer: the time; for each question the {key, body, header} of those that exist, or
-- {key, error} of one that does not decode.

local answers = {TOLD}
for n = 1, take() do
  local collection, found = take(), {}
  for _ = 1, take() do
    local record, broken = read(collection, take())
    found[#found + 1] = record or broken
  end
  answers[n + 1] = found
end
return answers
