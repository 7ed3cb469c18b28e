-- The log's last id.

local function last_id(log) -- the last id ever given, even if its entry was dropped
  if call('EXISTS', log) == 0 then return '0-0' end
  local facts = call('XINFO', 'STREAM', log)
  for i = 1, #facts, 2 do
    if facts[i] == 'last-generated-id' then return facts[i + 1] end
  end
end
