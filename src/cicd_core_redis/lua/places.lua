-- The places of records: the members of the indexes' zsets, and the sets of the records of claims.

-- A member is a sort value: its key follows the first colon, so that no two records share it.
local function key_in(name)
  return string.sub(name, (find(name, ':', 1, true) or 0) + 1)
end

local function is_live(header)
  return header[EXPIRES] == '' or tonumber(header[EXPIRES]) > NOW
end
