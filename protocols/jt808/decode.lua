-- SPDX-License-Identifier: Apache-2.0
-- One frame to one message, without a clock and without memory. A position of the common kind
-- goes from bytes to JSON in C; everything else becomes a record. Packets of a longer message
-- come out as `fragment`: the session puts them together and asks M.body() for the rest.
local tg = require "tidegate"
local body = require "body"
local choice = require "choice"
local extras = require "extras"
local files = require "files"
local location = require "location"
local positions = require "positions"
local registry = require "registry"
local rsa = require "rsa"
local wire = require "wire"

local M = {}

local unpack, byte, sub = string.unpack, string.byte, string.sub

-- ---- bodies ------------------------------------------------------------------------------------

local PARTIAL = { partial = true }

local function ends_early(flaws)
  for _, text in ipairs(flaws) do
    if text:find " needs " or text:find "left over" then return true end
  end
  return false
end

--- The record of a whole body that stands in `bytes` from `at`, one byte before the end.
---@param how table id, phone, header
---@return table data
---@return string edition of the body
function M.body(bytes, at, how, ctx)
  local entry = registry.entry(how.id)
  local size = #bytes - at
  local edition, vendor = choice.settings(how.phone, how.header, ctx.config, ctx.codec)
  if entry.edition then
    edition = entry.edition(edition, size, bytes, at) or edition
  end
  local layout = choice.layout(entry, edition, vendor, ctx.config)
  local data, next_at, flaws = layout:decode(bytes, at, PARTIAL)
  if not data then
    data, flaws = {}, { next_at.message }
  end
  positions.finish(data)
  if size == 0 and entry.layout ~= body.empty and not entry.may_be_empty then
    flaws = { "the body is empty" }
  end
  if flaws then
    data.flaws = flaws
    if ends_early(flaws) then data.body_hex = tg.hex.encode(sub(bytes, at, -2)) end
  end
  if entry.read then data = entry.read(data, ctx.config, edition) or data end
  return data, edition
end

-- ---- frames ------------------------------------------------------------------------------------

--- Whole frames of plain positions: the serial is among the members that C writes.
local PLAIN_HEAD = {
  ["2013"] = "_msg_id:hex[2] _attributes:u16be _phone:hex[6] serial:u16be ",
  ["2019"] = "_msg_id:hex[2] _attributes:u16be _version:u8 _phone:hex[10] serial:u16be ",
}

local plain = {} -- [vendor][header][edition]

local function plain_layouts(vendor)
  local items, out = extras.dialect(vendor), {}
  for header, head in pairs(PLAIN_HEAD) do
    out[header] = {}
    for _, edition in ipairs { "2013", "2019" } do
      out[header][edition] = tg.struct(head .. "_:sized[*-1]{ "
        .. location.full(edition, items) .. " tail:rest } _checksum:hex[1]")
    end
    out[header]["2011"] = out[header]["2013"]
  end
  plain[vendor] = out
  return out
end

--- Compiles what the vendors of a config need, when it is loaded: a compilation takes its time,
--- and decode has little. Only for a vendor that came into the options later it is done there.
function M.prepare(config)
  for vendor in pairs(choice.vendors(config)) do
    choice.positions(vendor)
    if not plain[vendor] then plain_layouts(vendor) end
  end
end

local NUMBER = { ["2013"] = 0, ["2019"] = 1 << 40, ["2011"] = 2 << 40 }

--- What the config says of plain positions, looked at once: new values come with new maps, in
--- the same table. `layouts` is nil where each device
--- may have its own, or where records are wanted to make another shape of.
local known, layouts, forced, single

local function look_at_config(config)
  known, forced = config.editions, config.edition ~= "auto" and config.edition or nil
  single = next(config.editions) ~= nil or next(config.vendors) ~= nil
  layouts = nil
  if config.payload ~= "emqx" and not single then
    layouts = plain[config.vendor] or plain_layouts(config.vendor)
  end
end

local function single_layout(phone, header, ctx)
  local modelled = ctx.codec and ctx.codec.vendor
  if not single and not modelled or ctx.config.payload == "emqx" then return nil end
  local edition, vendor = choice.settings(phone, header, ctx.config, ctx.codec)
  return (plain[vendor] or plain_layouts(vendor))[header][edition], edition
end

--- A position as JSON members. Four fields, as a fifth would double the table; `key` has the
--- id, the serial and the checksum, and the edition's number above them.
local function fast(frame, header, phone, serial, ctx)
  local config, codec = ctx.config, ctx.codec
  local layout, edition
  if known ~= config.editions then look_at_config(config) end
  if layouts and not (codec and codec.vendor) then
    edition = forced or codec and codec.edition or header
    layout = layouts[header][edition]
  else
    layout, edition = single_layout(phone, header, ctx)
    if not layout then return nil end
  end
  local members, _, flaws = layout:members(frame)
  if not members or flaws then return nil end
  return {
    type = "location", phone = phone, members = members,
    key = NUMBER[edition] | 0x0200000000 | serial << 8 | byte(frame, -1),
  }
end

--- A plain position: whole, in the clear, north and east; nil for all others. What is read in
--- one step is cheaper than in two: id and attributes, and alarms and status, are one number.
local function try_fast(frame, ctx)
  local head, phone, serial, words = unpack(">I4c6I2I8", frame)
  local length = head & 0x3FF
  if head >> 16 ~= 0x0200 or length < 28 then return nil end
  if head & 0xFC00 == 0 and #frame == 13 + length and words & 12 == 0 then
    return fast(frame, "2013", phone, serial, ctx)
  elseif head & 0xFC00 == 0x4000 and #frame == 18 + length then
    phone, serial, words = unpack(">c10I2I8", frame, 6)
    return words & 12 == 0 and fast(frame, "2019", phone, serial, ctx) or nil
  end
end

local LEAST = 41 -- header, position, checksum

local function parts(msg, head, frame, at, ctx)
  local encryption = head.encryption or 0
  if encryption ~= 0 and registry[msg.id] then
    local clear = rsa.open(sub(frame, at, -2), encryption, ctx.config)
    if not clear then
      msg.encrypted, msg.data = true, { encrypted = tg.hex.encode(sub(frame, at, -2)) }
      return msg
    end
    msg.decrypted, frame, at = true, clear .. "\0", 1
  end
  if head.packet_total and head.packet_total ~= 1 then
    msg.total, msg.number = head.packet_total, head.packet_number
    msg.fragment = sub(frame, at, -2)
    return msg
  end
  msg.data, msg.edition = M.body(frame, at, msg, ctx)
  msg.data.decrypted = msg.decrypted
  return msg
end

---@param frame string
---@param ctx tg.Ctx
---@return table? message type, id, serial, phone, header and data, or fragment, total, number
---@return string? why
function M.decode(frame, ctx)
  if #frame >= LEAST then
    local msg = try_fast(frame, ctx)
    if msg then return msg end
  end
  if sub(frame, 1, 4) == files.MAGIC then return files.decode(frame) end
  local id = unpack(">I2", frame)
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

--- The same where blocks of files have names with a length in front.
function M.decode_counted(frame, ctx)
  if sub(frame, 1, 4) == files.MAGIC then return files.decode_counted(frame) end
  return M.decode(frame, ctx)
end

return M
