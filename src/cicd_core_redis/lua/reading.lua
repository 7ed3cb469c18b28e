-- The common part of the scripts that only read.

-- How many bytes of bodies a script may still read: a script blocks all other clients while it
-- runs, and its answer delays the calls that share the connection.
local bytes_left = 1048576

local function decoded(collection, key)
  local found = call('GET', record_key(collection, key))
  if not found then return nil end
  local body_size, size = sizes_in(found)
  if body_size + size + 6 ~= #found then error('it is truncated', 0) end
  local header = header_in(collection, key, found, body_size, size)
  bytes_left = bytes_left - body_size
  return is_live(header) and {key, string.sub(found, 1, body_size), header} or nil
end

-- {key, body, header} of a record that exists, or nil; or nil and {key, error} if it does not
-- decode.
local function read(collection, key)
  local decodes, found = pcall(decoded, collection, key)
  if decodes then return found end
  return nil, {key, reason(found)}
end
