-- SPDX-License-Identifier: Apache-2.0
-- The adapter with a codec that tells more: what it read as tables, and what comes out when
-- that is written again. vectors.lua puts it in the place of init.lua.
local tg = require "tidegate"
local M = require "product"
local encode = require "encode"
local parameters = require "parameters"
local control = require "control"
local report = require "report"
local units = require "units"

local decode = M.decode

local function written(msg, more, ctx)
  local m = { cmd = msg.cmd, edition = msg.edition, flag = msg.flag, id = msg.id }
  for key, value in pairs(more) do m[key] = value end
  m.encryption = msg.encryption
  local bytes, why = encode.encode(m, ctx)
  return bytes and tg.hex.encode(bytes) or why
end

local function again_report(msg, frame, ctx)
  local raw, left = report.read(frame, msg.edition, "raw")
  local scaled = report.read(frame, msg.edition, "layout")
  msg.raw, msg.scaled, msg.left = raw, scaled, left
  local from_raw, from_scaled = {}, {}
  for i, block in ipairs(raw) do
    from_raw[i] = { code = block.code, name = block.name, hex = block.hex, raw = block.record }
    from_scaled[i] = {
      code = block.code, name = block.name, hex = block.hex, record = scaled[i].record,
    }
  end
  local head = { time_raw = tg.hex.encode(msg.time6), rest_hex = left and left.hex }
  head.blocks = from_raw
  msg.again = written(msg, head, ctx)
  head.blocks = from_scaled
  msg.again_scaled = written(msg, head, ctx)
end

local function again_down(msg, frame, ctx)
  local bytes = frame:sub(25, -2)
  local time = tg.time.from_bytes(msg.time6, 480)
  if #bytes == 6 then
    msg.again = written(msg, { unit = bytes }, ctx)
  elseif msg.cmd == 0x82 then
    local how = { edition = msg.edition, order = "table", binary = true }
    local args = control.read(bytes:sub(7), how)
    if args.upgrade then
      for key, value in pairs(args.upgrade) do args[key] = value end
      args.parameter_hex = nil
    end
    args.time = time
    msg.again = written(msg, args, ctx)
  elseif msg.ids then
    msg.again = written(msg, { ids = msg.data.ids, time = time }, ctx)
  else
    local values = parameters.read(bytes:sub(7), msg.edition)
    local unit = parameters.write(values, msg.edition, true)
    msg.again = written(msg, { unit = unit and bytes:sub(1, 6) .. unit or "" }, ctx)
  end
end

local function tell_more(msg, frame, ctx)
  local unit = units.of(msg.cmd, msg.edition)
  local bytes = frame:sub(25, -2)
  if msg.members then
    again_report(msg, frame, ctx)
  elseif msg.cmd >= 0x80 and msg.cmd <= 0x82 and msg.time6 then
    again_down(msg, frame, ctx)
  elseif unit and msg.flag == 0xFE and not msg.error then
    msg.unit_data = unit.decode(bytes)
    msg.again = written(msg, { data = msg.unit_data }, ctx)
  else
    msg.again = written(msg, { unit = bytes }, ctx)
  end
end

function M.decode(frame, ctx)
  local msg = decode(frame, ctx)
  msg.frame, msg.time6_hex = tg.hex.encode(frame), tg.hex.encode(msg.time6 or "")
  if not msg.refused and msg.encryption == 1 then tell_more(msg, frame, ctx) end
  return msg
end

function M.on_message() end

return M
