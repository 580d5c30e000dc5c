-- SPDX-License-Identifier: Apache-2.0
-- Messages to bytes: the body of a record by its layout, and the whole message as frames. One
-- that is longer than a packet becomes several.
local registry = require "registry"
local wire = require "wire"

local M = {}

local LAYOUTS = { "2011", "2013", "2019" }

--- @return string? body
--- @return string|tg.Error? why
function M.body(id, data, edition)
  local entry = registry.entry(id)
  local record, why = data, nil
  if entry.write then
    local fine
    fine, record, why = pcall(entry.write, data, edition)
    if not fine then return nil, "a member has the wrong type" end
  end
  if not record then return nil, why end
  if entry.choose then edition = entry.choose(record, edition) end
  local layout = entry.layout[edition] or entry.layout[LAYOUTS[2]]
  local bytes, err = layout:encode(record)
  return bytes, err
end

--- A message with `id`, `data` and where it goes: header, version, phone, serial.
function M.frames(m, config)
  local edition = m.edition or m.header
  local bytes, why = M.body(m.id, m.data or {}, edition)
  if not bytes then return nil, why end
  return wire.build(m, m.id, bytes, config and config.packet_size)
end

--- For the host: the frames of a message without their outer flags and escapes are not what a
--- split message needs, so whole frames are sent as strings and this serves tools alone.
function M.encode(m, ctx)
  local frames, why = M.frames(m, ctx.config)
  if not frames then return nil, why end
  if #frames ~= 1 then return nil, "the message needs more than one packet" end
  local bytes = frames[1]:sub(2, -2):gsub("}([\1\2])", { ["\1"] = "}", ["\2"] = "~" })
  return bytes
end

return M
