-- SPDX-License-Identifier: Apache-2.0
-- One frame to one message, without a clock and without memory. A position of the common kind
-- goes from bytes to JSON in C; everything else becomes a record. Packets of a longer message
-- come out as `fragment`: the session puts them together and asks M.body() for the rest.
local tg = require "tidegate"
local body = require "body"
local extras = require "extras"
local general = require "general"
local location = require "location"
local registry = require "registry"
local subiao = require "subiao_items"
local wire = require "wire"

local M = {}

local unpack, byte, sub = string.unpack, string.byte, string.sub

--- Positions in a vendor's dialect, compiled when one is first met.
local dialects = {}

local function location_layouts(name)
  if name == "standard" then return registry[0x0200].layout end
  if not dialects[name] then
    local items, out = extras.dialect(name), {}
    for _, edition in ipairs { "2013", "2019" } do
      out[edition] = tg.struct("_:sized[*-1]{ " .. location.full(edition, items)
        .. " tail:rest }")
    end
    out["2011"] = out["2013"]
    dialects[name] = out
  end
  return dialects[name]
end

--- What the config says of one device: the edition of its bodies, its vendor.
local function settings(phone, header, config, codec)
  local edition, vendor = config.edition, config.vendor
  if next(config.editions) or next(config.vendors) then
    local device = wire.identity(phone)
    edition = config.editions[device] or edition
    vendor = config.vendors[device] or vendor
  end
  if edition == "auto" then edition = codec and codec.edition or header end
  return edition, vendor
end
M.settings = settings

-- ---- bodies ------------------------------------------------------------------------------------

local PARTIAL = { partial = true }

--- Alarms of other dialects and hemispheres, which layouts cannot see.
local function finish_position(position)
  local status = position.status_raw
  if position.extras and status then
    subiao.reread(position.extras, status & 4 ~= 0, status & 8 ~= 0)
  end
end

local function finish_positions(data)
  if data.status_raw then finish_position(data) end
  if data.location then finish_position(data.location) end
  for _, item in ipairs(data.items or {}) do
    if item.status_raw then finish_position(item) end
  end
end

local function ends_early(flaws)
  for _, text in ipairs(flaws) do
    if text:find " needs " or text:find "left over" then return true end
  end
  return false
end

local function layout_of(entry, id, edition, vendor, ctx)
  if id == 0x0200 then return location_layouts(vendor)[edition] end
  if id == 0x8004 and ctx.config.server_time == "local" then
    return general.time_local[edition]
  end
  return entry.layout[edition]
end

--- The record of a whole body that stands in `bytes` from `at`, one byte before the end.
---@param how table id, phone, header
---@return table data
---@return string edition of the body
function M.body(bytes, at, how, ctx)
  local entry = registry.entry(how.id)
  local size = #bytes - at
  local edition, vendor = settings(how.phone, how.header, ctx.config, ctx.codec)
  if entry.edition then
    edition = entry.edition(edition, size, bytes, at) or edition
  end
  local layout = layout_of(entry, how.id, edition, vendor, ctx)
  local data, next_at, flaws = layout:decode(bytes, at, PARTIAL)
  if not data then
    data, flaws = {}, { next_at.message }
  end
  finish_positions(data)
  if size == 0 and entry.layout ~= body.empty and not entry.unknown then
    flaws = { "the body is empty" }
  end
  if flaws then
    data.flaws = flaws
    if ends_early(flaws) then data.body_hex = tg.hex.encode(sub(bytes, at, -2)) end
  end
  if entry.read then data = entry.read(data) or data end
  return data, edition
end

-- ---- frames ------------------------------------------------------------------------------------

--- Where the body of a plain position begins, by the upper bits of its attributes.
local PLAIN = { [0] = 13, [0x4000] = 18 }
local EDITION = { [13] = "2013", [18] = "2019" }

--- Eight fields: a ninth would double the table.
local function fast(frame, at, ctx)
  if byte(frame, at + 7) & 12 ~= 0 then return nil end
  local phone = sub(frame, at == 13 and 5 or 6, at - 3)
  local edition, vendor = settings(phone, EDITION[at], ctx.config, ctx.codec)
  local members, _, flaws = location_layouts(vendor)[edition]:members(frame, at)
  if not members or flaws then return nil end
  local serial = unpack(">I2", frame, at - 2)
  return {
    type = "location", id = 0x0200, serial = serial, phone = phone, payload = members,
    edition = edition, key = 0x0200 << 24 | serial << 8 | byte(frame, -1),
  }
end

local function parts(msg, head, frame, at, ctx)
  if (head.encryption or 0) ~= 0 and registry[msg.id] then
    msg.encrypted, msg.data = true, { encrypted = tg.hex.encode(sub(frame, at, -2)) }
    return msg
  end
  if head.packet_total and head.packet_total ~= 1 then
    msg.total, msg.number = head.packet_total, head.packet_number
    msg.fragment = sub(frame, at, -2)
    return msg
  end
  msg.data, msg.edition = M.body(frame, at, msg, ctx)
  return msg
end

---@param frame string
---@param ctx tg.Ctx
---@return table? message type, id, serial, phone, header and data, or fragment, total, number
---@return string? why
function M.decode(frame, ctx)
  local id, attributes = unpack(">I2I2", frame)
  if id == 0x0200 then
    local at = PLAIN[attributes & 0xFC00]
    local length = attributes & 0x3FF
    if at and length >= 28 and #frame == at + length then
      local msg = fast(frame, at, ctx)
      if msg then return msg end
    end
  end
  local header, size = wire.header_of(frame, ctx.config.lenient_length)
  if not header then return nil, size end
  local head = wire.head[header]:decode(frame)
  local entry = registry.entry(id)
  local msg = {
    type = entry.name, id = id, serial = head.serial, phone = tg.hex.decode(head.phone),
    header = header == "vendor" and "2013" or header, version = head.protocol_version, head = head,
    key = id << 24 | head.serial << 8 | byte(frame, -1),
  }
  parts(msg, head, frame, size + 1, ctx)
  wire.sum:decode(frame, #frame)
  return msg
end

return M
