-- Delete expired records, then count the records of some partitions.
--
-- ARGV: the number of zsets; each without the prefix.
-- Answer: the time; 1 if more must be deleted first, else 0; the number of each partition.

local swept = sweep_records(1000)
local numbers = {CLOCKS, swept == 1000 and 1 or 0}
for _ = 1, take() do
  numbers[#numbers + 1] = call('ZCARD', PREFIX .. take())
end
return numbers
