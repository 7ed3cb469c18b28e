-- What the scripts that only read share.

-- {key, body, header} of a record that exists, or nil; {key, error} of one that does not decode.
local function read(collection, key)
  local found = call('HMGET', record_key(collection, key), 'b', 'h')
  if not found[2] then return nil end
  local ok, header = pcall(unpacked, found[2])
  if not ok then return {key, tostring(header)} end
  if not is_live(header) then return nil end
  return {key, found[1], header}
end
