-- SPDX-License-Identifier: Apache-2.0
-- Messages to bytes: the body of a record by its layout, and the whole message as frames. One
-- that is longer than a packet becomes several. What decode gives is what goes in here, so
-- whatever was read goes back to the same bytes; only the order of extra items and parameters
-- and the padding of texts are the sender's choice.
local tg = require "tidegate"
local choice = require "choice"
local positions = require "positions"
local registry = require "registry"
local rsa = require "rsa"
local wire = require "wire"

local M = {}

-- Messages down whose last field is a text, which older texts end with a zero byte.
local TEXT_LAST = { [0x8100] = true, [0x8105] = true, [0x8300] = true, [0x8400] = true }

--- @param terminated boolean? texts among parameters end with a zero byte
--- @param vendor string? dialect of a position's extra items
--- @return string? body
--- @return string|tg.Error? why
function M.body(id, data, edition, vendor, config, terminated)
  local entry = registry.entry(id)
  if type(data.body_hex) == "string" then return tg.hex.decode(data.body_hex) end
  local record, why = positions.undo(data), nil
  if entry.write then
    local fine
    fine, record, why = pcall(entry.write, record, edition, terminated)
    if not fine then return nil, "a member has the wrong type" end
  end
  if not record then return nil, why end
  if entry.choose then edition = entry.choose(record, edition) end
  local layout = choice.layout(entry, edition, vendor, config)
    or choice.layout(entry, "2013", vendor, config)
  local bytes, err = layout:encode(record)
  return bytes, err
end

--- A message with `id`, `data` and where it goes: header, version, phone, serial; encrypted
--- where it has the terminal's `key`.
function M.frames(m, config)
  local edition = m.edition or m.header
  local bytes, why = M.body(m.id, m.data or {}, edition, nil, config, m.terminated)
  if not bytes then return nil, why end
  if m.terminated and TEXT_LAST[m.id] then bytes = bytes .. "\0" end
  if m.key and #bytes > 0 then
    bytes = rsa.close(bytes, m.key)
    if not bytes then return nil, "the terminal's key is none" end
    m.encryption = 1
  end
  return wire.build(m, m.id, bytes, config and config.packet_size)
end

-- ---- one packet --------------------------------------------------------------------------------

local function body_of(m, data, config)
  if m.fragment then return m.fragment end
  if m.encrypted then return tg.hex.decode(data.encrypted or "") end
  local _, vendor = choice.settings(m.phone, m.header, config)
  return M.body(m.id, data, m.edition or m.header, vendor, config)
end

--- A position of the common kind, whose record decode() made no table of.
local function plain(m)
  local data = tg.json.decode("{" .. m.members .. "}")
  return {
    id = 0x0200, data = data, phone = m.phone, serial = data.serial, version = m.version,
    header = #m.phone == 10 and "2019" or "2013", edition = choice.editions[m.key >> 40],
  }
end

--- A message as one packet, without the flags and escapes around it.
---@param m table what decode gives; `head` is missing where the message is new
---@return string? bytes
---@return string|tg.Error? why
function M.encode(m, ctx)
  if m.members then m = plain(m) end
  local bytes, why = body_of(m, m.data or {}, ctx.config)
  if not bytes then return nil, why end
  if #bytes > 1023 then return nil, "the message needs more than one packet" end
  return wire.packet(m, bytes)
end

return M
